"""`ddpm-tui data get`."""

from __future__ import annotations

from ddpm_tui.headless.progress import progress
from ddpm_tui.sanitize import clean


def download(name: str) -> None:
    """Download a data set into the user's cache, with a bar for each file."""
    from engine.data import download as downloading

    with progress(f"downloading {name}", 0) as bar:
        located = downloading.download(
            name, progress=lambda done, total, file: bar.update(done, file, total)
        )
    print(clean(f"{name} is in {located.origin}"))
