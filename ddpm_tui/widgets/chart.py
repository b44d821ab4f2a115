"""Line charts: named series over a common x axis, drawn by plotext on a grid of braille dots.

plotext draws curves, axes and tick labels into a string; here that string becomes rows for
Textual. It is given normalised coordinates, ready ticks and only as many points as there are
columns, so its cost depends on the size of the chart alone, and neither NaN nor 1e300 reaches it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
from ddpm_tui.widgets.pacing import Pacer
from ddpm_tui.widgets.strips import TerseStrip, fit, message_line, row_regions

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """One curve. `x` and `y` have the same length; NaN and infinities in `y` are gaps.

    Args:
        color: a colour of the theme ("primary", "accent", "warning" …) or any CSS colour.
        dim: blend the colour into the background, for raw data behind a smoothed curve.
        marks: points without a line between them, for what is measured now and then.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    color: str = "primary"
    dim: bool = False
    marks: bool = False


# --- Data --------------------------------------------------------------------------------------


def decimate(x: ArrayLike, y: ArrayLike, columns: int) -> tuple[Floats, Floats]:
    """At most two points per column, its lowest and its highest, in the order of `x`.

    What a chart of that many columns shows stays the same: no peak is lost, the first and the
    last point stay, and there are at most 2 × `columns` + 2 points however many came in. Points
    whose x is not finite are dropped; a y that is not finite becomes NaN, a gap, and survives
    where it fills a whole column.

    Args:
        x: (n,), in any order; sorted first if need be.
        y: (n,).
        columns: equal intervals between the first x and the last.
    """
    # Converted to float only in the end: that takes 2 ms for a million integers.
    across: NDArray[Any] = np.ravel(x)
    up: NDArray[Any] = np.ravel(y)
    length = min(across.size, up.size)
    across, up = across[:length], up[:length]
    if across.dtype.kind == "f" and not np.isfinite(across).all():
        finite = np.isfinite(across)
        across, up = across[finite], up[finite]
    if (across[1:] < across[:-1]).any():
        order = np.argsort(across, kind="stable")
        across, up = across[order], up[order]
    if across.size > 2 * columns + 2:
        keep = _extremes(across, up, max(columns, 1))
        across, up = across[keep], up[keep]
    up = up.astype(np.float64)
    return across.astype(np.float64), np.where(np.isfinite(up), up, np.nan)


def _extremes(x: NDArray[Any], y: NDArray[Any], columns: int) -> list[int]:
    """Indices of the lowest and the highest finite y of every column, of the first and the last
    point, and of one point of each column that has no finite y."""
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        y = np.where(np.isfinite(y), y, np.nan)
    low, high = float(x[0]), float(x[-1])
    edges = np.linspace(low / columns, high / columns, columns + 1)[1:-1] * columns  # no overflow
    bounds = [0, *np.searchsorted(x, edges, side="left").tolist(), x.size]
    keep = {0, x.size - 1}
    for start, stop in itertools.pairwise(bounds):
        if start == stop:
            continue
        column = y[start:stop]
        lowest, highest = int(column.argmin()), int(column.argmax())
        if math.isnan(column[lowest]):  # argmin and argmax stop at the first NaN
            known = np.flatnonzero(~np.isnan(column))
            if known.size:
                lowest = int(known[column[known].argmin()])
                highest = int(known[column[known].argmax()])
        keep |= {start + lowest, start + highest}
    return sorted(keep)


