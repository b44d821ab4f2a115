"""What ends the screen from outside: the terminal goes away, or a batch system wants the machine.

Textual reads the end of a dead terminal over and over, which takes a core, and its writer dies of
the first error. So the dead terminal is replaced by /dev/null at once, and the app is told.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from ddpm_tui.ending import ENDING, Received, end_at_once, hand_back

if TYPE_CHECKING:
    from ddpm_tui.worker import TrainingThread

_LOOK_EVERY = 250  # milliseconds
_PATIENCE = 5.0  # seconds that the app has to end by itself

# As Textual leaves a terminal: paste, wrapping, resizes, mouse, keyboard, screen, cursor, focus.
_LEAVE_SCREEN = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1002l\x1b[?1006l\x1b[<u"
    b"\x1b[?1049l\x1b[?25h\x1b[?1004l"
)


def give_up(descriptors: Iterable[int]) -> None:
    """Put /dev/null in the place of a terminal: writing there never fails and never blocks."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


class Leaving:
    """Why the screen has to end, if it has to. Each may become true at any time.

    Args:
        training: the one of this process, if there is one.

    Attributes:
        hung_up: the terminal is gone, or SIGHUP said so.
        received: the signals that asked to end.
    """

    def __init__(self, training: Callable[[], TrainingThread | None] = lambda: None) -> None:
        self.hung_up = False
        self.received = Received()
        self._training = training
        self._screen_ended = threading.Event()
        self._attributes: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(0)

    @property
    def called_away(self) -> bool:
        """Whether SIGINT, SIGTERM or SIGUSR1 came."""
        return self.received.first is not None

    @property
    def exit_code(self) -> int:
        """Of a workbench that had to end."""
        return self.received.exit_code if self.called_away else 128 + signal.SIGHUP

    def screen_ended(self) -> None:
        """From now on nobody has to be told."""
        self._screen_ended.set()

    def on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        """What SIGHUP does."""
        self.hung_up = True

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """What the signals do that ask to end."""
        training = self._training()
        if self.received.add(number):
            self._restore_terminal()
            alive = training is not None and training.alive
            end_at_once(self.received, number, training.run if training and alive else None)
        if training is not None:
            # At once: the screen may take its time to end.
            self.received.ask(training.requests)

    def watch(self, leave: Callable[[], None], rescue: Callable[[], None]) -> None:
        """Until the screen has ended; see `watched`."""
        poll = select.poll()
        poll.register(0, 0)  # POLLHUP and POLLERR are told without being asked for
        while not self._screen_ended.is_set():
            if poll.poll(_LOOK_EVERY):
                self.hung_up = True
                give_up((0, 1, 2))
            if not (self.hung_up or self.called_away):
                continue
            # In a thread of its own: the app may be stuck, and leave nobody in.
            threading.Thread(target=self._insist, args=(leave,), daemon=True).start()
            if not self._screen_ended.wait(_PATIENCE):
                # The app may wait for a writer that is no more.
                rescue()
                self._restore_terminal()
                os._exit(self.exit_code)
            return

    def _insist(self, leave: Callable[[], None]) -> None:
        # The app may just begin, and not be there to be told.
        while not self._screen_ended.is_set():
            leave()
            time.sleep(_LOOK_EVERY / 1000)

    def _restore_terminal(self) -> None:
        """As the app would, where it does not come to it. Neither waits nor fails."""
        if self._screen_ended.is_set() or self._attributes is None:
            return
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(0, termios.TCSANOW, self._attributes)
            if select.select([], [2], [], 0)[1]:
                os.write(2, _LEAVE_SCREEN)


@contextlib.contextmanager
def watched(
    leave: Callable[[], None],
    rescue: Callable[[], None],
    training: Callable[[], TrainingThread | None],
) -> Iterator[Leaving]:
    """Watch the terminal and the signals while the block runs. From the main thread only.

    Yields what has come. Inside of the block SIGHUP ends nothing any more.

    Args:
        leave: called when the screen has to end, from another thread, until it has.
        rescue: called if the screen has not ended some seconds later, before the process is ended.
        training: the one of this process, if there is one; a signal asks it to save and stop.
    """
    leaving = Leaving(training)
    before: dict[int, Any] = {signal.SIGHUP: signal.signal(signal.SIGHUP, leaving.on_hangup)}
    for number in ENDING:
        before[number] = signal.signal(number, leaving.on_signal)
    threading.Thread(
        target=leaving.watch, args=(leave, rescue), name="leaving", daemon=True
    ).start()
    try:
        yield leaving
    finally:
        leaving.screen_ended()
        hand_back(before)
