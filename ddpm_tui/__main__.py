"""`python -m ddpm_tui` is `ddpm-tui`."""

from ddpm_tui.imports import forget_working_directory

forget_working_directory()

from ddpm_tui.cli import main  # noqa: E402 - from where it belongs

main()