# --- Ticks -------------------------------------------------------------------------------------


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers in [low, high], a multiple of 1, 2, 2.5 or 5 apart."""
    if most < 1 or not high > low:
        return []
    exponent = math.floor(math.log10((high - low) / most)) - 1
    while True:
        for factor in (1, 2, 2.5, 5):
            step = factor * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first < most:
                digits = 1 - exponent  # 2.5 has one decimal
                return [round(k * step, digits) for k in range(first, last + 1)]
        exponent += 1


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers in [low, high], both positive, for a logarithmic axis.

    Powers of ten, thinned if there are many; 1, 2, 5 between them if there are few; evenly spaced
    numbers within less than a decade, where those would be one or two.
    """
    if most < 1 or not high > low > 0:
        return []
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = range(first, last + 1)
    if len(decades) > most:
        stride = -(-len(decades) // most)
        return [10.0**k for k in decades if k % stride == 0]
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**k for k in range(first - 1, last + 1) for f in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if 2 <= len(ticks) <= most and (len(ticks) > 2 or high >= 10 * low):
            return ticks
    return linear_ticks(low, high, most)


_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_tick(value: float, step: float | None = None) -> str:
    """A short label: 0, 0.05, 20, 1k, 2.5M, 1e-3.

    Args:
        step: the distance to the next tick, which tells how many decimals are needed; None for
            the ticks of a logarithmic axis, which are round by themselves.
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or (step is None and size < 0.01):
        return _exponential(value, step)
    for unit, letter in _UNITS:
        if size >= unit:
            return _decimal(value / unit, None if step is None else step / unit, trim=True) + letter
    return _decimal(value, step, trim=False)


def format_ticks(values: Sequence[float]) -> list[str]:
    """Labels for the evenly spaced ticks of one axis, all in one form."""
    step = abs(values[1] - values[0]) if len(values) > 1 else None
    if max((abs(value) for value in values), default=0) < 0.01:
        return ["0" if value == 0 else _exponential(value, step) for value in values]
    return [format_tick(value, step) for value in values]


def _decimal(value: float, step: float | None, *, trim: bool) -> str:
    if step is None:
        return f"{value:.6g}"
    text = f"{value:.{_decimals(step)}f}"
    return text.rstrip("0").rstrip(".") if trim and "." in text else text


def _exponential(value: float, step: float | None) -> str:
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    text = f"{_shift(value, -exponent):.{_decimals(_shift(step, -exponent)) if step else 0}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}e{exponent}"


def _shift(value: float, places: int) -> float:
    """`value` × 10 ** `places`, in two steps because 10.0**310 is not a number."""
    return value * 10.0 ** (places // 2) * 10.0 ** (places - places // 2)


def _decimals(step: float) -> int:
    """Decimals that multiples of `step` need."""
    exact = (d for d in range(10) if math.isclose(step, round(step, d), rel_tol=1e-6))
    return next(exact, 10)


# --- Drawing -----------------------------------------------------------------------------------

# plotext paints in palette colours, which serve as names here: what is painted in colour _AXIS is
# part of an axis. The rows get their real colours, which follow the theme, afterwards.
_AXIS, _TICK, _CURSOR, _FIRST_SERIES = 100, 101, 102, 110
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_RUNS = re.compile(r" +|[^ ]+")

# Braille is the finest grid that every terminal font has. Dots of two curves in one cell take the
# colour of the later one, so dim curves are drawn in quarter blocks, which braille replaces: a
# smoothed curve stays a line in front of its raw data instead of colouring all of it.
_BRAILLE, _BLOCKS = "braille", "hd"
# Without colour, curves differ by their glyphs.
_GLYPHS = (_BRAILLE, "*", "+", "o", "x", "#")
_MARK = "◆"


# Beyond these, differences and powers of ten leave the range of floats.
_HUGE, _TINY = 1e280, 1e-280


@dataclass(frozen=True, slots=True)
class _Axis:
    """The visible range of an axis, in data units, or in their logarithm if `log`."""

    low: float
    high: float
    log: bool = False

    def position(self, values: ArrayLike) -> Floats:
        """Where `values` lie on the axis, 0 … 1."""
        v = np.asarray(values, dtype=np.float64)
        v = np.log10(v) if self.log else v
        return np.asarray((v - self.low) / (self.high - self.low), dtype=np.float64)

    def ticks(self, most: int) -> tuple[list[float], list[str]]:
        """Positions 0 … 1 and labels of at most `most` ticks."""
        if self.log:
            values = log_ticks(10.0**self.low, 10.0**self.high, most)
            spaced = len(values) > 2 and math.isclose(
                values[1] - values[0], values[2] - values[1], rel_tol=1e-6
            )
            labels = format_ticks(values) if spaced else [format_tick(value) for value in values]
        else:
            values = linear_ticks(self.low, self.high, most)
            labels = format_ticks(values)
        return self.position(values).tolist() if values else [], labels


def _axis(values: Floats, *, log: bool, margin: float) -> _Axis:
    """An axis that holds all finite `values` (there is at least one)."""
    finite = values[np.isfinite(values)]
    if log:
        finite = np.log10(finite)
    low, high = float(finite.min()), float(finite.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-290):  # constant, as far as one can see
        room = 0.5 if log or abs(high) < 1e-290 else 0.1 * abs(high)
        return _Axis(low - room, high + room, log)
    room = margin * (high - low)
    if not log and low >= 0:
        return _Axis(max(0.0, low - room), high + room)  # a loss has no room below zero
    return _Axis(low - room, high + room, log)


def _usable(series: Series, log_y: bool, columns: int) -> tuple[Floats, Floats]:
    """The points of a series to draw, in data units."""
    y = np.asarray(series.y)
    if log_y and not (y > _TINY).all():
        y = np.where(y > _TINY, y, np.nan)
    x, y = decimate(series.x, y, columns)
    return np.clip(x, -_HUGE, _HUGE), np.clip(y, -_HUGE, _HUGE)


def _thin(x: Floats, y: Floats, columns: int, rows: int) -> tuple[Floats, Floats]:
    """Without points that fall on the same dot as the one before, and one NaN per gap."""
    if not x.size:
        return x, y
    gap = np.isnan(y)
    dot = np.stack([np.rint(x * columns), np.where(gap, -1, np.rint(np.nan_to_num(y) * rows))])
    same = (dot[:, 1:] == dot[:, :-1]).all(axis=0) | (gap[1:] & gap[:-1])
    keep = np.concatenate([[True], ~same])
    return x[keep], y[keep]


def _plot(
    curves: Sequence[tuple[Floats, Floats]],
    glyphs: Sequence[str],
    x_axis: _Axis,
    y_axis: _Axis,
    cursor: float | None,
    width: int,
    height: int,
) -> str:
    """The chart as plotext draws it: `height` lines of `width` cells with escape sequences."""
    import plotext  # 0.1 s, which the first paint of the app should not wait for

    # The figure is one for the whole process. Everything about it is set here on every redraw,
    # so nothing is left over from the last one; it never reads the terminal's size.
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    for clear in ("subplots", "data", "settings", "pixels", "styles"):
        getattr(figure.clear, clear)()
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.canvas("default")

    with_axes = width >= 8 and height >= 4
    figure.axes(False)
    if with_axes:
        figure.axes(True, pixel=plotext.pixel(_AXIS), axis=0, side=0)
        figure.axes(True, pixel=plotext.pixel(_AXIS), axis=1, side=0)
    for number, axis, most in (
        (0, x_axis, width // 12 if with_axes else 0),
        (1, y_axis, min(8, (height + 2) // 4) if with_axes and width >= 20 else 0),
    ):
        ruler = figure.ruler(number, 0)
        ruler.lim(0, 1)
        ruler.pixel(_TICK)
        positions, labels = axis.ticks(most)
        ruler.ticks(positions, labels)

    if cursor is not None and 0 <= cursor <= 1:
        figure.line(cursor, orientation=1, relative=True, pixel=plotext.pixel(_CURSOR))
    for index, ((x, y), glyph) in enumerate(zip(curves, glyphs, strict=True)):
        gap = np.isnan(y)
        if gap.all():
            continue
        marker = plotext.marker(glyph, pixel=plotext.pixel(_FIRST_SERIES + index))
        signal = figure.signal(x[~gap].tolist(), y[~gap].tolist(), marker=marker)
        if glyph != _MARK:
            signal = signal.lines()
        for start in np.flatnonzero(gap[:-1] & ~gap[1:]) + 1:
            signal.line(int(start - gap[:start].sum()), False)
        figure.draw(signal)
    return str(figure.build().string())


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
        curves = [_usable(series, self.log_y, width) for series in self._series]
        drawn = [index for index, (_, y) in enumerate(curves) if np.isfinite(y).any()]
        if not drawn or width < 2 or height < 1:
            style = self.get_component_rich_style("line-chart--message")
            return [
                message_line(self.message, y, width, height, style, base) for y in range(height)
            ]

        x_axis = _axis(np.concatenate([curves[i][0] for i in drawn]), log=False, margin=0)
        y_axis = _axis(np.concatenate([curves[i][1] for i in drawn]), log=self.log_y, margin=0.03)
        header = height >= 6 and (bool(self.y_label) or len(self._series) > 1)
        footer = height >= 8 and bool(self.x_label)
        plot_height = height - header - footer

        glyphs = self._glyphs()
        thinned = [
            _thin(x_axis.position(x), y_axis.position(y), 2 * width, 4 * plot_height)
            for x, y in curves
        ]
        at = None if self.cursor is None else float(x_axis.position(self.cursor))
        text = _plot(thinned, glyphs, x_axis, y_axis, at, width, plot_height)

        styles = self._styles(base)
        strips = [_strip(line, width, styles, base) for line in text.split("\n")[:plot_height]]
        strips += [Strip.blank(width, base)] * (plot_height - len(strips))
        if header:
            strips.insert(0, self._header(width, glyphs, styles, base))
        if footer:
            label = self.get_component_rich_style("line-chart--tick")
            strips.append(Strip([Segment(fit(self.x_label, width), label)], width))
        return strips

    def _header(
        self, width: int, glyphs: Sequence[str], styles: dict[int, Style], base: Style
    ) -> Strip:
        """The label of the y axis, and the legend if there is something to tell apart."""
        label = self.get_component_rich_style("line-chart--label")
        segments = [Segment(f" {clean(self.y_label)}", label)]
        if len(self._series) > 1:
            for index, (series, glyph) in enumerate(zip(self._series, glyphs, strict=True)):
                sample = {_BRAILLE: "──", _BLOCKS: "▄▄"}.get(glyph, glyph * 2)
                segments.append(Segment(f"  {sample} ", styles[_FIRST_SERIES + index]))
                segments.append(Segment(clean(series.name), label))
        return Strip(segments).adjust_cell_length(width, base)

    def _glyphs(self) -> list[str]:
        """The glyph of each series."""
        # The soft colours of a theme are one and the same grey among 16.
        if mode_of(self.app) not in (ColorMode.NONE, ColorMode.COLOR16):
            return [_MARK if s.marks else _BLOCKS if s.dim else _BRAILLE for s in self._series]
        bright = itertools.cycle(_GLYPHS)
        return [_MARK if s.marks else "." if s.dim else next(bright) for s in self._series]

    def _styles(self, base: Style) -> dict[int, Style]:
        """A style for each of the colours that `_plot` paints in."""
        styles = {
            _AXIS: self.get_component_rich_style("line-chart--axis"),
            _TICK: self.get_component_rich_style("line-chart--tick"),
            _CURSOR: self.get_component_rich_style("line-chart--cursor"),
        }
        background = self.visual_style.background or Color(0, 0, 0)
        mode = mode_of(self.app)
        for index, series in enumerate(self._series):
            # Of dark colours the 256 have only greys; without colour, text stands out most.
            grey = mode is ColorMode.NONE or (series.dim and mode is ColorMode.COLOR256)
            color = self._color("foreground" if grey else series.color)
            if series.dim:
                color = background.blend(color, 0.25 if grey else 0.35)
            styles[_FIRST_SERIES + index] = Style.from_color(color.rich_color, base.bgcolor)
        return styles

    def _color(self, name: str) -> Color:
        try:
            return Color.parse(self.app.theme_variables.get(name, name))
        except ColorParseError:
            return self.visual_style.foreground or Color(255, 255, 255)


def _strip(line: str, width: int, styles: dict[int, Style], base: Style) -> Strip:
    """A row of plotext's output in the styles of the theme."""
    segments: list[Segment] = []
    style = base
    for index, part in enumerate(_SGR.split(line)):
        if index % 2:  # the parameters of an escape sequence
            kind, _, color = part.rpartition(";")
            if kind == "38;5":
                style = styles.get(int(color), base)
            elif part == "0":
                style = base
        else:
            # Space apart from text: some SVG viewers drop it at the start of a segment.
            segments.extend(
                Segment(run, base if run.isspace() else style) for run in _RUNS.findall(part)
            )
    return Strip(Segment.simplify(segments)).adjust_cell_length(width, base)
