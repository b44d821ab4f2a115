"""A program on a real pseudo-terminal, the screen that it paints, and what that costs.

One thread reads and takes the time, another feeds the terminal emulator: pyte is slow, and a late
reader would be taken for a late program.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import queue
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyte
from pyte.screens import Char

from ddpm_tui.keys import names

# What pyte takes for text: keyboard modes, and pictures in the terminal's own pixels.
_NOT_FOR_PYTE = re.compile(rb"\x1b\[[<>=?]\d*u|\x1b_.*?\x1b\\", re.DOTALL)
_UNFINISHED = re.compile(rb"\x1b(?:\[[<>=?]?\d*)?\Z|\x1b_(?:(?!\x1b\\).)*\Z", re.DOTALL)

_PATIENCE = 30.0  # seconds
_REST = 0.7  # seconds; what changes by itself does so once a second
_NOTED = 20_000  # bytes, of what came before something failed
_CHUNKS = 64  # read and not painted yet, of 4 KB for the most part

LOST = "☒"
"""What a cell shows that is still to be painted after a change of size."""

ESCAPE, ENTER, TAB, BACKSPACE = "\x1b", "\r", "\t", "\x7f"
UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"

_SEQUENCES = {
    "escape": ESCAPE,
    "enter": ENTER,
    "tab": TAB,
    "space": " ",
    "backspace": BACKSPACE,
    "delete": "\x1b[3~",
    "insert": "\x1b[2~",
    "up": UP,
    "down": DOWN,
    "right": RIGHT,
    "left": LEFT,
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "shift+tab": "\x1b[Z",
    "f1": "\x1bOP",
    "f12": "\x1b[24~",
    **{f"shift+{name}": f"\x1b[1;2{end}" for name, end in zip(
        ("up", "down", "right", "left"), "ABCD", strict=True)},
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}  # fmt: skip


def sequence(key: str) -> str:
    """What a terminal sends for a key that Textual calls `key`."""
    return _SEQUENCES.get(key) or names.shown(key)


@dataclass(frozen=True)
class Load:
    """What a process takes: resident bytes, threads, seconds of processor time."""

    memory: int
    threads: int
    seconds: float


class Terminal:
    """A program on a pseudo-terminal and the screen that it paints.

    Attributes:
        received: every byte that came.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int, size: tuple[int, int]):
        self.process = process
        self.received = bytearray()
        self._master = master
        self._closing = False
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._held = b""
        # As a terminal that paints slowly reads slowly, and the program can tell.
        self._chunks: queue.Queue[tuple[float, bytes]] = queue.Queue(_CHUNKS)
        self._lock = threading.RLock()
        self._fresh = threading.Condition(self._lock)
        self._painted_at = 0.0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._painter = threading.Thread(target=self._paint, daemon=True)
        self._reader.start()
        self._painter.start()

    def vanish(self) -> None:
        """The window is closed, or the link is cut."""
        self._closing = True
        self._reader.join()
        os.close(self._master)

    # --- What comes ----------------------------------------------------------------------------

    def _read(self) -> None:
        # EIO is how Linux says that the program has gone.
        with contextlib.suppress(OSError):
            while not self._closing:
                if not select.select([self._master], [], [], 0.1)[0]:
                    continue
                if not (data := os.read(self._master, 65536)):
                    return
                self.received += data
                self._chunks.put((time.perf_counter(), data))

    def _paint(self) -> None:
        while True:
            came, data = self._chunks.get()
            with self._fresh:
                data = _NOT_FOR_PYTE.sub(b"", self._held + data)
                unfinished = _UNFINISHED.search(data)
                end = unfinished.start() if unfinished else len(data)
                data, self._held = data[:end], data[end:]
                self._stream.feed(data)
                self._painted_at = came
                self._fresh.notify_all()
            self._chunks.task_done()

    @property
    def _all_painted(self) -> bool:
        """Nothing that came waits to be painted, or is being painted."""
        return not self._chunks.unfinished_tasks

    def text(self) -> str:
        with self._lock:
            return "\n".join(self._screen.display)

    def cells(self, row: int) -> list[Char]:
        """A row with its colours, as pyte has them: `data`, `fg`, `bg`, `bold`, …"""
        with self._lock:
            return [self._screen.buffer[row][column] for column in range(self._screen.columns)]

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._screen.columns, self._screen.lines

    # --- What goes -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes, however many; a program that is busy is waited for.

        Raises:
            AssertionError: it does not read them.
        """
        while data:
            if not select.select([], [self._master], [], _PATIENCE)[1]:
                raise AssertionError(f"the program reads no keys:\n{self.text()}")
            # No more than a full terminal takes without blocking.
            data = data[os.write(self._master, data[:1024]) :]

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as fast as fingers do."""
        for key in keys:
            self.write(key.encode())
            time.sleep(0.1)

    def paste(self, text: str) -> None:
        """Paste as terminals do where a program has asked for brackets around it."""
        self.write(b"\x1b[200~" + text.encode() + b"\x1b[201~")

    def click(self, column: int, row: int) -> None:
        """Press and let go the left button of the mouse, counted from 0."""
        place = f"{column + 1};{row + 1}"
        self.write(f"\x1b[<0;{place}M\x1b[<0;{place}m".encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size; the kernel sends SIGWINCH.

        Terminals cut, move or wrap what they show, each in its own way; here all of it is lost.
        For the size that it has already the kernel sends none.
        """
        if (columns, rows) == self.size:
            return
        with self._lock:
            self._screen.resize(rows, columns)
            self.forget()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def forget(self) -> None:
        """Show nothing of what was painted until the program paints it anew."""
        with self._lock:
            for row in range(self._screen.lines):
                for column in range(self._screen.columns):
                    self._screen.buffer[row][column] = Char(LOST)

    def draw_anew(self) -> None:
        """Forget the screen and have the program paint it whole, as for whoever attaches."""
        with self._lock:
            self.forget()
            os.kill(self.process.pid, signal.SIGWINCH)

    # --- Waiting -------------------------------------------------------------------------------

    def wait_for(self, text: str, seconds: float = 60) -> None:
        self.wait_until(lambda screen: text in screen, repr(text), seconds)

    def wait_until(
        self, seen: Callable[[str], bool], what: str = "it", seconds: float = 60
    ) -> float:
        """Wait for a screen; the time when its last byte came.

        Raises:
            AssertionError: it did not come; the text has the screen that is there.
        """
        end = time.perf_counter() + seconds
        with self._fresh:
            while not seen(screen := "\n".join(self._screen.display)):
                left = end - time.perf_counter()
                # What a program said last is read after it has ended.
                gone = not self._reader.is_alive() and self._all_painted
                if left <= 0 or gone:
                    said = f"; the program has gone ({self.process.poll()})" if gone else ""
                    raise AssertionError(f"{what} did not appear{said}:\n{screen}")
                self._fresh.wait(min(left, 0.2))
            return self._painted_at

    def wait_for_rest(self, seconds: float = 60) -> None:
        """Wait until every cell is painted, and no more comes: an idle program sends nothing.

        Raises:
            AssertionError: some cells were never painted, or bytes came all the time.
        """
        self.wait_until(lambda screen: LOST not in screen, "the whole screen", seconds)
        end = time.monotonic() + seconds
        count, since = len(self.received), time.monotonic()
        while time.monotonic() - since < _REST or not self._all_painted:
            if len(self.received) != count:
                count, since = len(self.received), time.monotonic()
            assert time.monotonic() < end, f"it does not come to rest:\n{self.text()}"
            time.sleep(0.05)

    def echo(self, key: str, seen: Callable[[str], bool], seconds: float = 60) -> float:
        """Seconds from pressing a key to the byte that paints its effect."""
        pressed = time.perf_counter()
        self.write(key.encode())
        return self.wait_until(seen, f"the effect of {key!r}", seconds) - pressed

    def threads(self) -> str:
        """What every thread of a program that hangs is doing; it ends the program."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self._reader.join(1.0)
        _, _, told = self.received.rpartition(b"Fatal Python error")
        return told.decode(errors="replace").replace("\r", "")

    # --- What it takes -------------------------------------------------------------------------

    def load(self) -> Load:
        process = psutil.Process(self.process.pid)
        times = process.cpu_times()
        return Load(
            process.memory_info().rss, process.num_threads(), float(times.user + times.system)
        )


@contextlib.contextmanager
def workbench(
    folder: Path, *arguments: str, size: tuple[int, int] = (100, 30), **environment: str
) -> Iterator[Terminal]:
    """`ddpm-tui ARGUMENTS` in a folder; errors that nobody foresaw are logged below it."""
    command = (sys.executable, "-m", "ddpm_tui", *arguments)
    own = {
        "XDG_STATE_HOME": str(folder / "state"),
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",  # see Terminal.threads
        **environment,
    }
    with program(command, folder, size=size, **own) as terminal:
        yield terminal


def mishaps(folder: Path) -> str:
    """The tracebacks that a workbench in this folder has logged; there should be none."""
    log = folder / "state" / "ddpm-tui" / "log" / "errors.log"
    return log.read_text(encoding="utf-8") if log.exists() else ""


@contextlib.contextmanager
def program(
    command: Sequence[str], folder: Path, *, size: tuple[int, int], **environment: str
) -> Iterator[Terminal]:
    """A program on a pseudo-terminal of its own, ended with the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    # COLUMNS and LINES would count for more than the size of the pseudo-terminal.
    unwanted = ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES")
    plain = {name: value for name, value in os.environ.items() if name not in unwanted}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**plain, "TERM": "xterm-256color", **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # Only the terminal that controls a program tells it of another size, and of its own end.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    terminal = Terminal(process, master, size)
    try:
        yield terminal
    except AssertionError as error:
        error.add_note(f"The last bytes that came: {bytes(terminal.received[-_NOTED:])!r}")
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with contextlib.suppress(OSError):
            os.close(master)
