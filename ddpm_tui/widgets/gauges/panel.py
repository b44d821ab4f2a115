"""The panel as a widget of Textual."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.widgets.gauges.history import History, Steady
from ddpm_tui.widgets.gauges.layout import filled, layout, natural_height
from ddpm_tui.widgets.gauges.parts import Line
from engine.telemetry import Telemetry


class DevicePanel(Widget):
    """Utilization, memory, temperature and power of every visible GPU.

    With one or two GPUs each has three rows, with more (or too little height) one; where CSS gives
    it a lot of height, every quantity has its history. Without a GPU
    the processor and the memory take their place, beside the reason. The height is automatic
    unless CSS sets it; any size works.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "device-panel--name",
        "device-panel--label",
        "device-panel--figure",
        "device-panel--load",
        "device-panel--memory",
        "device-panel--memory-warning",
        "device-panel--memory-error",
        "device-panel--warning",
        "device-panel--error",
        "device-panel--history",
    }

    DEFAULT_CSS = """
    DevicePanel {
        height: auto;
        & > .device-panel--name { text-style: bold; }
        & > .device-panel--label { color: $text-muted; }
        & > .device-panel--load { color: $success; background: $foreground 12%; }
        & > .device-panel--memory { color: $primary; background: $foreground 12%; }
        & > .device-panel--memory-warning { color: $warning; background: $foreground 12%; }
        & > .device-panel--memory-error { color: $error; background: $foreground 12%; }
        & > .device-panel--warning { color: $text-warning; text-style: bold; }
        & > .device-panel--error { color: $text-error; text-style: bold; }
        & > .device-panel--history { color: $success 70%; }
    }
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.history = History()
        self._steady = Steady()
        self._telemetry: Telemetry | None = None
        self._lines: list[Line] = []
        self._lines_size: Size | None = None  # what `_lines` was laid out for

    def forget(self) -> None:
        """What follows is of other devices."""
        self.history = History()
        self._steady = Steady()

    def update(self, telemetry: Telemetry) -> None:
        """Show a new snapshot; call it once per sampling period, on the app's thread."""
        shown = self._steady(telemetry)
        for position, gpu in enumerate(shown.gpus):
            self.history.add_gpu(position, gpu)
        self.history.add("cpu", shown.host.cpu_percent)

        size = self.content_size
        height = natural_height(self._telemetry, size.width)
        self._telemetry = shown
        if self._lines_size != size or natural_height(shown, size.width) != height:
            self._lines_size = None
            self.refresh(layout=True)
            return
        before = self._lines
        self._lines = self._lay(size)
        changed = [y for y in range(size.height) if before[y : y + 1] != self._lines[y : y + 1]]
        if changed:  # without regions, refresh() would mean everything
            self.refresh(*(Region(0, y, size.width, 1) for y in changed))

    def get_content_height(  # Textual gives all three by place
        self,
        container: Size,  # noqa: ARG002
        viewport: Size,  # noqa: ARG002
        width: int,
    ) -> int:
        return natural_height(self._telemetry, width)

    def _lay(self, size: Size) -> list[Line]:
        # CSS has set the height if it is more than what was asked for.
        more = size.height > natural_height(self._telemetry, size.width)
        lay = filled if more else layout
        return lay(self._telemetry, self.history, size.width, size.height)

    def render_line(self, y: int) -> Strip:
        size = self.content_size
        if self._lines_size != size:
            self._lines = self._lay(size)
            self._lines_size = size
        segments = [
            Segment(text, self.get_component_rich_style(f"device-panel--{component}"))
            for component, text in (self._lines[y] if y < len(self._lines) else [])
            if text
        ]
        return Strip(segments).adjust_cell_length(size.width, self.rich_style)
