"""`python -m ddpm_tui` is `ddpm-tui`."""

from ddpm_tui.cli import main

main()
