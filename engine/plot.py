"""Curves as PNG, drawn with pillow: a small plot does not need a plotting library."""

from __future__ import annotations

import io as bytes_io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.runs import io
from engine.runs.curves import Curve, Floats

# Two for each column that is drawn.
LOSS_POINTS = 1760

_SIZE = (1000, 560)
_MARGIN = (90, 30, 40, 60)  # left, top, right, bottom
_BACKGROUND, _INK, _GRID = "#ffffff", "#24292f", "#d8dee4"
_RAW, _SMOOTH, _MARK = "#b6c9e6", "#1f5fbf", "#b3541e"
_SCALE = 2  # drawn twice as large and halved: pillow's lines are not anti-aliased


def write_loss_plot(path: Path, loss: Curve) -> None:
    """Raw and smoothed loss over the steps, log-y, as PNG.

    Args:
        loss: as from `Curves.window`; `LOSS_POINTS` are enough.

    Raises:
        RunError: the file cannot be written.
    """
    curves = [
        _Curve(*_above_0(*loss.raw()), _RAW, 1),
        _Curve(*_above_0(loss.x, loss.smooth), _SMOOTH, 3),
    ]
    _write(path, curves, "training loss (raw, smoothed)", "step", {})


def _above_0(xs: Floats, ys: Floats) -> tuple[list[float], list[float]]:
    """The points that a logarithmic axis can take."""
    usable = ys > 0  # NaN is not
    return xs[usable].tolist(), ys[usable].tolist()


def write_quality_plot(
    path: Path, minutes: Sequence[float], distances: Sequence[float], marks: Mapping[str, float]
) -> None:
    """Fréchet distance over minutes of training, log-y, as PNG.

    Args:
        marks: distances to compare with, by what they are; each a dashed line across.

    Raises:
        RunError: the file cannot be written.
    """
    title = "Frechet distance over minutes of training"  # pillow's own font has no accents
    _write(path, [_Curve(minutes, distances, _SMOOTH, 3, points=True)], title, "minutes", marks)


@dataclass(frozen=True)
class _Curve:
    """Values above 0 at rising xs; with points, each of them is marked and the last one named."""

    xs: Sequence[float]
    values: Sequence[float]
    color: str
    thickness: int
    points: bool = False


def _write(
    path: Path,
    curves: Sequence[_Curve],
    title: str,
    across: str,
    marks: Mapping[str, float],
) -> None:
    """Curves over an axis that begins at 0."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = (side * _SCALE for side in _SIZE)
    left, top, right, bottom = (side * _SCALE for side in _MARGIN)
    image = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15 * _SCALE)

    last = max((curve.xs[-1] for curve in curves if curve.xs), default=None)
    if last is None:
        draw.text((width / 2, height / 2), "no loss logged", _INK, font, anchor="mm")
    else:
        ys = [*marks.values(), *(y for curve in curves for y in curve.values)]
        x_low, x_high = 0.0, last if last > 0 else 1.0
        ticks = _log_ticks(min(ys), max(ys))
        y_low, y_high = math.log10(ticks[0]), math.log10(ticks[-1])

        def place(x: float, y: float) -> tuple[float, float]:
            share = (x - x_low) / (x_high - x_low)
            up = (math.log10(y) - y_low) / (y_high - y_low)
            return left + share * (width - left - right), height - bottom - up * (
                height - top - bottom
            )

        for tick in ticks:
            y = place(x_low, tick)[1]
            draw.line([(left, y), (width - right, y)], _GRID, _SCALE)
            draw.text((left - 8 * _SCALE, y), f"{tick:g}", _INK, font, anchor="rm")
        for tick in _round_ticks(x_low, x_high):
            x = place(tick, 10**y_low)[0]
            label = f"{tick:,.0f}" if x_high - x_low > 5 else f"{tick:g}"
            draw.text((x, height - bottom + 10 * _SCALE), label, _INK, font, anchor="mt")
        for name, value in marks.items():
            y = place(x_low, value)[1]
            for x in range(left, width - right, 16 * _SCALE):
                draw.line([(x, y), (x + 8 * _SCALE, y)], _MARK, 2 * _SCALE)
            label = f"{name}: {value:.3g}"
            draw.text((width - right, y - 4 * _SCALE), label, _MARK, font, anchor="rb")
        for curve in curves:
            points = [place(x, y) for x, y in zip(curve.xs, curve.values, strict=True)]
            draw.line(points, curve.color, curve.thickness * _SCALE, joint="curve")
            if curve.points:
                for x, y in points:
                    draw.circle((x, y), 4 * _SCALE, curve.color)
                above = (points[-1][0], points[-1][1] - 8 * _SCALE)
                draw.text(above, f"{curve.values[-1]:.3g}", curve.color, font, anchor="mb")
        draw.text((width / 2, height - 6 * _SCALE), across, _INK, font, anchor="mb")
        draw.text((left, 6 * _SCALE), title, _INK, font, anchor="lt")

    buffer = bytes_io.BytesIO()
    image.reduce(_SCALE).save(buffer, format="PNG")
    io.write_atomic(path, buffer.getvalue())


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten: the fewest that reach from low to high, at least two."""
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
    first = max(index for index, tick in enumerate(ticks) if tick <= low)
    last = min(index for index, tick in enumerate(ticks) if tick >= high)
    return ticks[first : max(last, first + 1) + 1]


def _round_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at most `most` of them."""
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(m * magnitude for m in (1, 2, 5, 10) if (high - low) / (m * magnitude) < most)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]
