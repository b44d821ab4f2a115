"""The chart of the Train view: a column of the metrics, zoomed, with a cursor that tells values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from textual.events import Resize

from ddpm_tui.feed import Snapshot
from ddpm_tui.views.train.titles import entitle
from ddpm_tui.widgets.chart import LineChart, Series
from engine.runs.curves import Curve
from engine.runs.scores import Score

# What the chart can show: column, title, format of its values.
SHOWN: tuple[tuple[str, str, str], ...] = (
    ("loss", "loss", ".4f"),
    ("grad_norm", "gradient norm", ".3f"),
    ("lr", "learning rate", ".3g"),
    ("images_per_second", "images/s", ",.0f"),
    ("skipped", "skipped steps", ",.0f"),
    ("frechet", "Fréchet distance", ".3g"),
)
_NO_ROWS = "The loss appears with the first steps."
_NO_SCORES = "Not evaluated yet: ddpm-tui evaluate does it, in a shell."
_DEEPEST = 14


class CurveChart(LineChart):
    """One column of the metrics, or the evaluations.

    The zoom halves what is shown: the newest steps, or those around the cursor.
    """

    can_focus = True
    DEFAULT_CSS: ClassVar[str] = "CurveChart:focus { border-title-style: bold; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(message=_NO_ROWS, **options)
        self._snapshot: Snapshot | None = None
        self._column = 0
        self._zoom = 0
        self._at: float | None = None
        self._curve: Curve | None = None
        self._wide = 0

    def show_run(self, snapshot: Snapshot | None) -> None:
        """Draw what a snapshot says; None is nothing yet, of another run."""
        if snapshot is None:
            self._zoom, self._at = 0, None
        self._snapshot = snapshot
        self._show()

    @property
    def span(self) -> tuple[float, float]:
        """The steps that are shown."""
        known = self._snapshot.curves.steps if self._snapshot else None
        first, last = known or (0.0, 0.0)
        width = (last - first) / 2**self._zoom
        if self._zoom == 0:
            return first, last
        middle = last if self._at is None else self._at
        start = min(max(middle - width / 2, first), last - width)
        return start, start + width

    def cycle(self) -> None:
        """The next column."""
        self._column = (self._column + 1) % len(SHOWN)
        self._show()

    def zoom_in(self, times: int) -> None:
        """Halve what is shown, or double it."""
        self._zoom = min(max(self._zoom + times, 0), _DEEPEST)
        self._show()

    def move(self, columns: int) -> None:
        """Move the cursor by columns of the chart; at first it appears on the newest point."""
        curve = self._curve
        if curve is None or not len(curve.x):
            return
        if self._at is None:
            self._at = float(curve.x[-1])
        else:
            index = int(np.searchsorted(curve.x, self._at))
            step = max(1, round(len(curve.x) / max(self.content_size.width - 8, 1)))
            index = min(max(index + columns * step, 0), len(curve.x) - 1)
            self._at = float(curve.x[index])
        self._show()

    def jump(self, to_end: bool) -> None:
        """The cursor at the first point shown, or none, so that the newest is followed."""
        curve = self._curve
        if curve is not None and len(curve.x):
            self._at = None if to_end else float(curve.x[0])
            self._show()

    @property
    def has_cursor(self) -> bool:
        return self._at is not None

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        if self.content_size.width != self._wide:
            self._show()

    def watch_log_y(self) -> None:
        super().watch_log_y()
        self._tell()

    def _show(self) -> None:
        snapshot = self._snapshot
        self._wide = self.content_size.width
        if snapshot is None or not snapshot.curves.rows:
            self._curve = None
            self.cursor = None
            self.message = _NO_ROWS
            self.set_series([])
            self._tell()
            return
        column = SHOWN[self._column][0]
        first, last = self.span
        self.cursor = self._at
        if column == "frechet":
            self._show_scores([s for s in snapshot.scores if first <= s.step <= last])
            return
        curve = snapshot.curves.window(column, first, last, points=max(2 * self._wide, 100))
        self._curve = curve
        x, y = curve.raw()
        # Its window reaches over short gaps, which should be seen.
        smooth = np.where(np.isfinite(curve.low), curve.smooth, np.nan)
        series = [
            Series("raw", x, y, "primary", dim=True),
            Series("smoothed", curve.x, smooth, "primary"),
        ]
        if column == "loss":
            series += self._marks(snapshot, curve, first, last)
        self.set_series(series)
        self._tell()

    def _show_scores(self, scores: Sequence[Score]) -> None:
        """The distances of the evaluated checkpoints; below them that of real pictures."""
        best = {score.step: score for score in scores}  # with the most pictures
        x = np.array(list(best), dtype=np.float64)
        y = np.array([score.frechet for score in best.values()])
        floor = np.array([math.nan if s.floor is None else s.floor for s in best.values()])
        self._curve = Curve(x, y, y, np.full(len(x), math.nan), np.zeros(len(x), dtype=bool))
        self.message = _NO_SCORES
        self.set_series(
            [
                Series("real", x, floor, "accent"),
                Series("samples", x, y, "success"),
                Series("evaluated", x, y, "success", marks=True),
            ]
        )
        self._tell()

    def _marks(self, snapshot: Snapshot, curve: Curve, first: float, last: float) -> list[Series]:
        """Held-out losses at the checkpoints; evaluations, at their step on the smoothed curve."""
        marks = []
        held_out = [(s, loss) for s, loss in snapshot.held_out if first <= s <= last]
        if held_out:
            x, y = np.array(held_out, dtype=np.float64).T
            marks.append(Series("held-out", x, y, "accent", marks=True))
        steps = sorted({s.step for s in snapshot.scores if first <= s.step <= last})
        if steps:
            at = np.searchsorted(curve.x, steps).clip(max=len(curve.x) - 1)
            marks.append(
                Series(
                    "scored",
                    np.array(steps, dtype=np.float64),
                    curve.smooth[at],
                    "success",
                    marks=True,
                )
            )
        return marks

    def _tell(self) -> None:
        """In the title: what is shown, or the values at the cursor."""
        _, title, _ = SHOWN[self._column]
        parts = [title]
        if values := self._values():
            # The values count more; the border takes four cells.
            whole = len(title) + len(values) + 3 <= self.size.width - 4
            parts = [title, values] if whole else [values]
        elif self._zoom and self._snapshot:
            first, last = self.span
            parts.append(f"last {last - first:,.0f} steps")
        if self.log_y and not values:
            parts.append("log")
        if self._snapshot and self._snapshot.read < 1:
            parts.insert(0, f"{self._snapshot.read:.0%} read")
        entitle(self, " · ".join(parts))

    def _values(self) -> str:
        curve = self._curve
        if self._at is None or curve is None or self._snapshot is None or not len(curve.x):
            return ""
        index = min(int(np.searchsorted(curve.x, self._at)), len(curve.x) - 1)
        form = SHOWN[self._column][2]
        low, high, smooth = curve.low[index], curve.high[index], curve.smooth[index]
        if not math.isfinite(low):
            value = "not finite"
        elif low == high:
            value = f"{low:{form}}"
        else:
            value = f"{low:{form}} … {high:{form}}"
        parts = [f"step {curve.x[index]:,.0f}: {value}"]
        if math.isfinite(smooth):
            parts.append(f"smoothed {smooth:{form}}")
        start = curve.x[index - 1] if index else -math.inf
        scores = [s for s in self._snapshot.scores if start < s.step <= curve.x[index]]
        if SHOWN[self._column][0] == "frechet":
            parts += [f"n {score.n:,}, {score.sampling}" for score in scores[-1:]]
        else:
            parts += [f"Fréchet {score.frechet:.3g}" for score in scores]
        return " · ".join(parts)
