"""A picture of the present screen: taken at once, written in a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.strip import Strip

from engine.errors import EngineError, RunError
from engine.runs import io

if TYPE_CHECKING:
    from rich.color import ColorSystem
    from rich.terminal_theme import TerminalTheme
    from textual.app import App


@dataclass(frozen=True)
class Captured:
    """A screen as it was at one moment.

    Attributes:
        rows: a strip for each row, of `width` cells.
        system: the colours that the terminal shows.
        theme: what the terminal's own colours are taken for.
    """

    svg: str
    rows: tuple[Strip, ...]
    width: int
    system: ColorSystem
    theme: TerminalTheme

    def write(self, svg: Path | None, png: Path | None) -> None:
        """Write what is wanted; the folder is made.

        Raises:
            EngineError: a file cannot be written.
        """
        from ddpm_tui.screenshot.raster import draw

        try:
            for path in (svg, png):
                if path is not None:
                    io.make_folder(path.parent, parents=True)
            if svg is not None:
                io.write_atomic(svg, self.svg.encode("utf-8"))
            if png is not None:
                drawn = BytesIO()
                picture = draw(self.rows, self.width, self.system, self.theme)
                picture.save(drawn, format="PNG", optimize=True)
                io.write_atomic(png, drawn.getvalue())
        except RunError as error:
            raise EngineError(
                f"The picture of the screen cannot be written ({error.message})",
                "Start the workbench in a folder that you may write to.",
            ) from error.__cause__


def capture(app: App[Any], title: str | None = None) -> Captured:
    """Take a picture of the screen of a running app. Call it in the app's own thread."""
    from rich.color import ColorSystem

    rows = rows_of(app)
    with _still_to_be_sent(app):
        svg = app.export_screenshot(title=title)
    # As on the terminal: 24-bit colours become those that 256 or 16 have.
    systems = {"256": ColorSystem.EIGHT_BIT, "standard": ColorSystem.STANDARD}
    system = systems.get(app.console.color_system or "", ColorSystem.TRUECOLOR)
    return Captured(svg, rows, app.size.width, system, app.ansi_theme)


def rows_of(app: App[Any]) -> tuple[Strip, ...]:
    """What every row of the screen shows."""
    with _still_to_be_sent(app):
        # Not public, and what Textual's own screenshot is made from.
        update = app.screen._compositor.render_full_update()
        return tuple(Strip.join(strips) for strips in update.strips)


@contextmanager
def _still_to_be_sent(app: App[Any]) -> Iterator[None]:
    """A full rendering takes everything for sent; what waits to be sent is put back."""
    compositor = app.screen._compositor
    waiting = set(compositor._dirty_regions)
    try:
        yield
    finally:
        compositor._dirty_regions.update(waiting)


def free_names(folder: Path, name: str) -> tuple[Path, Path]:
    """The SVG and the PNG of this second, that no file is in the way of, as whole paths."""
    stem = time.strftime(f"{name}-%Y%m%d-%H%M%S")
    number = 1
    while True:
        tried = stem if number == 1 else f"{stem}-{number}"
        svg, png = (folder.absolute() / f"{tried}{end}" for end in (".svg", ".png"))
        if not svg.exists() and not png.exists():
            return svg, png
        number += 1
