"""The budget and the keys on real pseudo-terminals, over links of several kinds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.terminal.streaming_app import frame, ticks_of
from tests.terminal.throttle import Link, Wire, wired

STOP, END = "\x1b[18~", "\x1b[19~"  # F7, F8
# What no picture is written with.
LETTERS = "zxwvy"
SIZE = (64, 34)

# Bytes that a slow link carries in a second. What a key waits for is counted in them: how long a
# busy machine takes for anything is not the app's doing.
SECOND = 100_000
# sshd takes up to 2 MB from the program at once, whatever the network does.
SSH = Link(rate=SECOND, buffer=2_000_000, delay=0.03)


@dataclass
class Streaming:
    """The streaming app behind a link; `told` is there after `end`."""

    wire: Wire
    report: Path

    def most_before_an_echo(self) -> int:
        """Press a few letters; the most bytes that came before one of them was in the field."""
        return max(self.wire.bytes_before_echo(key, key.encode()) for key in LETTERS)

    def wait_for_ticks(self, count: int) -> None:
        """Wait until the event loop of the app has come round so often."""
        enough = self._ticks() + count
        while self._ticks() < enough:  # or until the time limit of the test
            time.sleep(0.05)

    def _ticks(self) -> int:
        return int(ticks_of(self.report).read_text() or 0)  # empty while it is written

    def end(self) -> dict[str, Any]:
        self.wire.press(STOP)
        self.wire.settle()
        shown = self.wire.text()
        self.wire.press(END)
        assert self.wire.process.wait(20) == 0
        assert b"Traceback" not in self.wire.received
        told: dict[str, Any] = json.loads(self.report.read_text())
        assert f"frame {told['number']}" in shown, "the newest text arrived"
        return told

    def pixels(self) -> np.ndarray:
        """Grey values of the picture that the screen shows, (64, 64)."""
        rows = []
        for y in range(32):
            cells = [self.wire.screen.buffer[y][x] for x in range(64)]
            for half in ("fg", "bg"):
                colors = (getattr(cell, half if cell.data == "▀" else "bg") for cell in cells)
                rows.append([int(color[:2], 16) for color in colors])
        return np.array(rows)


@contextmanager
def streaming(folder: Path, link: Link, budget: int = 300) -> Iterator[Streaming]:
    report = folder / "report.json"
    app = Path(__file__).with_name("streaming_app.py")
    with wired([app, str(budget), report], link, size=SIZE) as wire:
        wire.arrival(b"frame 20")
        yield Streaming(wire, report)


def test_over_ssh_pictures_leave_room_for_keys_and_the_newest_frame_arrives(
    tmp_path: Path,
) -> None:
    with streaming(tmp_path, SSH) as app:
        app.wire.wait_for_bytes(SECOND)  # by then the link is known
        app.wire.most_waiting = 0
        app.wire.wait_for_bytes(2 * SECOND)
        assert app.most_before_an_echo() < 0.5 * SECOND
        told = app.end()
        assert np.abs(app.pixels() - frame(told["number"])[0]).max() <= 2
    assert app.wire.most_waiting < 0.5 * SECOND, "the link is never filled"
    assert told["rate"] < 1.2 * SECOND, "nor taken for faster than it is"
    assert told["value"] == LETTERS, "no answer of the terminal is taken for keys"


@pytest.mark.slow
def test_a_reader_that_is_slow_is_no_worse(tmp_path: Path) -> None:
    with streaming(tmp_path, Link(rate=SECOND)) as app:
        app.wire.wait_for_bytes(2 * SECOND)
        assert app.most_before_an_echo() < 0.5 * SECOND
        app.end()


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False], ids=["answers", "never answers"])
def test_the_budget_holds_where_the_link_would_take_more(tmp_path: Path, answers: bool) -> None:
    budget = 100
    with streaming(tmp_path, Link(answers=answers), budget) as app:
        app.wire.wait_for_bytes(2000 * budget)  # by then no first answer is waited for
        took = app.wire.wait_for_bytes(4000 * budget)
        told = app.end()
    assert told["silent"] is not answers
    assert 4000 * budget < 1.15 * took * 1000 * budget + 75_000  # a frame more or less


@pytest.mark.slow
def test_a_terminal_that_reads_nothing_does_not_stop_the_app(tmp_path: Path) -> None:
    with streaming(tmp_path, Link()) as app:
        app.wire.stalled = True
        app.wait_for_ticks(80)
        app.wire.press("z")
        app.wait_for_ticks(5)
        app.wire.stalled = False
        app.wire.arrival(b"z")
        told = app.end()
        assert np.abs(app.pixels() - frame(told["number"])[0]).max() <= 2
    assert told["value"] == "z"


@pytest.mark.slow
def test_an_idle_view_sends_nothing_and_a_click_needs_no_move_before(tmp_path: Path) -> None:
    views = {"Runs": "No runs yet", "Train": "No run is open", "Sample": "", "Forward": "T-shirt"}
    program = ("-m", "ddpm_tui", "--color", "truecolor")
    with wired(program, Link(), folder=tmp_path) as wire:
        wire.wait_for("4 Forward")
        bar = wire.text().split("\n")[0]
        while "loading torch" in wire.text():  # or until the time limit of the test
            wire.sent(0.5)
        for view, content in views.items():
            column = bar.index(view) + 1
            wire.press(f"\x1b[<0;{column};1M", f"\x1b[<0;{column};1m")
            wire.wait_for(content)
            wire.settle(4, 120)
        wire.press("?")
        wire.wait_for("Help")
        wire.settle(4, 120)  # its field has no cursor that blinks
    assert b"\x1b[?1003h" not in wire.received, "no report of every move of the mouse"
