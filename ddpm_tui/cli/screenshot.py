"""`ddpm-tui --screenshot VIEW`: a picture of a view, without a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from ddpm_tui.choices import Color
from ddpm_tui.sanitize import clean
from engine.errors import ConfigError
from engine.runs import io
from engine.runs.folder import prepare_output


def write_screenshot(
    runs_dir: Path,
    data_dir: Path | None,
    device: str,
    color: Color,
    view: str,
    size: str,
    out: Path | None,
    run: str | None,
    press: str,
) -> None:
    """Write the picture and print where it is.

    Raises:
        EngineError: view, run, size or file cannot be used.
    """
    from ddpm_tui import color as colors
    from ddpm_tui.screenshot.unattended import Wanted, parse_size, take

    path = (out or Path(f"{view}.svg")).absolute()
    if path.suffix.lower() not in (".svg", ".png"):
        raise ConfigError(f"{path.name} is neither .svg nor .png", "Name the file so.")
    wanted = Wanted(view, parse_size(size), run, tuple(filter(None, press.split(","))))
    with io.advising("--out"):
        prepare_output(path.parent)
    # A file is no terminal: without a word for it, it has all colours.
    mode = "truecolor" if color is Color.auto else color.value
    colors.apply(colors.detect(os.environ, mode), os.environ)
    from ddpm_tui.app import Workbench

    app = Workbench(runs_dir, data_dir=data_dir, device=device, reads_devices=False)
    captured = take(app, wanted)
    is_svg = path.suffix.lower() == ".svg"
    captured.write(path if is_svg else None, None if is_svg else path)
    print(clean(str(path)))
