"""Line charts: named series over a common x axis, on a grid of braille dots.

`decimate` leaves as many points as there are columns; `axis` says where things are; `plot`
draws them on a `canvas` of cells; `widget` turns the cells into rows of Textual. So the
cost of a redraw depends on the size of the chart alone, and neither NaN nor 1e300 breaks it.
"""

from __future__ import annotations

from ddpm_tui.ticks import format_tick, format_ticks, linear_ticks, log_ticks
from ddpm_tui.widgets.chart.decimate import decimate
from ddpm_tui.widgets.chart.series import Series
from ddpm_tui.widgets.chart.widget import LineChart

__all__ = [
    "LineChart",
    "Series",
    "decimate",
    "format_tick",
    "format_ticks",
    "linear_ticks",
    "log_ticks",
]
