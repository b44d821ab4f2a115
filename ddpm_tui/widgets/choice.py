"""One of a few values: the arrows change it in place, no list opens over the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from ddpm_tui.sanitize import clean


class Choice(Widget, can_focus=True):
    """◂ value ▸; left and right go round."""

    DEFAULT_CSS = """
    Choice { height: 1; width: 1fr; background: $surface; color: $foreground; }
    Choice:focus { background: $primary; color: $background; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Previous", show=False),
        Binding("right,l,space", "step(1)", "Next", show=False),
    ]

    value: reactive[str] = reactive("")

    class Changed(Message):
        """The value is another one now."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, values: Sequence[str], value: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values = list(values)
        self.set_reactive(Choice.value, value or (self._values[0] if self._values else ""))

    def set_values(self, values: Sequence[str], value: str = "") -> None:
        """Offer other values; the present one stays when it is among them."""
        self._values = list(values)
        if value or self.value not in self._values:
            self.value = value or (self._values[0] if self._values else "")
        self.refresh()

    def render(self) -> RenderResult:
        marks = ("◂ ", " ▸") if len(self._values) > 1 else ("  ", "  ")
        room = max(self.size.width - sum(map(len, marks)), 1)
        return Text(f"{marks[0]}{clean(self.value, room)}{marks[1]}", no_wrap=True)

    def action_step(self, by: int) -> None:
        if self._values:
            index = self._values.index(self.value) if self.value in self._values else 0
            self.value = self._values[(index + by) % len(self._values)]

    def watch_value(self) -> None:
        self.post_message(self.Changed(self))

    def on_click(self, _event: events.Click) -> None:
        self.action_step(1)
