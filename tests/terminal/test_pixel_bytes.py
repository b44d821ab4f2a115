"""What a picture costs on the wire: an app on a real pseudo-terminal, its output counted.

Run as a program, this file is that app.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyte
import pytest

COLUMNS, ROWS = 64, 32  # a 64 × 64 picture fills them
FRAMES = 4
TARGET = {"16": 25_000, "256": 45_000, "truecolor": 85_000}  # bytes for a whole frame


def frame(number: int) -> np.ndarray:
    """A 64 × 64 x_T: standard normal noise, displayed as (x + 1) / 2. The dearest picture there
    is in a reverse process, since no two neighbours are alike."""
    x = np.random.default_rng(number).normal(size=(1, 64, 64))
    return np.clip((x + 1) * 127.5, 0, 255).round().astype(np.uint8)


def run_app(mode: str, report: int) -> None:
    """Shows frame k when key k is pressed, and then writes a line to the descriptor `report`."""
    from ddpm_tui.color import apply, detect

    apply(detect(os.environ, mode), os.environ)

    from textual.app import App
    from textual.events import Key

    from ddpm_tui.widgets.pacing import output_backlog
    from ddpm_tui.widgets.pixels import PixelGrid

    class Pictures(App[None]):
        def compose(self):
            yield PixelGrid()

        def on_ready(self) -> None:
            self.report()

        def on_key(self, event: Key) -> None:
            image = frame(int(event.key[0]))
            if event.key == "9":  # frame 1 with another row 10
                image = frame(1)
                image[0, 20:22] = frame(2)[0, 20:22]
            self.query_one(PixelGrid).show(image)
            self.call_after_refresh(self.report)

        def report(self) -> None:
            if output_backlog(self):
                self.set_timer(0.01, self.report)
            else:
                os.write(report, b"\n")

    Pictures().run()


class Terminal:
    """The other end of the pseudo-terminal."""

    def __init__(self, master: int, reports: int) -> None:
        self._master, self._reports = master, reports
        self._received: list[bytes] = []
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the app is gone
                return
            self._received.append(data)

    def press(self, key: str) -> bytes:
        """Press a key and return all that the app wrote for it."""
        os.write(self._master, key.encode())
        return self.wait()

    def wait(self) -> bytes:
        """What the app has written when it reports that it is done."""
        ready, _, _ = select.select([self._reports], [], [], 30)
        assert ready, "the app did not answer"
        assert os.read(self._reports, 1), "the app ended"
        count = -1
        while count != len(self._received):  # until the last write has come through
            count = len(self._received)
            time.sleep(0.15)
        data = b"".join(self._received)
        self._received.clear()
        self._stream.feed(re.sub(rb"\x1b\[[<>]\d*u", b"", data))  # keyboard modes, not for pyte
        return data

    def pixels(self) -> np.ndarray:
        """Grey values of the whole screen, (64, 64)."""

        def grey(color: str) -> int:
            assert color[:2] == color[2:4] == color[4:]
            return int(color[:2], 16)

        cells = [[self.screen.buffer[y][x] for x in range(COLUMNS)] for y in range(ROWS)]
        rows = []
        for row in cells:
            rows.append([grey(cell.fg if cell.data == "▀" else cell.bg) for cell in row])
            rows.append([grey(cell.bg) for cell in row])
        return np.array(rows)


@contextmanager
def app(mode: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    reports, report = os.pipe()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, __file__, mode, str(report)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        pass_fds=[report],
        start_new_session=True,
        env=environ | {"TERM": "xterm-256color"},
    )
    os.close(slave)
    os.close(report)
    try:
        terminal = Terminal(master, reports)
        terminal.wait()
        yield terminal
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
        os.close(reports)


@pytest.mark.parametrize(("mode", "error"), [("16", None), ("256", 9), ("truecolor", 2)])
def test_bytes_of_a_picture(mode: str, error: int | None) -> None:
    with app(mode) as terminal:
        sizes = []
        for number in range(1, FRAMES):
            sizes.append(len(terminal.press(str(number))))
            shown = frame(number)[0].astype(int)
            if error is not None:
                assert np.abs(terminal.pixels() - shown).max() <= error
        assert max(sizes) <= TARGET[mode]
        assert min(sizes) >= TARGET[mode] / 3  # something was drawn

        terminal.press("1")
        assert terminal.press("1") == b""  # the same picture again
        assert 0 < len(terminal.press("9")) <= 1.3 * max(sizes) / ROWS  # one row of it changed
        print(f"\n{mode}: {sizes} bytes")


if __name__ == "__main__":
    run_app(sys.argv[1], int(sys.argv[2]))
