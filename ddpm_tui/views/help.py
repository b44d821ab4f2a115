"""The help screen, made from the key table."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from ddpm_tui.keys import KEYS, VIEW_TITLES, display

_ABOUT = {
    "runs": "Every run is a folder; this list is made from the folders and nothing else.",
    "train": "The loss, the devices and a grid of samples. The grid is painted from the same "
    "noise each time, so what changes is the network.",
    "sample": "The reverse process, step by step from noise to picture. x_t is what the network "
    "sees, x̂_0 the picture that it believes in, ε the noise that it sees.",
    "forward": "The forward process: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, at any t in one step. The "
    "curves are those of the noise schedule.",
}


class HelpScreen(ModalScreen[None]):
    """The keys that work here, then those that work everywhere."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]

    def __init__(self, view: str) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        text = Text(_ABOUT[self._view] + "\n")
        for view in (self._view, "app"):
            text.append(f"\n{VIEW_TITLES[view]}\n", "bold")
            for key in KEYS:
                if key.view == view:
                    text.append(f"  {display(key):<8}", "bold")
                    text.append(f"{key.help}\n")
        text.append(f"  {'ctrl+p':<8}", "bold")
        text.append("Palette: every action by name\n")
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = f"Help: {VIEW_TITLES[self._view]}"
            dialog.border_subtitle = "esc closes"
            yield Static(text)
