"""The chart of a comparison: a curve a run, over steps, images or seconds; a cursor that tells."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from textual.events import Resize
from textual.message import Message

from ddpm_tui.comparing import Row
from ddpm_tui.feed import Snapshot
from ddpm_tui.report import duration, figure
from ddpm_tui.views.compare.colors import COLORS, numbered
from ddpm_tui.views.compare.feed import Sides
from ddpm_tui.views.train.titles import entitle
from ddpm_tui.widgets.chart import LineChart, Series
from engine.compare.differences import losses_apart, settings_of
from engine.runs.curves import Floats

# What is along the x axis: its name, and how a place on it reads.
_AXES: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("step", lambda x: f"step {x:,.0f}"),
    ("images seen", lambda x: f"{x:,.0f} images"),
    ("seconds", duration),
)
_CURVES = ("loss", "held-out loss")
# Cells of the legend before the first name, and of the sign before every name.
_LEGEND_MARGIN, _LEGEND_SIGN = 1, 5


@dataclass(frozen=True, eq=False)
class _Line:
    """The curve of a run along the chosen axis; x ascends."""

    x: Floats
    y: Floats

    def at(self, x: float, reach: float) -> float | None:
        """The newest value up to a place; None in a gap, before the first and after the last.

        Args:
            reach: how far off still counts, as the points of two runs are not the same.
        """
        if not len(self.x) or not self.x[0] - reach <= x <= self.x[-1] + reach:
            return None
        value = float(self.y[max(int(np.searchsorted(self.x, x, "right")) - 1, 0)])
        return value if math.isfinite(value) else None


_NOTHING = _Line(np.empty(0), np.empty(0))


class RunCurves(LineChart):
    """One curve a run."""

    can_focus = True
    DEFAULT_CSS: ClassVar[str] = "RunCurves:focus { border-title-style: bold; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sides: Sides | None = None
        self._curve = 0
        self._axis = 0
        self._smoothed = True
        self._lines: list[_Line] = []
        self._wide = 0

    class CursorMoved(Message):
        """`at_cursor` says something else now."""

    def show_sides(self, sides: Sides) -> None:
        """Draw what the folders say."""
        self._sides = sides
        self._show()

    def cycle_curve(self) -> None:
        """Loss, or held-out loss."""
        self._curve = (self._curve + 1) % len(_CURVES)
        self._show()

    def cycle_axis(self) -> None:
        """Steps, images seen, seconds; the cursor would mean another place."""
        self._axis = (self._axis + 1) % len(_AXES)
        self.cursor = None
        self._show()

    def toggle_smoothing(self) -> None:
        self._smoothed = not self._smoothed
        self._show()

    def move(self, columns: int) -> None:
        """Move the cursor by columns of the chart; at first it appears at the end."""
        ends = self._ends()
        if ends is None:
            return
        first, last = ends
        if self.cursor is None:
            self.cursor = last
        else:
            moved = self.cursor + columns * self._column(ends)
            self.cursor = min(max(moved, first), last)
        self._draw_lines()

    def jump(self, to_end: bool) -> None:
        """The cursor at the first point, or none, so that the newest is told."""
        ends = self._ends()
        self.cursor = None if to_end or ends is None else ends[0]
        self._draw_lines()

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        if self.content_size.width != self._wide:
            self._show()

    def watch_log_y(self) -> None:
        super().watch_log_y()
        self._tell()

    def at_cursor(self) -> Row | None:
        """The value of every run at the cursor; None without one."""
        ends = self._ends()
        if self.cursor is None or ends is None:
            return None
        reach = self._column(ends)
        return Row("at cursor", tuple(figure(line.at(self.cursor, reach)) for line in self._lines))

    def _column(self, ends: tuple[float, float]) -> float:
        """How much of the x axis a column of the chart has."""
        return (ends[1] - ends[0]) / max(self.content_size.width - 8, 1)

    def _ends(self) -> tuple[float, float] | None:
        drawn = [line.x for line in self._lines if len(line.x)]
        if not drawn:
            return None
        return min(float(x[0]) for x in drawn), max(float(x[-1]) for x in drawn)

    def _show(self) -> None:
        self._wide = self.content_size.width
        if self._sides is not None:
            self._lines = [
                _NOTHING if snapshot is None else self._line(snapshot)
                for snapshot in self._sides.snapshots
            ]
        self._draw_lines()

    def _line(self, snapshot: Snapshot) -> _Line:
        points = max(2 * self._wide, 100)
        curve = snapshot.curves.window("loss", points=points)
        if _CURVES[self._curve] == "loss":
            steps, y = (curve.x, curve.smooth) if self._smoothed else curve.raw()
        else:
            held_out = np.array(snapshot.held_out, dtype=np.float64).reshape(-1, 2)
            steps, y = held_out.T
        match _AXES[self._axis][0]:
            case "images seen":
                batch_size = settings_of(snapshot.config)["data.batch_size"]
                if not isinstance(batch_size, int):
                    return _NOTHING
                x = steps * batch_size
            case "seconds":
                # Of the same stretches of rows; the time at the end of each is its highest.
                elapsed = snapshot.curves.window("elapsed", points=points).high
                known = np.isfinite(elapsed)
                if not known.any():
                    return _NOTHING
                x = np.interp(steps, curve.x[known], elapsed[known])
            case _:
                x = steps
        return _Line(x, y)

    def _draw_lines(self) -> None:
        """The curves with their names, and beside those the values at the cursor."""
        self.x_label = _AXES[self._axis][0]
        names = self._names()
        self.set_series(
            [
                Series(name, line.x, line.y, COLORS[index])
                for index, (name, line) in enumerate(zip(names, self._lines, strict=True))
            ]
        )
        self._tell()
        self.post_message(self.CursorMoved())

    def _names(self) -> list[str]:
        """As long as the legend has room for all of them; a value goes before a name."""
        if self._sides is None:
            return []
        count = max(len(self._lines), 1)
        room = (self.content_size.width - _LEGEND_MARGIN) // count - _LEGEND_SIGN
        at_cursor = self.at_cursor()
        values = [f" {cell}" for cell in at_cursor.cells] if at_cursor else [""] * count
        if room < max(map(len, values)) + 1:
            values = [""] * count
        standings = self._sides.comparison.standings
        return [
            numbered(index, standing.name, room - len(value)) + value
            for index, (standing, value) in enumerate(zip(standings, values, strict=True))
        ]

    def _tell(self) -> None:
        """In the title: what is shown, where the cursor is, and what does not compare."""
        parts = [_CURVES[self._curve]]
        if parts[0] == "loss":
            parts.append("smoothed" if self._smoothed else "each step")
        if self.log_y:
            parts.append("log")
        if self.cursor is not None:
            parts.append(_AXES[self._axis][1](self.cursor))
            told = self.at_cursor()
            if told is not None and len(told.cells) == 1:  # which has no legend
                parts += told.cells
        elif self._sides is not None and losses_apart(dict(self._sides.comparison.config)):
            parts.append("not comparable")
        snapshots = self._sides.snapshots if self._sides else ()
        read = min((each.read for each in snapshots if each), default=1.0)
        if read < 1:
            parts.insert(0, f"{read:.0%} read")
        entitle(self, " · ".join(parts))
