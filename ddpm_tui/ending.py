"""The signals that ask a process to end: which came, what they do to a command, what is said."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ddpm_tui.exit_codes import INTERRUPTED, PREEMPTED, PREEMPTING

if TYPE_CHECKING:
    from engine.runs.folder import Run
    from engine.runs.requests import Requests

GRACE = 5.0
"""Seconds in which a signal that comes again is the same request: `timeout` sends its signal to the
process and to its group, and a batch system to each part of a job."""

ENDING = (signal.SIGINT, *PREEMPTING)
_LOOK_AGAIN = 0.02  # seconds


class PreemptedError(BaseException):
    """SIGTERM or SIGUSR1 came. Like KeyboardInterrupt no `except Exception` catches it."""


class Received:
    """The signals that asked this process to end.

    Args:
        clock: seconds, monotonic.

    Attributes:
        first: the first of them, which decides the exit code.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.first: int | None = None
        self._clock = clock
        self._since: dict[int, float] = {}

    def add(self, number: int) -> bool:
        """Note a signal that came.

        Returns:
            Whether it insists: one of its kind came longer ago than the grace. One of another kind
            never does, so what a batch system sends in the end cancels nothing.
        """
        now = self._clock()
        if self.first is None:
            self.first = number
        return now - self._since.setdefault(number, now) >= GRACE

    def ask(self, requests: Requests) -> None:
        """Ask a trainer to save and stop, as the first of them says. Signal handlers may."""
        if self.first in PREEMPTING:
            requests.stopped_by = self.name
        requests.put("stop")

    @property
    def exit_code(self) -> int:
        return PREEMPTED if self.first in PREEMPTING else INTERRUPTED

    @property
    def name(self) -> str:
        """The first one's."""
        return "" if self.first is None else signal.Signals(self.first).name


def say(message: str) -> None:
    """A line on standard error, from a signal handler: it neither waits nor fails."""
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            # The line of a progress bar may stand there.
            clear = "\r\x1b[K" if os.isatty(2) else ""
            os.write(2, f"{clear}{message}\n".encode())


def end_at_once(received: Received, number: int, run: Run | None = None) -> NoReturn:
    """End the process, from a signal handler, with a word in the folder of the run it trains.

    Nothing is raised: what is being written is as after a crash, which the next trainer sees to,
    and an exception at any point of it might be taken for another.
    """
    try:
        name = signal.Signals(number).name
        if run is None:
            say(f"ddpm-tui: ended at once by a second {name}")
        else:
            _leave_word(run, f"ended at once by a second {name}")
            say(
                f"ddpm-tui: ended at once by a second {name}; what was trained since the last "
                f"checkpoint is lost. Go on with: ddpm-tui resume {run.name}"
            )
        if os.isatty(2):
            os.write(2, b"\x1b[?25h")  # the cursor, which a progress bar hides
    finally:
        os._exit(received.exit_code)


def _leave_word(run: Run, reason: str) -> None:
    from dataclasses import replace

    from engine.errors import EngineError

    with suppress(EngineError):
        status = run.status()
        if status.state in ("created", "running", "paused"):
            run.write_status(replace(status, state="stopped", reason=reason))
        run.log(reason)


class CommandSignals:
    """A command under signals. The first SIGINT raises `KeyboardInterrupt`, the first SIGTERM or
    SIGUSR1 `PreemptedError`; a second of its kind ends at once, after the grace.

    Nothing is raised inside of an import: extensions turn it into errors of their own, or lose it.
    When the block is over, so is the command, and no signal changes its exit code any more.
    """

    def __init__(self) -> None:
        self._received = Received()
        self._raised = False

    def __enter__(self) -> CommandSignals:
        for number in ENDING:
            # Of a command that a script leaves in the background it is ignored, and stays so.
            if number in PREEMPTING or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """How the command ends is decided; what comes now finds a process that ends anyway."""
        for number in (*ENDING, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received.add(number):
            end_at_once(self._received, number)
        if not self._raised:
            self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        if _imports(frame):
            signal.signal(signal.SIGALRM, lambda _number, now: self._raise(now))
            signal.setitimer(signal.ITIMER_REAL, _LOOK_AGAIN)
            return
        self._raised = True
        if self._received.first == signal.SIGINT:
            raise KeyboardInterrupt
        raise PreemptedError(self._received.name)


def hand_back(before: Mapping[int, Any]) -> None:
    """Restore the handlers that were there before a training. It was the whole of a command: there
    nothing that comes now changes the exit code.

    Args:
        before: by signal, as `signal.signal` returned them.
    """
    for handler in before.values():
        command = getattr(handler, "__self__", None)
        if isinstance(command, CommandSignals):
            command.over()
            return
    for number, handler in before.items():
        signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
