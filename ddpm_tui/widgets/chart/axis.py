"""The visible range of an axis: data units to positions 0 … 1, and ticks at such positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ddpm_tui.ticks import format_tick, format_ticks, linear_ticks, log_ticks
from ddpm_tui.widgets.chart.decimate import Floats

# Beyond these, differences and powers of ten leave the range of floats.
HUGE, TINY = 1e280, 1e-280


@dataclass(frozen=True, slots=True)
class Axis:
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


def axis_of(values: Floats, *, log: bool, margin: float) -> Axis:
    """An axis that holds all finite `values` (there is at least one)."""
    finite = values[np.isfinite(values)]
    if log:
        finite = np.log10(finite)
    low, high = float(finite.min()), float(finite.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-290):  # constant, as far as one can see
        room = 0.5 if log or abs(high) < 1e-290 else 0.1 * abs(high)
        return Axis(low - room, high + room, log)
    room = margin * (high - low)
    if not log and low >= 0:
        return Axis(max(0.0, low - room), high + room)  # a loss has no room below zero
    return Axis(low - room, high + room, log)
