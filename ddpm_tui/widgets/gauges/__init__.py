"""The panel that shows how busy the GPUs are or, where there are none, the processor.

`layout` turns telemetry into lines of text, with a `table` for many GPUs and a `detail` of each
where there is room, out of `parts`; `history` is what is kept between readings; `panel` styles the
lines and sends the terminal only the rows that changed.
"""

from __future__ import annotations

from ddpm_tui.widgets.gauges.history import History
from ddpm_tui.widgets.gauges.layout import filled, layout, natural_height
from ddpm_tui.widgets.gauges.panel import DevicePanel
from ddpm_tui.widgets.gauges.parts import Line

__all__ = ["DevicePanel", "History", "Line", "filled", "layout", "natural_height"]
