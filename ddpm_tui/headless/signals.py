"""What signals do to a training that has no screen."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from ddpm_tui import ending
from ddpm_tui.ending import ENDING, Received, end_at_once, hand_back, say
from ddpm_tui.terminal.leaving import give_up

if TYPE_CHECKING:
    from engine.runs.folder import Run
    from engine.runs.requests import Requests


class Signals:
    """A training under signals. The first SIGINT, SIGTERM or SIGUSR1 asks to save and stop, and
    nothing else that comes cancels that, but a second of the same kind after the grace; after
    SIGHUP it goes on without its terminal.

    Args:
        requests: those of the run's trainer.
        received: what came before.
        quiet: say nothing.
    """

    def __init__(
        self,
        run: Run,
        requests: Requests,
        *,
        received: Received | None = None,
        quiet: bool = False,
    ) -> None:
        self._run, self._requests, self._quiet = run, requests, quiet
        self._received = Received() if received is None else received
        # When the terminal is gone, nobody can tell any more which of them it was.
        self._terminal = [each for each in (0, 1, 2) if os.isatty(each)]
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """Of a training that was stopped."""
        return self._received.exit_code

    def __enter__(self) -> Signals:
        if self._received.first is not None:
            self._ask_to_stop()
        for number in ENDING:
            self._before[number] = signal.signal(number, self._on_signal)
        # Under nohup it is ignored, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(self, *_: object) -> None:
        hand_back(self._before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        known = self._received.first is not None
        if self._received.add(number):
            end_at_once(self._received, number, self._run)
        if not known:
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        name = self._received.name
        self._received.ask(self._requests)
        if not self._quiet:
            say(
                f"{name}: saving a checkpoint; a second {name} after {ending.GRACE:g} s ends "
                "at once"
            )

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # as few descriptors are left; the training needs no terminal
            give_up(self._terminal)
