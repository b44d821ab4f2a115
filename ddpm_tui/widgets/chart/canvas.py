"""Cells of a terminal to draw on: curves of dots finer than a cell, marks, lines and text.

A whole curve is drawn at once, in arrays: a chart of 100 × 30 cells takes 1 ms where a call for
every dot takes 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_tui.widgets.chart.decimate import Floats

Ints = NDArray[np.int64]

BLANK = 0
"""The paint of cells that nothing was drawn on."""

_NO_BRUSH = -1


@dataclass(frozen=True, eq=False, slots=True)
class Brush:
    """How a curve becomes cells.

    Attributes:
        bits: (rows, columns), the dots of a cell; each sets its bit.
        glyphs: (2 ** dots,), what a cell with these bits shows, as Unicode code points.
        sample: two cells of it, for a legend.
    """

    bits: NDArray[np.uint8]
    glyphs: NDArray[np.uint32]
    sample: str


def _brush(bits: list[list[int]], glyphs: str, sample: str) -> Brush:
    points = np.array([ord(glyph) for glyph in glyphs], dtype=np.uint32)
    return Brush(np.array(bits, dtype=np.uint8), points, sample)


def glyph_brush(glyph: str) -> Brush:
    """A brush that fills each cell that a curve touches with one glyph."""
    return _brush([[1]], f" {glyph}", glyph * 2)


BRAILLE = _brush(
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]],
    "".join(chr(0x2800 + bits) for bits in range(256)),
    "──",
)
"""The finest dots that every terminal font has: 4 × 2 in a cell."""

QUADRANTS = _brush([[1, 2], [4, 8]], " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█", "▄▄")


class Canvas:
    """`height` rows of `width` cells; each has a glyph and a paint, a number that stands for a
    style. What is drawn later covers what was drawn before, but dots of one brush add up."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._glyphs = np.full((height, width), ord(" "), dtype=np.uint32)
        self._paints = np.full((height, width), BLANK, dtype=np.int16)
        self._bits = np.zeros((height, width), dtype=np.uint8)
        self._brush = np.full((height, width), _NO_BRUSH, dtype=np.int8)
        self._brushes: list[Brush] = []  # what `_brush` numbers

    def curve(self, x: Floats, y: Floats, brush: Brush, paint: int) -> None:
        """A line through points.

        Args:
            x, y: (n,), 0 … 1 from the left and from the bottom; NaN in `y` interrupts the line.
        """
        rows, columns = brush.bits.shape
        dots = np.zeros((rows * self.height, columns * self.width), dtype=np.uint8)
        known = np.isfinite(y)
        column = _nearest(x, dots.shape[1])
        row = _nearest(1 - np.where(known, y, 0.0), dots.shape[0])
        dots[row[known], column[known]] = 1
        dots[_between(row, column, known[:-1] & known[1:])] = 1

        parts = dots.reshape(self.height, rows, self.width, columns)
        bits = np.einsum("yrxc,rc->yx", parts, brush.bits)
        touched = bits > 0
        if brush not in self._brushes:
            self._brushes.append(brush)
        number = self._brushes.index(brush)
        again = touched & (self._brush == number)
        bits[again] |= self._bits[again]
        self._bits[touched] = bits[touched]
        self._brush[touched] = number
        self._glyphs[touched] = brush.glyphs[bits[touched]]
        self._paints[touched] = paint

    def marks(self, x: Floats, y: Floats, glyph: str, paint: int) -> None:
        """A glyph at each of the points, which are given as for `curve`."""
        known = np.isfinite(y)
        at = _nearest(1 - y[known], self.height), _nearest(x[known], self.width)
        self._put(at, np.uint32(ord(glyph)), paint)

    def text(self, row: int, column: int, text: str, paint: int) -> None:
        """Characters of one cell each, cut off where the canvas ends."""
        text = text[: max(self.width - column, 0)]
        if text and 0 <= row < self.height and column >= 0:
            points = np.array([ord(character) for character in text], dtype=np.uint32)
            self._put((row, slice(column, column + len(text))), points, paint)

    def rule(self, column: int, paint: int, rows: slice = slice(None)) -> None:
        """A vertical line."""
        self._put((rows, column), np.uint32(ord("│")), paint)

    def paste(self, other: Canvas, column: int) -> None:
        """Another canvas, on the top rows from a column on; all of it has to fit."""
        at = (slice(other.height), slice(column, column + other.width))
        self._put(at, other._glyphs, other._paints)

    def _put(self, at: Any, glyphs: Any, paints: Any) -> None:
        """Cells that no dots can be added to."""
        self._glyphs[at], self._paints[at], self._brush[at] = glyphs, paints, _NO_BRUSH

    def runs(self, row: int) -> list[tuple[str, int]]:
        """A row as texts and the paint of each, spaces apart and BLANK."""
        glyphs, paints = self._glyphs[row], self._paints[row]
        paints = np.where(glyphs == ord(" "), BLANK, paints)
        ends = [*(np.flatnonzero(np.diff(paints)) + 1).tolist(), self.width]
        text = glyphs.tobytes().decode("utf-32")
        starts = [0, *ends[:-1]]
        return [
            (text[start:end], int(paints[start]))
            for start, end in zip(starts, ends, strict=True)
            if end > start
        ]


def _nearest(share: Floats, count: int) -> Ints:
    """Which of `count` evenly spaced places is nearest to 0 … 1."""
    places: Ints = np.rint(np.clip(share, 0, 1) * (count - 1)).astype(np.int64)
    return places


def _between(row: Ints, column: Ints, joined: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The dots of straight lines from each point to the next one, where the two are joined.

    Args:
        row, column: (n,).
        joined: (n − 1,).
    """
    down, right = np.diff(row), np.diff(column)
    lengths = np.where(joined, np.maximum(np.abs(down), np.abs(right)), 0)
    line = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    share = (np.arange(len(line)) - first[line]) / lengths[line]
    return (
        row[line] + np.rint(share * down[line]).astype(np.int64),
        column[line] + np.rint(share * right[line]).astype(np.int64),
    )
