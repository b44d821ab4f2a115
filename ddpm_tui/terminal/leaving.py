"""What ends the screen from outside: the terminal goes away, or a batch system wants the machine.

Textual reads the end of a dead terminal over and over, which takes a core, and its writer dies of
the first error. So the dead terminal is replaced by /dev/null at once, and the app is told.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

from ddpm_tui.exit_codes import PREEMPTED, PREEMPTING

_LOOK_EVERY = 250  # milliseconds
_PATIENCE = 5.0  # seconds that the app has to end by itself


def give_up(descriptors: Iterable[int]) -> None:
    """Put /dev/null in the place of a terminal: writing there never fails and never blocks."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


class Leaving:
    """Why the screen has to end, if it has to. Each may become true at any time.

    Attributes:
        hung_up: the terminal is gone, or SIGHUP said so.
        preempted: SIGTERM or SIGUSR1 came.
    """

    def __init__(self) -> None:
        self.hung_up = False
        self.preempted = False
        self._screen_ended = threading.Event()

    def screen_ended(self) -> None:
        """From now on nobody has to be told."""
        self._screen_ended.set()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self.hung_up = True

    def _on_preemption(self, number: int, _frame: FrameType | None) -> None:
        self.preempted = True
        # A second one ends the process at once.
        signal.signal(number, signal.SIG_DFL)

    def watch(self, leave: Callable[[], None], rescue: Callable[[], None]) -> None:
        """Until the screen has ended; see `watched`."""
        poll = select.poll()
        poll.register(0, 0)  # POLLHUP and POLLERR are told without being asked for
        while not self._screen_ended.is_set():
            if poll.poll(_LOOK_EVERY):
                self.hung_up = True
                give_up((0, 1, 2))
            if not (self.hung_up or self.preempted):
                continue
            leave()
            if not self._screen_ended.wait(_PATIENCE):
                # The app may wait for a writer that is no more.
                rescue()
                os._exit(PREEMPTED if self.preempted else 128 + signal.SIGHUP)
            return


@contextlib.contextmanager
def watched(leave: Callable[[], None], rescue: Callable[[], None]) -> Iterator[Leaving]:
    """Watch the terminal and the signals while the block runs. From the main thread only.

    Yields what has come. Inside of the block SIGHUP ends nothing any more.

    Args:
        leave: called once when the screen has to end, from another thread.
        rescue: called if the screen has not ended some seconds later, before the process is ended.
    """
    leaving = Leaving()
    before = {signal.SIGHUP: signal.signal(signal.SIGHUP, leaving._on_hangup)}
    for number in PREEMPTING:
        before[number] = signal.signal(number, leaving._on_preemption)
    threading.Thread(
        target=leaving.watch, args=(leave, rescue), name="leaving", daemon=True
    ).start()
    try:
        yield leaving
    finally:
        leaving.screen_ended()
        for number, handler in before.items():
            signal.signal(number, handler)
