"""What a training does on a full disk: it waits, says so, and tries again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from engine.errors import NoRoomError
from engine.events import Event, Waiting

# Seconds from one try to the next, and how often whoever pulls may say something.
_TRY_AGAIN_EVERY = 5.0
_MAY_SPEAK_EVERY = 0.2

T = TypeVar("T")


class Room:
    """The room on a disk, and who waits for it.

    Args:
        changed: called with why nothing can be written as a wait begins, and with "" as it ends;
            its events are handed on.

    Attributes:
        missing: why nothing can be written at present; "" where there is room.
    """

    def __init__(self, changed: Callable[[str], Iterable[Event]]) -> None:
        self.missing = ""
        self._changed = changed
        self._try_again_at = 0.0

    def try_again(self) -> None:
        """Do not wait for the next try."""
        self._try_again_at = 0.0

    def wait_for(self, write: Callable[[], T], step: int) -> Generator[Event, None, T]:
        """What `write` returns, as soon as the disk has room for it.

        Yields:
            what `changed` gives, and meanwhile a `Waiting` several times a second: whoever pulls
            may stop, or have it tried again at once.
        """
        while True:
            try:
                written = write()
            except NoRoomError as error:
                yield from self._wait(error, step)
            else:
                break
        if self.missing:
            self.missing = ""
            yield from self._changed("")
        return written

    def _wait(self, error: NoRoomError, step: int) -> Iterator[Event]:
        if not self.missing:
            self.missing = (
                f"the training waits for room on the disk: {error.reason}. Free some, and it goes "
                "on by itself"
            )
            yield from self._changed(self.missing)
        self._try_again_at = time.monotonic() + _TRY_AGAIN_EVERY
        while time.monotonic() < self._try_again_at:
            time.sleep(_MAY_SPEAK_EVERY)  # a disk tells nobody when it has room again
            yield Waiting(step, self.missing)
