"""How often a widget paints: the newest state wins, and a slow link is not fed faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from textual.app import App
from textual.timer import Timer
from textual.widget import Widget

from ddpm_tui.terminal.link import Link
from ddpm_tui.widgets.strips import row_regions

_LOOK_AGAIN = 0.05  # seconds, while the link is full


class Pacer:
    """Calls `paint` soon after `request`: at most `max_fps` times per second, and only when the
    link takes it. However many requests came before, `paint` is called once.

    Rows that `paint` hands to `refresh_rows` go in portions where the link is slow, so that a key
    is answered between two of them.

    For the UI thread only.
    """

    def __init__(self, widget: Widget, paint: Callable[[], None], max_fps: float) -> None:
        self._widget = widget
        self._paint = paint
        self._period = 1 / max_fps  # seconds
        self._painted_at = -float("inf")  # seconds, monotonic
        self._timer: Timer | None = None
        self._requested = False
        self._granted = False  # whether the link has just said yes
        self._stale: set[int] = set()  # rows that the terminal shows as they were
        self._next = 0  # where the next portion begins
        self._cells = 0  # of the last frame

    def request(self) -> None:
        """Paint now if that may be, otherwise as soon as it may. Does nothing before mounting."""
        if self._widget.is_running:
            self._requested = True
            if self._timer is None:
                self._go_on()

    def refresh_rows(self, rows: Iterable[int]) -> None:
        """Send these rows of the widget anew: now what the link takes, the rest soon.

        A row that changes while it waits is sent once, as it is then.
        """
        self._stale.update(rows)
        self._cells = len(self._stale) * self._widget.size.width or self._cells
        if self._stale and (self._granted or self._link_is_free()):
            self._send_portion()
        self._come_back()

    def _go_on(self) -> None:
        self._timer = None
        wait = self._painted_at + self._period - time.monotonic()
        if wait <= 0 and not self._link_is_free():
            wait = _LOOK_AGAIN
        if wait > 0:
            self._timer = self._widget.set_timer(wait, self._go_on)
            return
        self._painted_at = time.monotonic()
        if self._requested:
            self._requested = False
            self._granted = True
            try:
                self._paint()
            finally:
                self._granted = False
        elif self._stale:
            self._send_portion()
        self._come_back()

    def _come_back(self) -> None:
        if (self._stale or self._requested) and self._timer is None and not self._granted:
            self._timer = self._widget.set_timer(_LOOK_AGAIN, self._go_on)

    def _link_is_free(self) -> bool:
        app = self._widget.app
        if output_backlog(app) > 0:
            return False
        link = link_of(app)
        if link is None:
            return True
        return link.may_paint(link.cost(self._cells), self)

    def _send_portion(self) -> None:
        width, height = self._widget.size
        waiting = sorted(y for y in self._stale if y < height)
        link = link_of(self._widget.app)
        count = len(waiting)
        if link is not None and waiting:
            count = max(link.portion // max(link.cost(width), 1), 1)
        # Go on where the last portion ended: a stream of frames should not repaint the top alone.
        following = [y for y in waiting if y >= self._next] + [y for y in waiting if y < self._next]
        portion = following[:count]
        self._stale = set(following[count:])
        if portion:
            self._next = portion[-1] + 1
            if link is not None and self._widget.screen.is_current:
                link.announce(len(portion) * width)
            self._widget.refresh(*row_regions(sorted(portion), width))
        if link is not None and not self._stale:
            link.painted(self)


def link_of(app: App[Any]) -> Link | None:
    """The link of the app; None where it writes to no terminal of its own."""
    link = getattr(app, "link", None)
    return link if isinstance(link, Link) else None


def output_backlog(app: App[Any]) -> int:
    """How many writes wait for the terminal; 0 where that cannot be known.

    Textual's writer thread holds 30 and then blocks the event loop, so whoever paints often
    should skip a frame while this is not 0.
    """
    writer = getattr(getattr(app, "_driver", None), "_writer_thread", None)
    queue = getattr(writer, "_queue", None)
    return int(queue.qsize()) if queue is not None else 0
