"""Rows of styled text to a picture, cell by cell, without a browser or a font of the system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import as_file, files

from PIL import Image, ImageDraw, ImageFont
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.strip import Strip

from ddpm_tui.screenshot import shapes

CELL = (10, 20)  # pixels
_FONT_SIZE = 16
RGB = tuple[int, int, int]


def draw(
    rows: Sequence[Strip], width: int, system: ColorSystem, theme: TerminalTheme
) -> Image.Image:
    """Draw rows of `width` cells, in the colours that a terminal of `system` would show.

    Args:
        theme: what the terminal's own colours are.
    """
    across, down = CELL
    image = Image.new("RGB", (width * across, len(rows) * down), tuple(theme.background_color))
    canvas = ImageDraw.Draw(image)
    for y, strip in enumerate(rows):
        x = 0
        for text, style in _cells(strip):
            cells = max(1, cell_len(text))
            _draw_cell(image, canvas, (x, y, cells), text, _colors(style, system, theme), style)
            x += cells
            if x >= width:
                break
    return image


def _cells(strip: Iterable[Segment]) -> Iterator[tuple[str, Style]]:
    """Characters with what combines with them, and their style."""
    waiting, waiting_style = "", Style.null()
    for text, style, control in strip:
        if control:
            continue
        for character in text:
            if waiting and cell_len(character) == 0:
                waiting += character
                continue
            if waiting:
                yield waiting, waiting_style
            waiting, waiting_style = character, style or Style.null()
    if waiting:
        yield waiting, waiting_style


@lru_cache(maxsize=8192)
def _rgb(color: Color, system: ColorSystem, theme: TerminalTheme, foreground: bool) -> RGB:
    triplet = color.downgrade(system).get_truecolor(theme, foreground=foreground)
    return triplet.red, triplet.green, triplet.blue


def _colors(style: Style, system: ColorSystem, theme: TerminalTheme) -> tuple[RGB, RGB]:
    fore = _rgb(style.color or Color.default(), system, theme, True)
    back = _rgb(style.bgcolor or Color.default(), system, theme, False)
    if style.reverse:
        fore, back = back, fore
    if style.dim:
        fore = _mixed(fore, back, 0.6)
    return fore, back


def _mixed(one: RGB, other: RGB, share: float) -> RGB:
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _draw_cell(
    image: Image.Image,
    canvas: ImageDraw.ImageDraw,
    place: tuple[int, int, int],
    text: str,
    colors: tuple[RGB, RGB],
    style: Style,
) -> None:
    column, row, cells = place
    fore, back = colors
    left, top = column * CELL[0], row * CELL[1]
    width, height = cells * CELL[0], CELL[1]
    share = shapes.shade(text)
    canvas.rectangle(
        (left, top, left + width - 1, top + height - 1),
        fill=back if share is None else _mixed(fore, back, share),
    )
    if text.isspace() or share is not None:
        return
    boxes = shapes.boxes(text) if len(text) == 1 else None
    if boxes is not None:
        for x0, y0, x1, y1 in boxes:
            canvas.rectangle(
                (
                    left + round(x0 * width),
                    top + round(y0 * height),
                    left + max(round(x1 * width), round(x0 * width) + 1) - 1,
                    top + max(round(y1 * height), round(y0 * height) + 1) - 1,
                ),
                fill=fore,
            )
    else:
        mask = _glyph(text, cells, bool(style.bold))
        image.paste(fore, (left, top), mask)
    for wanted, line in ((style.underline, height - 3), (style.strike, height // 2)):
        if wanted:
            canvas.line((left, top + line, left + width - 1, top + line), fill=fore)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    with as_file(files("ddpm_tui.screenshot") / "fonts" / "DejaVuSansMono.ttf") as path:
        return ImageFont.truetype(path, _FONT_SIZE)


@lru_cache(maxsize=4096)
def _glyph(text: str, cells: int, bold: bool) -> Image.Image:
    mask = Image.new("L", (cells * CELL[0], CELL[1]), 0)
    canvas = ImageDraw.Draw(mask)
    for shift in (0.0, 0.7) if bold else (0.0,):
        canvas.text((shift, CELL[1] - 5), text, fill=255, font=_font(), anchor="ls")
    return mask
