"""The question before the workbench is left while it trains."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Button, Static

from ddpm_tui.views.dialog import Body, Dialog, DialogScreen

Way = Literal["stay", "stop", "hand over"]


class Leave(DialogScreen[Way]):
    """Stay, save and stop, or leave the training to a process of its own; escape stays.

    Args:
        name: the run that is being trained.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer('stay')", "Stay"),
        Binding("y", "answer('stop')", "Save and stop"),
        Binding("d", "answer('hand over')", "Leave it to itself"),
        Binding("up,k", "app.focus_previous", "Button above", show=False),
        Binding("down,j", "app.focus_next", "Button below", show=False),
    ]
    DEFAULT_CSS = """
    Leave #ways { height: auto; margin-top: 1; }
    Leave.-tiny #ways { margin-top: 0; }
    Leave #ways Button { width: 100%; margin: 0; content-align: left middle; text-align: left; }
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def compose(self) -> ComposeResult:
        with Dialog(f"{self._name} is being trained"):
            with Body():
                yield Static(
                    "It can go on by itself in the background: the next workbench shows it, and "
                    f"`ddpm-tui stop {self._name}` stops it.",
                    markup=False,
                )
            with Vertical(id="ways"):
                yield Button("Stay (n)", id="stay", compact=True)
                yield Button("Leave, and let it train on (d)", id="hand-over", compact=True)
                yield Button("Save a checkpoint, stop and quit (y)", id="stop", compact=True)

    def on_mount(self) -> None:
        self.query_one("#stay", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        ways: dict[str | None, Way] = {"stay": "stay", "stop": "stop", "hand-over": "hand over"}
        self.dismiss(ways[event.button.id])

    def action_answer(self, way: Way) -> None:
        self.dismiss(way)
