"""The other end of a pseudo-terminal over a link of a given rate, delay and buffer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

# Keyboard modes, which pyte takes for text.
_KEYBOARD_MODES = re.compile(rb"\x1b\[[<>=]\d*u")
# The cursor is moved, then asked for.
_QUESTION = re.compile(rb"\x1b\[(\d+);(\d+)H\x1b\[6n")
_SYNCHRONIZED = b"\x1b[?2026$p"
_STEP = 0.005  # seconds


@dataclass(frozen=True)
class Link:
    """What lies between the program and the eyes.

    Attributes:
        rate: bytes/s that arrive; None is as many as come.
        buffer: bytes that the near end takes at once, as sshd does; 0 is a reader that is slow.
        delay: seconds there, and as many back.
        answers: whether the terminal tells the cursor position and synchronized output.
    """

    rate: float | None = None
    buffer: int = 0
    delay: float = 0.0
    answers: bool = True


class Wire:
    """A program on a pseudo-terminal and what arrives of its output, when."""

    def __init__(
        self, process: subprocess.Popen[bytes], master: int, size: tuple[int, int], link: Link
    ) -> None:
        self.process = process
        self.link = link
        self.stalled = False  # nothing is read while this holds
        self.most_waiting = 0  # bytes in the buffer, at the worst
        self.received = b""
        self._arrivals: list[tuple[float, int]] = []  # monotonic seconds, end in `received`
        self._master = master
        self._waiting = bytearray()
        self._keys: deque[tuple[float, bytes]] = deque()
        self._scanned = 0
        self._fed = 0
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    # --- The link --------------------------------------------------------------------------------

    def _carry(self) -> None:
        # EIO is how Linux says that the program has gone.
        with contextlib.suppress(OSError):
            before, credit = time.monotonic(), 0.0
            while not self._closing:
                now = time.monotonic()
                rate = self.link.rate
                if rate is not None:
                    credit += (now - before) * rate
                    # While something waits the link is busy, however late this thread wakes up.
                    credit = credit if self._waiting else min(credit, rate * 10 * _STEP)
                before = now
                while self._keys and self._keys[0][0] <= now:
                    os.write(self._master, self._keys.popleft()[1])
                if self.stalled:
                    time.sleep(_STEP)
                    continue
                room = 65536 if rate is None else int(credit) + self.link.buffer
                room -= len(self._waiting)
                if room > 0 and select.select([self._master], [], [], _STEP)[0]:
                    data = os.read(self._master, min(room, 65536))
                    if not data:
                        return
                    self._waiting += data
                    self.most_waiting = max(self.most_waiting, len(self._waiting))
                elif rate is not None:
                    time.sleep(_STEP)
                count = len(self._waiting) if rate is None else min(int(credit), len(self._waiting))
                if count:
                    credit -= count
                    self._deliver(bytes(self._waiting[:count]))
                    del self._waiting[:count]

    def _deliver(self, data: bytes) -> None:
        now = time.monotonic()
        with self._lock:
            self.received += data
            self._arrivals.append((now + self.link.delay, len(self.received)))
        if not self.link.answers:
            return
        if _SYNCHRONIZED in data:
            self._answer(b"\x1b[?2026;2$y")
        while match := _QUESTION.search(self.received, self._scanned):
            self._scanned = match.end()
            self._answer(b"\x1b[%s;%sR" % match.groups())

    def _answer(self, data: bytes) -> None:
        self._keys.append((time.monotonic() + 2 * self.link.delay, data))

    def close(self) -> None:
        self._closing = True
        self._thread.join()

    # --- Hands and eyes --------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        for key in keys:
            self._keys.append((time.monotonic() + self.link.delay, key.encode()))

    def count(self) -> int:
        """Bytes that arrived so far."""
        with self._lock:
            return len(self.received)

    def sent(self, seconds: float) -> int:
        """Bytes that arrive in the next seconds."""
        before = self.count()
        time.sleep(seconds)
        return self.count() - before

    def wait_for_bytes(self, count: int, seconds: float = 60) -> float:
        """Wait until so many more bytes have arrived; how many seconds that took."""
        began, enough = time.monotonic(), self.count() + count
        while self.count() < enough:
            assert time.monotonic() < began + seconds, f"{count:,} bytes did not arrive"
            time.sleep(_STEP)
        return time.monotonic() - began

    def settle(self, quiet: float = 0.6, seconds: float = 30) -> None:
        """Wait until nothing has arrived for a while."""
        end = time.monotonic() + seconds
        while self.sent(quiet) > 0:
            assert time.monotonic() < end, "the program does not come to rest"

    def arrival(self, effect: bytes, start: int = 0, seconds: float = 60) -> float:
        """Wait for these bytes among those from `start` on; when they came, monotonic seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._lock:
                at = self.received.find(effect, start)
                if at >= 0:
                    return next(when for when, upto in self._arrivals if upto > at)
            time.sleep(_STEP)
        raise AssertionError(f"{effect!r} did not arrive")

    def echo(self, key: str, effect: bytes) -> float:
        """Seconds from a key to the arrival of the bytes that show its effect."""
        start, pressed = self.count(), time.monotonic()
        self.press(key)
        return self.arrival(effect, start) - pressed

    def bytes_before_echo(self, key: str, effect: bytes) -> int:
        """Bytes that arrive from the press of a key to those that show its effect."""
        start = self.count()
        self.press(key)
        self.arrival(effect, start)
        with self._lock:
            return self.received.index(effect, start) - start

    def answer(self, key: str, quiet: float = 0.4) -> tuple[int, float]:
        """All that comes for a key: bytes, and seconds to the last of them."""
        start, pressed = self.count(), time.monotonic()
        self.press(key)
        while self.count() == start:
            assert time.monotonic() < pressed + 20, f"nothing came for {key!r}"
            time.sleep(_STEP / 5)
        self.settle(quiet)
        return self.count() - start, self._arrivals[-1][0] - pressed

    def text(self) -> str:
        """The screen as it is now."""
        with self._lock:
            data = self.received
        self._stream.feed(_KEYBOARD_MODES.sub(b"", data[self._fed :]))
        self._fed = len(data)
        return "\n".join(self.screen.display)

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in (shown := self.text()):
            assert time.monotonic() < end, f"{text!r} did not appear:\n{shown}"
            time.sleep(0.05)


@contextlib.contextmanager
def wired(
    program: Sequence[str | Path],
    link: Link,
    *,
    size: tuple[int, int] = (100, 30),
    folder: Path | None = None,
    **environment: str,
) -> Iterator[Wire]:
    """Run a Python program at the far end of a link.

    Args:
        program: what follows `python` on the command line.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    # COLUMNS and LINES would count for more than the size of the pseudo-terminal.
    unwanted = ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES")
    plain = {name: value for name, value in os.environ.items() if name not in unwanted}
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=folder,
        env={**plain, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    wire = Wire(process, master, size, link)
    try:
        yield wire
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wire.close()
        os.close(master)
