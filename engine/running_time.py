"""Time in which this process runs. A clock goes on while it is stopped: by SIGSTOP, as batch
systems suspend jobs, by a frozen container, by a debugger.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK_EVERY = 0.5  # seconds
# A process that has stopped shows nothing for longer than this, and takes next to no processor time
# in it but for what it took between the last look and the stop. One that only waits, for a device
# or a disk, has a thread that looks.
_LONGEST = 2.0  # seconds
_SHARE = 0.02


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class RunningTime:
    """A clock that stands still while the process is stopped. Inside of the block, a thread looks.

    Of each stop at most `_LOOK_EVERY` is counted, and one that is shorter than `_LONGEST` whole.

    Args:
        clock: seconds, monotonic, and seconds of processor time that the process has taken.
    """

    def __init__(self, clock: Callable[[], tuple[float, float]] = _clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._stopped = 0.0
        # Processor time that it lately took between two looks of the thread.
        self._usual = 0.0
        self._looked_at: tuple[float, float] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        """Seconds; only differences mean anything."""
        with self._guard:
            now, used = self._clock()
            if self._looked_at is not None:
                passed, taken = now - self._looked_at[0], used - self._looked_at[1]
                if passed > _LONGEST and taken < _SHARE * passed + 2 * self._usual:
                    self._stopped += passed - _LOOK_EVERY
                self._looked_at = now, used
            return now - self._stopped

    def __enter__(self) -> RunningTime:
        with self._guard:
            self._looked_at = self._clock()
        self._ended.clear()
        self._thread = threading.Thread(target=self._look, name="running time", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self._guard:
            self._looked_at = None

    def _look(self) -> None:
        last = self._clock()
        while not self._ended.wait(_LOOK_EVERY):
            self.now()
            now = self._clock()
            share = (now[1] - last[1]) / max(now[0] - last[0], _LOOK_EVERY)
            # Halved, since after a stop the share is that of the stop.
            self._usual = max(share * _LOOK_EVERY, self._usual / 2)
            last = now
