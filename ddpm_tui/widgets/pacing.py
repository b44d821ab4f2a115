"""How often a widget paints: the newest state wins, and a slow terminal is not fed faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.timer import Timer
from textual.widget import Widget


class Pacer:
    """Calls `paint` soon after `request`: at most `max_fps` times per second, and not while
    output is queued. However many requests came before, `paint` is called once.

    For the UI thread only.
    """

    def __init__(self, widget: Widget, paint: Callable[[], None], max_fps: float) -> None:
        self._widget = widget
        self._paint = paint
        self._period = 1 / max_fps  # seconds
        self._painted_at = -float("inf")  # seconds, monotonic
        self._timer: Timer | None = None

    def request(self) -> None:
        """Paint now if that may be, otherwise as soon as it may. Does nothing before mounting."""
        if self._timer is None and self._widget.is_running:
            self._paint_if_due()

    def _paint_if_due(self) -> None:
        self._timer = None
        wait = self._painted_at + self._period - time.monotonic()
        if wait <= 0 and output_backlog(self._widget.app) > 0:
            wait = self._period
        if wait > 0:
            self._timer = self._widget.set_timer(wait, self._paint_if_due)
            return
        self._painted_at = time.monotonic()
        self._paint()


def output_backlog(app: App[Any]) -> int:
    """How many writes wait for the terminal; 0 where that cannot be known.

    Textual's writer thread holds 30 and then blocks the event loop, so whoever paints often
    should skip a frame while this is not 0.
    """
    writer = getattr(getattr(app, "_driver", None), "_writer_thread", None)
    queue = getattr(writer, "_queue", None)
    return int(queue.qsize()) if queue is not None else 0
