"""Pictures in the terminal's own pixels: an app on a real pseudo-terminal that can, or cannot.

Run as a program, this file is that app.
"""

import base64
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

COLUMNS, ROWS = 80, 24
DA1 = b"\x1b[?62;22c"
COMMAND = re.compile(rb"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\")


def pictures(number: int) -> np.ndarray:
    """Two noise pictures in colour; the second is always the same."""
    rng = np.random.default_rng(number)
    first = rng.integers(0, 256, (1, 40, 30, 3), dtype=np.uint8)
    return np.concatenate([first, np.full((1, 40, 30, 3), 90, dtype=np.uint8)])


def run_app() -> None:
    """Space shows the next pictures; a key that nobody pressed would be seen in the title."""
    from typing import Any, ClassVar

    from textual.app import ComposeResult
    from textual.events import Key
    from textual.reactive import reactive

    from ddpm_tui.preferences import Preferences
    from ddpm_tui.shell import Shell
    from ddpm_tui.terminal.reading import listen
    from ddpm_tui.views.pictures import PictureView
    from ddpm_tui.widgets.pixels import PixelGrid

    class Gallery(PictureView):
        VIEW = "train"
        CSS = "PixelGrid { border-top: solid white; }"
        number = 0

        def body(self) -> ComposeResult:
            yield PixelGrid("empty")

        def on_key(self, event: Key) -> None:
            grid = self.query_one(PixelGrid)
            if event.key == "space":
                self.number += 1
                grid.show(pictures(self.number))
            elif event.key in "xyz":
                grid.entitle(f"key {event.key}")
            elif event.is_printable and event.key not in "K24q":
                grid.entitle(f"STRAY {event.key}")

    class Empty(PictureView):
        VIEW = "forward"

        def body(self) -> ComposeResult:
            return iter(())

    class Pictures(Shell):
        MODES: ClassVar[Any] = {"train": Gallery, "forward": Empty}
        activity: reactive[str] = reactive("")

        def on_mount(self) -> None:
            self.switch_mode("train")

        def action_view(self, name: str) -> None:
            self.switch_mode(name)

        def action_leave(self) -> None:
            self.exit()

    listen()
    Pictures(Preferences()).run()


class Terminal:
    """The other end, which understands the graphics protocol if it `can`."""

    def __init__(self, master: int, can: bool) -> None:
        self._master, self._can = master, can
        self.received = b""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read_until(self, wanted: bytes, seconds: float = 20) -> bytes:
        """Everything up to the first match of a pattern, which answers to questions precede."""
        end = time.monotonic() + seconds
        while not (found := re.search(wanted, self.received, re.DOTALL)):
            ready, _, _ = select.select([self._master], [], [], max(end - time.monotonic(), 0))
            assert ready, f"no {wanted!r} in {self.received[-600:]!r}"
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the app is gone
                pytest.fail(f"no {wanted!r} in {self.received[-600:]!r}")
            self.received += data
            if b"\x1b[c" in data:
                if self._can:  # in two pieces, as a slow link has it
                    os.write(self._master, b"\x1b_Gi=31;")
                    time.sleep(0.02)
                    os.write(self._master, b"OK\x1b\\")
                os.write(self._master, DA1)
        told, self.received = self.received[: found.end()], self.received[found.end() :]
        return told


def sent_pictures(data: bytes) -> dict[bytes, tuple[dict[bytes, bytes], np.ndarray]]:
    """Keys and pixels of every picture in what was written, by id."""
    found, keys, payload = {}, {}, b""
    for head, chunk in COMMAND.findall(data):
        given = dict(part.split(b"=") for part in head.split(b","))
        if given.get(b"a") in (b"q", b"d"):
            continue
        assert len(chunk) <= 4096
        if b"a" in given:
            keys, payload = given, b""
        payload += chunk
        if given[b"m"] == b"0":
            image = Image.open(io.BytesIO(base64.b64decode(payload)))
            found[keys[b"i"]] = (keys, np.asarray(image))
    return found


def deleted(data: bytes) -> set[bytes]:
    return set(re.findall(rb"\x1b_Ga=d,d=I,i=(\d+),q=2\x1b\\", data))


@contextmanager
def app(can: bool, **environ: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    own = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TMUX", "STY")}
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=own | {"TERM": "xterm-kitty", "COLORTERM": "truecolor"} | environ,
    )
    os.close(slave)
    try:
        terminal = Terminal(master, can)
        terminal.read_until(rb"empty")
        yield terminal
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)


def test_a_terminal_that_can_gets_the_pixels_and_deletions() -> None:
    with app(can=True) as terminal:
        terminal.type(" ")
        blocks = terminal.read_until(rb"\xe2\x96\x80.*\x1b\[\?2026l|\xe2\x96\x80.{20000}")
        assert b"\x1b_G" not in blocks, "nothing before somebody asks for it"

        terminal.type("K")
        first = terminal.read_until(rb"Pictures in the terminal")
        terminal.type("y")
        first += terminal.read_until(rb"key y")
        assert len(sent_pictures(first)) == 2
        terminal.type(" ")
        second = terminal.read_until(rb"m=0;[^\x1b]*\x1b\\\x1b8")
        terminal.type("x")
        second += terminal.read_until(rb"key x")
        ((keys, image),) = sent_pictures(second).values()
        assert (image == pictures(2)[0]).all(), "only the picture that changed, to the last bit"
        assert (keys[b"c"], keys[b"r"]) == (b"30", b"20")
        assert int(keys[b"z"]) < -(2**31) // 2
        assert keys[b"q"] == b"2"
        assert re.search(rb"\x1b7\x1b\[\d+;\d+H\x1b_Ga=T", second)

        terminal.type("4")
        left = terminal.read_until(rb"(a=d.*){2}\x1b\\")
        assert keys[b"i"] in deleted(left)
        terminal.type("2")
        again = sent_pictures(terminal.read_until(rb"(m=0;[^\x1b]*\x1b\\.*){2}"))
        for (_, image), shown in zip(again.values(), pictures(2), strict=True):
            assert (image == shown).all()
        terminal.type("q")
        assert set(again) <= deleted(terminal.read_until(rb"(a=d.*){2}\x1b\\"))


def test_keys_among_the_answer_are_keys_and_the_answer_is_none() -> None:
    with app(can=True) as terminal:
        terminal.type("Kxyz")
        told = terminal.read_until(rb"Pictures in the terminal")
        told += terminal.received
        terminal.type("x")
        told += terminal.read_until(rb"key x")
        assert b"STRAY" not in told


@pytest.mark.parametrize("environ", [{}, {"TMUX": "/tmp/tmux-0/default,1,0"}])
def test_half_blocks_stay_where_it_is_not_offered(environ: dict[str, str]) -> None:
    with app(can=False, **environ) as terminal:
        terminal.type("K")
        told = terminal.read_until(rb"kitty graphics")
        assert (b"a=q" in told) == (not environ), "tmux would take the question for a title"
        assert b"STRAY" not in told
        terminal.type(" ")
        told = terminal.read_until(rb"\xe2\x96\x80.{2000}")
        assert b"a=T" not in told


if __name__ == "__main__":
    run_app()
