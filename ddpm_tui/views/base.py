"""What all views share: the bar on top, the footer, access to the app with its real type."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from ddpm_tui.sanitize import clean

if TYPE_CHECKING:
    from ddpm_tui.app import Workbench
    from engine.images import Pixels

VIEWS = (
    ("1", "runs", "Runs"),
    ("2", "train", "Train"),
    ("3", "sample", "Sample"),
    ("4", "forward", "Forward"),
)


def for_display(pixels: Pixels) -> Pixels:
    """(N, C, H, W) -> (N, H, W) for grey or (N, H, W, 3) for colour, as `PixelGrid` takes it."""
    return pixels[:, 0] if pixels.shape[1] == 1 else np.moveaxis(pixels, 1, -1)


class TopBar(Widget):
    """The name, the views with their keys, and on the right what goes on in the background."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; dock: top; }
    TopBar > .top-bar--here { background: $primary; color: $background; text-style: bold; }
    TopBar > .top-bar--name { text-style: bold; color: $primary; }
    TopBar > .top-bar--quiet { color: $foreground 65%; }
    TopBar > .top-bar--activity { color: $success; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "top-bar--here",
        "top-bar--name",
        "top-bar--quiet",
        "top-bar--activity",
    }

    activity: reactive[str] = reactive("")

    def __init__(self, view: str) -> None:
        super().__init__()
        self._view = view

    def on_mount(self) -> None:
        self.watch(self.app, "activity", self._follow)

    def _follow(self, activity: str) -> None:
        self.activity = activity

    def render(self) -> RenderResult:
        def style(part: str) -> str:
            return str(self.get_component_rich_style(f"top-bar--{part}", partial=True))

        text = Text(no_wrap=True, overflow="crop")
        text.append(" ddpm-tui ", style("name"))
        for key, view, title in VIEWS:
            text.append(f" {key} {title} ", style("here" if view == self._view else "quiet"))
        activity = clean(self.activity, max(0, self.size.width - text.cell_len - 2))
        room = self.size.width - text.cell_len - len(activity) - 1
        text.append(" " * max(room, 1))
        text.append(activity, style("activity"))
        return text


class View(Screen[None]):
    """A screen of the workbench."""

    VIEW: ClassVar[str]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012

    def compose(self) -> ComposeResult:
        yield TopBar(self.VIEW)
        yield from self.body()
        yield Footer(show_command_palette=False)

    def body(self) -> ComposeResult:
        """The widgets of the view."""
        raise TypeError(f"{type(self).__name__} has no body")

    @property
    def workbench(self) -> Workbench:
        return cast("Workbench", self.app)
