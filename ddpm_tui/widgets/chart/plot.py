"""A chart on a canvas: curves between two axes with ticks and labels, and the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddpm_tui.widgets.chart.axis import Axis
from ddpm_tui.widgets.chart.canvas import Brush, Canvas
from ddpm_tui.widgets.chart.decimate import Floats

AXIS, TICK, CURSOR, FIRST_SERIES = 1, 2, 3, 4
"""Paints; curves have FIRST_SERIES and those after it."""

MARKS = "◆◇●○"
"""What points without a line between them are drawn as, one kind after the other."""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """Points to draw, x and y in data units; NaN in `y` is a gap. A glyph instead of a brush
    marks the points and draws no line between them."""

    x: Floats
    y: Floats
    pen: Brush | str


def plot(
    curves: Sequence[Curve],
    x_axis: Axis,
    y_axis: Axis,
    cursor: float | None,
    width: int,
    height: int,
) -> Canvas:
    """Curves, later ones over earlier ones, in `width` × `height` cells.

    The axes go where there is no room for them, the labels of the y axis before.

    Args:
        cursor: the x of a vertical line behind the curves; outside of the axis there is none.
    """
    whole = Canvas(width, height)
    if width < 8 or height < 4:
        whole.paste(_curves(curves, x_axis, y_axis, cursor, width, height), 0)
        return whole

    rows = height - 2
    positions, labels = y_axis.ticks(min(8, (height + 2) // 4)) if width >= 20 else ([], [])
    left = max(map(len, labels), default=0)
    columns = width - left - 1
    whole.paste(_curves(curves, x_axis, y_axis, cursor, columns, rows), left + 1)

    whole.rule(left, AXIS, slice(rows))
    for position, label in zip(positions, labels, strict=True):
        row = _cell(1 - position, rows, 4)
        whole.text(row, 0, label.rjust(left), TICK)
        whole.text(row, left, "┤", AXIS)
    whole.text(rows, left, "└" + "─" * columns, AXIS)
    _x_ticks(whole, x_axis, left + 1, columns)
    if cursor is not None and (column := _column(x_axis, cursor, columns)) is not None:
        whole.text(rows, left + 1 + column, "┴", CURSOR)
    return whole


def _curves(
    curves: Sequence[Curve],
    x_axis: Axis,
    y_axis: Axis,
    cursor: float | None,
    width: int,
    height: int,
) -> Canvas:
    inside = Canvas(width, height)
    if cursor is not None and (column := _column(x_axis, cursor, width)) is not None:
        inside.rule(column, CURSOR)
    for index, curve in enumerate(curves):
        x, y, paint = x_axis.position(curve.x), y_axis.position(curve.y), FIRST_SERIES + index
        if isinstance(curve.pen, str):
            inside.marks(x, y, curve.pen, paint)
        else:
            inside.curve(x, y, curve.pen, paint)
    return inside


def _column(axis: Axis, x: float, columns: int) -> int | None:
    """The column of a value; None beside the axis."""
    position = float(axis.position(x))
    return _cell(position, columns, 2) if 0 <= position <= 1 else None


def _cell(position: float, cells: int, dots: int) -> int:
    """The cell of the dot that is nearest to 0 … 1, so that a tick is where the curve is."""
    return round(position * (dots * cells - 1)) // dots


def _x_ticks(whole: Canvas, axis: Axis, left: int, columns: int) -> None:
    """Ticks on the row above the last one; below each its label, if it does not touch another."""
    taken = -2
    positions, labels = axis.ticks(whole.width // 10)
    for position, label in zip(positions, labels, strict=True):
        column = left + _cell(position, columns, 2)
        whole.text(whole.height - 2, column, "┬", AXIS)
        start = min(max(column - len(label) // 2, 0), whole.width - len(label))
        if start > taken + 1 and start >= 0:
            whole.text(whole.height - 1, start, label, TICK)
            taken = start + len(label) - 1
