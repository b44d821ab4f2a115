"""An app that knows its link: it sends nothing twice, and nothing that finds no room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region
from textual.screen import Screen
from textual.widgets import Input

from ddpm_tui.terminal.driver import LinkDriver
from ddpm_tui.terminal.in_turn import InTurn
from ddpm_tui.terminal.link import BUDGET, Link
from ddpm_tui.terminal.shown import Shown
from ddpm_tui.widgets.pacing import output_backlog

# The 31st write that waits would block the event loop, and with it every key.
_MOST_WAITING = 20
_LOOK_AGAIN = 0.1  # seconds

# A cursor that blinks is bytes for nothing, as long as any field has the focus.
Input.cursor_blink._default = False


class Linked(InTurn):
    """Writes through a `LinkDriver`.

    Args:
        budget: bytes/s that pictures may bring the output to; None is the program's own.
    """

    def __init__(self, budget: float | None = None) -> None:
        super().__init__()
        self.link = Link(BUDGET if budget is None else budget)
        self._shown = Shown()
        self._missed: set[Region] = set()  # what the terminal shows as it was
        self._missed_on: Screen[Any] | None = None

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        return LinkDriver if chosen is LinuxDriver else chosen

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Leave out what the terminal shows already; what was laid out for a window of another
        size; and what finds no room before a terminal that reads nothing, to send it later."""
        if screen.outer_size != self.size:
            # It would scroll a window that has become shorter. The screen hears of the new size
            # after the app, and is then painted whole.
            return
        if output_backlog(self) < _MOST_WAITING:
            if isinstance(renderable, ChopsUpdate | LayoutUpdate) and self._sends:
                renderable = self._shown.without_known(renderable)
            super()._display(screen, renderable)
            return
        if not self._missed:
            self._missed_on = screen
            self.set_timer(_LOOK_AGAIN, self._catch_up)
        self._missed.update(_regions(renderable, self.size.region))

    @property
    def _sends(self) -> bool:
        """Whether Textual passes an update on to the terminal now."""
        return self._running and not self._closed and not self._batch_count

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize) and isinstance(self._driver, LinkDriver):
            # Of two signals that come at once, the one that read the older size can be the last.
            event = self._driver.with_size_of_now(event)
        await super().on_event(event)

    def on_resize(self) -> None:
        # Terminals move their cells, and whoever attaches anew sees an empty screen. Where a window
        # has shrunk and grown before anybody looked, its size is as it was, but its cells are gone.
        self._shown.clear()
        self._missed_on = None  # what was missed had its place in the window as it was
        if self._screen_stack:
            self.screen.refresh()

    def _catch_up(self) -> None:
        if output_backlog(self):
            self.set_timer(_LOOK_AGAIN, self._catch_up)
            return
        # Another screen was painted whole, or was left out like the rest.
        same = self.screen is self._missed_on
        missed = self._missed if same else {self.size.region}
        self._missed, self._missed_on = set(), None
        self.screen.refresh(*missed)


def _regions(update: RenderableType | None, whole: Region) -> Iterable[Region]:
    """The cells that an update paints."""
    if isinstance(update, ChopsUpdate):
        return [Region(x1, y, x2 - x1, 1) for y, x1, x2 in update.spans]
    if isinstance(update, LayoutUpdate):
        return [update.region]
    return [whole] if update is not None else []
