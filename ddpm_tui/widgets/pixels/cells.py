"""Two colours to a cell, and a cell to what is written.

A cell is one integer: upper × RADIX + lower. Each half is a colour code or EMPTY, the widget's
own background; without colour it is the code point of a character, in both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from ddpm_tui.color import ColorMode
from ddpm_tui.widgets.pixels.colors import codes, color
from ddpm_tui.widgets.pixels.layout import Images

Cells = NDArray[np.int64]

HALF_BLOCK = "▀"
_LOWER_HALF, _FULL = "▄", "█"
EMPTY = 1 << 24
RADIX = 1 << 25
BLANK = EMPTY * RADIX + EMPTY
HOLE = BLANK + 1
"""The terminal's default background, through which its own pixels are seen."""

_HOLE_STYLE = Style(bgcolor="default")

_MOST = 16384  # segments to remember


def half_block_cells(images: Images, mode: ColorMode) -> Cells:
    """Cells of images: (n, h, w, …) → (n, ⌈h/2⌉, w). A last odd row has nothing below it."""
    found = codes(images, mode)
    if found.shape[1] % 2:
        found = np.pad(found, [(0, 0), (0, 1), (0, 0)], constant_values=EMPTY)
    return found[:, 0::2] * RADIX + found[:, 1::2]


class Segments:
    """Segments one cell wide, remembered by cell.

    Attributes:
        mode: the colours of the terminal.
        base: the style of the widget.
    """

    def __init__(self, mode: ColorMode, base: Style) -> None:
        self.mode, self.base = mode, base
        self._known: dict[int, Segment] = {}

    def row(self, cells: Cells) -> list[Segment]:
        """Segments of one row; equal neighbours become one."""
        if not cells.size:
            return []
        starts = np.concatenate([[0], np.flatnonzero(np.diff(cells)) + 1])
        lengths = np.diff(starts, append=cells.size).tolist()
        segments: list[Segment] = []
        for cell, length in zip(cells[starts].tolist(), lengths, strict=True):
            segment = self._known.get(cell)
            if segment is None:
                segment = self._remember(cell)
            segments.append(
                segment if length == 1 else Segment(segment.text * length, segment.style)
            )
        return segments

    def _remember(self, cell: int) -> Segment:
        upper, lower = divmod(cell, RADIX)
        base, mode = self.base, self.mode
        if cell == BLANK:
            segment = Segment(" ", base)
        elif cell == HOLE:
            segment = Segment(" ", _HOLE_STYLE)
        elif mode is ColorMode.NONE:
            segment = Segment(chr(upper), base)
        elif mode is ColorMode.COLOR16:
            segment = self._sixteen(upper, lower)
        elif upper == lower:
            # A space has no seam between its halves, and needs one colour only.
            segment = Segment(" ", Style.from_color(None, color(lower, mode)))
        else:
            background = base.bgcolor if lower == EMPTY else color(lower, mode)
            segment = Segment(HALF_BLOCK, Style.from_color(color(upper, mode), background))
        if len(self._known) >= _MOST:  # bounded, and simple: pictures refill it in one frame
            self._known.clear()
        self._known[cell] = segment
        return segment

    def _sixteen(self, upper: int, lower: int) -> Segment:
        """The brighter half is the ink: the Linux console has only eight backgrounds, and shows
        bright ones as their dark twins."""
        mode = self.mode
        if upper == lower:
            return Segment(_FULL, Style.from_color(color(upper, mode), self.base.bgcolor))
        if lower == EMPTY:
            return Segment(HALF_BLOCK, Style.from_color(color(upper, mode), self.base.bgcolor))
        bright_below = upper < 8 <= lower
        text, ink, paper = (
            (_LOWER_HALF, lower, upper) if bright_below else (HALF_BLOCK, upper, lower)
        )
        return Segment(text, Style.from_color(color(ink, mode), color(paper, mode)))
