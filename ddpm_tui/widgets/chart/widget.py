"""The chart as a widget of Textual."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.events import Resize
from textual.filter import LineFilter
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.color import ColorMode, keep_palette, mode_of
from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.chart.axis import HUGE, TINY, axis_of
from ddpm_tui.widgets.chart.canvas import BLANK, BRAILLE, QUADRANTS, Brush, glyph_brush
from ddpm_tui.widgets.chart.decimate import decimate
from ddpm_tui.widgets.chart.plot import AXIS, CURSOR, FIRST_SERIES, MARKS, TICK, Curve, plot
from ddpm_tui.widgets.chart.series import Series
from ddpm_tui.widgets.pacing import Pacer
from ddpm_tui.widgets.strips import TerseStrip, fit, message_line, row_regions

# Dots of two curves in one cell take the colour of the later one, so dim curves are drawn in
# quarter blocks, which braille replaces: a smoothed curve stays a line in front of its raw data
# instead of colouring all of it. Without colour, curves differ by their glyphs.
_BRIGHT = (BRAILLE, *(glyph_brush(glyph) for glyph in "*+ox#"))
_DIM = glyph_brush("·")


class LineChart(Widget):
    """Curves over a common x axis, or a message while there is nothing to draw.

    Use from the UI thread only. Changes are drawn at most `max_fps` times per second, and only
    the rows that changed are sent; off screen, drawing waits until the chart is shown again.
    """

    DEFAULT_CSS = """
    LineChart { width: 1fr; height: 1fr; }
    LineChart > .line-chart--axis { color: $foreground 40%; }
    LineChart > .line-chart--tick { color: $text-muted; }
    LineChart > .line-chart--label { color: $text; }
    LineChart > .line-chart--cursor { color: $warning; }
    LineChart > .line-chart--message { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-chart--axis",
        "line-chart--tick",
        "line-chart--label",
        "line-chart--cursor",
        "line-chart--message",
    }
    ALLOW_SELECT = False

    log_y: reactive[bool] = reactive(False, repaint=False)
    """Logarithmic y axis; values that are not positive become gaps."""

    cursor: reactive[float | None] = reactive(None, repaint=False)
    """A vertical line at this x, for "you are here"; None for no line."""

    x_label: reactive[str] = reactive("", repaint=False)
    y_label: reactive[str] = reactive("", repaint=False)

    message: reactive[str] = reactive("", repaint=False)
    """Shown while there is nothing to draw."""

    def __init__(
        self,
        *,
        message: str = "No data yet",
        log_y: bool = False,
        x_label: str = "",
        y_label: str = "",
        max_fps: float = 15,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series: tuple[Series, ...] = ()
        self._strips: list[Strip] = []  # rows of the content
        self._pacer = Pacer(self, self._draw, max_fps)
        self.set_reactive(LineChart.message, message)
        self.set_reactive(LineChart.log_y, log_y)
        self.set_reactive(LineChart.x_label, x_label)
        self.set_reactive(LineChart.y_label, y_label)

    @property
    def series(self) -> tuple[Series, ...]:
        """What is drawn, the first one undermost."""
        return self._series

    def set_series(self, series: Sequence[Series]) -> None:
        """Draw these curves instead of the present ones. Later ones are drawn over earlier ones.

        The arrays are kept, not copied: do not write to them afterwards.
        """
        self._series = tuple(series)
        self._pacer.request()

    def watch_log_y(self) -> None:
        self._pacer.request()

    def watch_cursor(self) -> None:
        self._pacer.request()

    def watch_x_label(self) -> None:
        self._pacer.request()

    def watch_y_label(self) -> None:
        self._pacer.request()

    def watch_message(self) -> None:
        self._pacer.request()

    def on_resize(self, _event: Resize) -> None:
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._pacer.request()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return keep_palette(super().get_line_filters())

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def render_lines(self, crop: Region) -> list[Strip]:
        return [TerseStrip(strip, strip.cell_length) for strip in super().render_lines(crop)]

    def _draw(self) -> None:
        """Make the rows for the current state; refresh those that changed."""
        if not self.is_mounted or not self.is_on_screen:
            return  # Textual sends Resize when a widget comes into view
        strips = self._rows(*self.size)
        changed = [
            y
            for y, strip in enumerate(strips)
            if y >= len(self._strips) or strip != self._strips[y]
        ]
        self._strips = strips
        if changed:
            self.refresh(*row_regions(changed, self.size.width))

    def _rows(self, width: int, height: int) -> list[Strip]:
        base = self.visual_style.rich_style
        pens = self._pens()
        curves = [
            _usable(series, pen, self.log_y, width)
            for series, pen in zip(self._series, pens, strict=True)
        ]
        drawn = [curve for curve in curves if np.isfinite(curve.y).any()]
        if not drawn or width < 2 or height < 1:
            style = self.get_component_rich_style("line-chart--message")
            return [
                message_line(self.message, y, width, height, style, base) for y in range(height)
            ]

        x_axis = axis_of(np.concatenate([curve.x for curve in drawn]), log=False, margin=0)
        y_axis = axis_of(np.concatenate([curve.y for curve in drawn]), log=self.log_y, margin=0.03)
        header = height >= 6 and (bool(self.y_label) or len(self._series) > 1)
        footer = height >= 8 and bool(self.x_label)
        canvas = plot(curves, x_axis, y_axis, self.cursor, width, height - header - footer)

        styles = self._styles(base)
        strips = [
            Strip([Segment(text, styles[paint]) for text, paint in canvas.runs(y)], width)
            for y in range(canvas.height)
        ]
        if header:
            strips.insert(0, self._header(width, pens, styles, base))
        if footer:
            label = self.get_component_rich_style("line-chart--tick")
            strips.append(Strip([Segment(fit(self.x_label, width), label)], width))
        return strips

    def _header(
        self, width: int, pens: Sequence[Brush | str], styles: dict[int, Style], base: Style
    ) -> Strip:
        """The label of the y axis, and the legend if there is something to tell apart.

        Of the legend, as many entries as fit; they come closer before one goes.
        """
        label = self.get_component_rich_style("line-chart--label")
        title = clean(self.y_label)
        entries: list[tuple[str, int, str]] = []  # sample, paint, name
        if len(self._series) > 1:
            for index, (series, pen) in enumerate(zip(self._series, pens, strict=True)):
                sample = pen if isinstance(pen, str) else pen.sample
                entries.append((sample, FIRST_SERIES + index, clean(series.name)))
        lengths = [cell_len(f"{sample} {name}") for sample, _, name in entries]
        lengths = [cell_len(title), *lengths] if title else lengths
        gap = 2 if sum(lengths) + 2 * len(lengths) - 1 <= width else 1
        segments = [Segment(f" {title}", label)] if title else []
        for sample, paint, name in entries:
            before = " " * (gap if segments else 1)
            wanted = cell_len(f"{before}{sample} {name}")
            if wanted + sum(segment.cell_length for segment in segments) > width:
                break
            segments += [Segment(before, base), Segment(sample, styles[paint])]
            segments.append(Segment(f" {name}", label))
        return Strip(segments).adjust_cell_length(width, base)

    def _pens(self) -> list[Brush | str]:
        """How each series is drawn."""
        marks = itertools.cycle(MARKS)
        # The soft colours of a theme are one and the same grey among 16.
        if mode_of(self.app) not in (ColorMode.NONE, ColorMode.COLOR16):
            return [
                next(marks) if s.marks else QUADRANTS if s.dim else BRAILLE for s in self._series
            ]
        bright = itertools.cycle(_BRIGHT)
        return [next(marks) if s.marks else _DIM if s.dim else next(bright) for s in self._series]

    def _styles(self, base: Style) -> dict[int, Style]:
        """A style for each of the paints of `plot`."""
        styles = {
            BLANK: base,
            AXIS: self.get_component_rich_style("line-chart--axis"),
            TICK: self.get_component_rich_style("line-chart--tick"),
            CURSOR: self.get_component_rich_style("line-chart--cursor"),
        }
        background = self.visual_style.background or Color(0, 0, 0)
        mode = mode_of(self.app)
        for index, series in enumerate(self._series):
            # Of dark colours the 256 have only greys; without colour, text stands out most.
            grey = mode is ColorMode.NONE or (series.dim and mode is ColorMode.COLOR256)
            color = self._color("foreground" if grey else series.color)
            if series.dim:
                share = 0.5 if mode is ColorMode.NONE else 0.25 if grey else 0.35
                color = background.blend(color, share)
            styles[FIRST_SERIES + index] = Style.from_color(color.rich_color, base.bgcolor)
        return styles

    def _color(self, name: str) -> Color:
        try:
            return Color.parse(self.app.theme_variables.get(name, name))
        except ColorParseError:
            return self.visual_style.foreground or Color(255, 255, 255)


def _usable(series: Series, pen: Brush | str, log_y: bool, columns: int) -> Curve:
    """What is to be drawn of a series."""
    x, y = decimate(series.x, series.y, columns, above=TINY if log_y else -math.inf)
    return Curve(np.clip(x, -HUGE, HUGE), np.clip(y, -HUGE, HUGE), pen)
