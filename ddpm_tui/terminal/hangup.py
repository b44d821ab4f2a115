"""When the terminal goes away: the link drops, the window is closed, SIGHUP comes.

Textual reads the end of a dead terminal over and over, which takes a core, and its writer dies of
the first error. So the dead terminal is replaced by /dev/null at once, and the app is told.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_LOOK_EVERY = 250  # milliseconds
_PATIENCE = 5.0  # seconds that the app has to end by itself
EXIT_CODE = 128 + signal.SIGHUP


@contextlib.contextmanager
def watched(leave: Callable[[], None], rescue: Callable[[], None]) -> Iterator[None]:
    """Watch the terminal while the block runs. From the main thread only.

    Args:
        leave: called once when the terminal is gone or SIGHUP came, from another thread.
        rescue: called if the block has not ended some seconds later, before the process is ended.
    """
    hung_up, ended = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        hung_up.set()

    before = signal.signal(signal.SIGHUP, on_signal)
    watcher = threading.Thread(
        target=_watch, args=(leave, rescue, hung_up, ended), name="hangup", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.signal(signal.SIGHUP, before)


def _watch(
    leave: Callable[[], None],
    rescue: Callable[[], None],
    hung_up: threading.Event,
    ended: threading.Event,
) -> None:
    poll = select.poll()
    poll.register(0, 0)  # POLLHUP and POLLERR are told without being asked for
    while not ended.is_set():
        gone = bool(poll.poll(_LOOK_EVERY))
        if not (gone or hung_up.is_set()):
            continue
        if gone:
            _let_go()
        leave()
        if not ended.wait(_PATIENCE):
            # The app may wait for a writer that is no more.
            rescue()
            os._exit(EXIT_CODE)
        return


def _let_go() -> None:
    """Put /dev/null in the place of the terminal: writing there never fails and never blocks."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
