"""What signals do to a command that has no screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from ddpm_tui.exit_codes import INTERRUPTED, PREEMPTED, PREEMPTING
from ddpm_tui.terminal.leaving import give_up

if TYPE_CHECKING:
    from engine.runs.requests import Requests

_STOPPING = (signal.SIGINT, *PREEMPTING)


class PreemptedError(BaseException):
    """SIGTERM or SIGUSR1 came. Like KeyboardInterrupt no `except Exception` catches it."""


@contextmanager
def preemptible() -> Iterator[None]:
    """Inside, the first SIGTERM or SIGUSR1 raises `PreemptedError`; a second ends at once."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise PreemptedError(signal.Signals(number).name)

    before = {number: signal.signal(number, on_signal) for number in PREEMPTING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Signals:
    """A training under signals: Ctrl+C, SIGTERM or SIGUSR1 once asks to stop at a good place, twice
    stops at once; after SIGHUP it goes on without its terminal.

    Attributes:
        received: the first that asked to stop.
    """

    def __init__(self, requests: Requests) -> None:
        self.received: int | None = None
        self._requests = requests
        # When the terminal is gone, nobody can tell any more which of them it was.
        self._terminal = [each for each in (0, 1, 2) if os.isatty(each)]

    @property
    def exit_code(self) -> int:
        """Of a training that was stopped."""
        return PREEMPTED if self.received in PREEMPTING else INTERRUPTED

    def stop(self, number: int) -> None:
        """What a signal that asks to stop does."""
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        self._requests.put("stop")

    def __enter__(self) -> Signals:
        self._before = {
            number: signal.signal(number, lambda number, _frame: self.stop(number))
            for number in _STOPPING
        }
        # Under nohup it is ignored, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        give_up(self._terminal)
