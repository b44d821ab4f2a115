"""A heat strip: rows of values over a common x axis, each value a coloured cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.color import ColorMode, mode_of
from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.pacing import Pacer
from ddpm_tui.widgets.strips import message_line, row_regions

Floats = NDArray[np.float64]

# Evenly bright steps from dark to light (inferno, Smith & van der Walt 2015), and the same in ink.
_RAMP = (
    *("#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d"),
    "#fcffa4",
)
_INK = " .:-=+*%@"


class HeatStrip(Widget):
    """Values as colours: dark is low, light is high, nothing is a gap.

    Where there are more rows than lines, neighbours are averaged; the first row is at the bottom,
    as on a chart. Below are the range of x and a legend of the colours.
    """

    DEFAULT_CSS = """
    HeatStrip > .heat-strip--label { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"heat-strip--label"}

    def __init__(
        self, message: str = "", *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._message = message
        self._values: Floats = np.empty((0, 0))
        self._labels: tuple[str, ...] = ()
        self._range = (0.0, 0.0)
        self._tell: Callable[[float], str] = str
        self._strips: list[Strip] = []
        self._pacer = Pacer(self, self._draw, 4)

    def show(
        self,
        values: Floats,
        row_labels: Sequence[str],
        x_range: tuple[float, float],
        tell: Callable[[float], str] = "{:.3g}".format,
    ) -> None:
        """Draw values (rows, columns), NaN a gap.

        Args:
            row_labels: one for each row, or none at all.
            x_range: the steps of the first and the last column.
            tell: a value as the legend shows it.
        """
        self._values, self._labels = values, tuple(row_labels)
        self._range, self._tell = x_range, tell
        self._pacer.request()

    def on_resize(self, _event: Resize) -> None:
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._pacer.request()

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def _draw(self) -> None:
        if not self.is_mounted or not self.is_on_screen:
            return
        strips = self._rows(*self.size)
        changed = [
            y for y, s in enumerate(strips) if y >= len(self._strips) or s != self._strips[y]
        ]
        self._strips = strips
        if changed:
            self.refresh(*row_regions(changed, self.size.width))

    def _rows(self, width: int, height: int) -> list[Strip]:
        base = self.visual_style.rich_style
        label = self.get_component_rich_style("heat-strip--label")
        margin = max((cell_len(text) for text in self._labels), default=0) + 1
        across = width - margin
        known = np.isfinite(self._values)
        if not known.any() or across < 4 or height < 1:
            return [
                message_line(self._message, y, width, height, label, base) for y in range(height)
            ]
        footer = height >= 4
        rows = len(self._values)
        # As many rows in every line, if that leaves no more than one line empty.
        room = min(max(height - footer, 1), rows)
        even = max(n for n in range(1, room + 1) if rows % n == 0)
        lines = even if even >= room - 1 else room
        cells = self._averaged(lines, across)
        low, high = np.nanmin(cells), np.nanmax(cells)
        level = (cells - low) / (high - low) if high > low else np.zeros(cells.shape)
        strips = []
        edges = np.linspace(0, len(self._values), lines + 1).astype(int)
        for line in reversed(range(lines)):
            text = self._labels[edges[line]] if self._labels else ""
            segments = [Segment(f"{clean(text):>{margin - 1}} ", label)]
            segments += [self._cell(value, base) for value in level[line]]
            strips.append(Strip(Segment.simplify(segments)).adjust_cell_length(width, base))
        if footer:
            strips.append(self._footer(margin, across, (float(low), float(high)), label, base))
        strips += [Strip.blank(width, base)] * (height - len(strips))
        return [strip.adjust_cell_length(width, base) for strip in strips]

    def _footer(
        self, margin: int, across: int, values: tuple[float, float], label: Style, base: Style
    ) -> Strip:
        """The first and the last step; between them the colours from the lowest to the highest."""
        first, last = (f"{value:,.0f}" for value in self._range)
        low, high = (f" {clean(self._tell(value))} " for value in values)
        room = across - len(first) - len(last)
        legend = len(low) + len(_RAMP) + len(high)
        segments = [Segment(" " * margin, base), Segment(first, label)]
        if legend <= room:
            left = (room - legend) // 2
            ramp = [self._cell(index / (len(_RAMP) - 1), base) for index in range(len(_RAMP))]
            segments += [Segment(" " * left + low, label), *ramp]
            segments.append(Segment(high + " " * (room - legend - left), label))
        else:
            segments.append(Segment(" " * max(room, 1), base))
        return Strip(Segment.simplify([*segments, Segment(last, label)]))

    def _averaged(self, lines: int, across: int) -> Floats:
        """(lines, across): means over rows; each column of the screen takes that in its place."""
        values, count = self._values, np.isfinite(self._values).astype(np.float64)
        starts = np.linspace(0, len(values), lines + 1).astype(int)[:-1]
        total = np.add.reduceat(np.where(count > 0, values, 0.0), starts, axis=0)
        known = np.add.reduceat(count, starts, axis=0)
        means = np.divide(total, known, out=np.full(total.shape, np.nan), where=known > 0)
        shown: Floats = means[:, (np.arange(across) * values.shape[1]) // across]
        return shown

    def _cell(self, level: float, base: Style) -> Segment:
        if not np.isfinite(level):
            return Segment(" ", base)
        index = round(float(level) * (len(_RAMP) - 1))
        if mode_of(self.app) in (ColorMode.NONE, ColorMode.COLOR16):
            return Segment(_INK[index], base)
        return Segment("█", Style(color=_RAMP[index], bgcolor=base.bgcolor))
