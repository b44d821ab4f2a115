"""Windows of any size, and windows that do not stop changing it.

DDPM_TUI_STORM_SECONDS=60 pytest tests/terminal/test_sizes.py
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.events import Resize

from ddpm_tui.terminal.driver import LinkDriver
from tests.terminal.harness import ESCAPE, LOST, Terminal, workbench
from tests.terminal.monkey import answers, look

STORM_SECONDS = float(os.environ.get("DDPM_TUI_STORM_SECONDS", "2"))
_A_SECOND = 40  # sizes
_AT_ONCE = 10.0  # seconds, on a machine that others use as well
SMALLEST = (20, 5)
_AGE = re.compile(r"\d+ ?(s|m|min|h)\b")
_DEVICE = re.compile(r"\b(CPU|RAM)\b")
_TABS = 60  # columns of the top bar before what goes on
# Keys that lead somewhere from any view, and what is pressed there.
PLACES = {
    "runs": "1jk",
    "train": "2vfL",
    "sample": "3vz",
    "forward": "4lfb",
    "inspect": "5",
    "compare": "1Ac",
    "help": "1?abc",
    "palette": "1\x10run",
    "form": "1n\t\t12",
    "settings": "3o\t\t",
    "jump": "2;",
}
# More places, and what is seen there: every view and every dialog. Those of the Sample view need
# what `take` draws.
VIEWS_AND_DIALOGS = {
    "runs": ("1g", "HELD-OUT"),
    "filter": ("1/", "words in name"),
    "tag": ("1t", "takes one away"),
    "note": ("1m", "what to remember"),
    "rename": ("1R", "rename"),
    "form": ("1n", "measured"),
    "palette": ("1\x10run", "Open the run"),
    "help": ("1?", "Help: Runs"),
    "compare": ("1Ac", "x Axis"),
    "train": ("1G\r", "devices"),
    "jump": ("2;", "d vices"),
    "forward": ("4", "t = "),
    "schedules": ("4s", "Noise schedules"),
    "network": ("4r", "Whose network"),
    "inspect": ("5", "Schedule"),
    "run": ("5o", "Inspect a run"),
    "settings": ("3o", "sampler"),
    "take": ("3d", "the result"),
    "favourites": ("3S", "Favourites"),
    "ask": ("3a", "Ask for something"),
    "renoise": ("3r", "Re-noise"),
    "branch": ("3b", "continuations"),
    "start": ("3f", "Start from"),
    "second": ("3c", "Both lanes"),
    "mask": ("3m", "painted anew"),
}
QUICK = ("runs", "settings", "compare", "forward")
_SHORTER = ((80, 24), (80, 20), (80, 23), (120, 40), (80, 24), (100, 30), (100, 29))


def steps_of_size(draw: random.Random, count: int) -> Iterator[tuple[int, int, float]]:
    """Columns, rows, and seconds until the next: windows that are dragged, split and put back."""
    columns, rows = 100, 30
    for _ in range(count):
        kind = draw.randrange(4)
        if kind == 0:
            columns, rows = draw.choice(_SHORTER)
        elif kind == 1:  # as `split-window` does
            rows = max(rows - draw.choice((1, 1, 4, 10)), SMALLEST[1])
        elif kind == 2:
            columns = max(columns - draw.choice((1, 7, 40)), SMALLEST[0])
        else:
            columns, rows = draw.randrange(20, 160), draw.randrange(5, 50)
        yield columns, rows, draw.choice((0, 0, 0.002, 0.01, 0.02, 0.1, 0.4))


def is_as_drawn_anew(terminal: Terminal) -> None:
    """At rest the screen is what whoever attaches now would see, to the colours of its cells."""
    terminal.wait_for_rest()
    before, wrong = painted(terminal), list[str]()
    terminal.draw_anew()
    terminal.wait_for_rest()
    for was, now in zip(before, painted(terminal), strict=True):
        if was != now:
            wrong.append(f"{was[0]!r} should be\n{now[0]!r}")
    size = "×".join(map(str, terminal.size))
    assert not wrong, f"at {size}:\n" + "\n".join(wrong)


def painted(terminal: Terminal) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Text and colours by row, without what changes by itself: ages, what the devices do, and the
    end of the top bar."""
    columns, rows = terminal.size
    found = []
    for y in range(rows):
        cells = terminal.cells(y)[: _TABS if y == 0 else columns]
        text = "".join(cell.data for cell in cells)
        if _DEVICE.search(text):
            found.append(("", ()))
        elif _AGE.search(text):
            found.append((re.sub(r"\s+", " ", _AGE.sub("…", text)), ()))
        else:
            # Of a space nobody sees the foreground, and it is left as it happens to be.
            found.append((text, tuple((cell.data.strip() and cell.fg, cell.bg) for cell in cells)))
    return found


def is_whole(terminal: Terminal) -> None:
    """The screen is as it is when all of it is painted anew."""
    time.sleep(1.0)  # the runs are being listed
    seen = steady(terminal.text())
    columns, rows = terminal.size
    terminal.forget()
    terminal.resize(columns - 1, rows)
    terminal.resize(columns, rows)
    terminal.wait_until(lambda screen: steady(screen) == seen, f"the same as before:\n{seen}\n", 10)


def steady(screen: str) -> str:
    """A screen below its top bar, without what changes by itself: ages, which move their row."""
    rows = screen.splitlines()[1:]
    return "\n".join(re.sub(r"\s+", " ", _AGE.sub("…", row)) for row in rows)


@pytest.mark.slow
def test_the_smallest_window_breaks_nothing_and_a_larger_one_is_as_ever(
    few_runs: Path, tmp_path: Path
) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("tiny")
        for keys in PLACES.values():
            terminal.resize(*SMALLEST)
            for key in keys:
                terminal.press(key)
            look(terminal, tmp_path)
            terminal.press(ESCAPE)
            time.sleep(0.1)
            terminal.press(ESCAPE)
        answers(terminal)
        terminal.press("1")
        terminal.wait_for("classes")
        look(terminal, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_storm_of_sizes_passes(few_runs: Path, tmp_path: Path, place: str) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("tiny")
        terminal.press(*PLACES[place])
        began, number = time.monotonic(), 0
        while number < STORM_SECONDS * _A_SECOND:
            terminal.resize(20 + number * 37 % 181, 5 + number * 23 % 56)
            number += 1
            time.sleep(max(0.0, began + number / _A_SECOND - time.monotonic()))
        # Out of what was open, the views come at their keys, and are whole.
        assert answers(terminal) < _AT_ONCE
        terminal.press("1")
        terminal.wait_for("classes")
        terminal.wait_for("Help")
        is_whole(terminal)
        look(terminal, tmp_path)


def changes_of_size(terminal: Terminal, place: str, seed: int, count: int) -> None:
    """Go to a place, change the size, and compare; two times in three with a shorter window."""
    draw = random.Random(f"{place} {seed}")
    terminal.resize(100, 30)
    for _ in range(3):
        terminal.press(ESCAPE)
        time.sleep(0.2)  # a key that follows at once is read as alt and that key
    keys, seen = VIEWS_AND_DIALOGS[place]
    terminal.press(keys[0])
    terminal.wait_for_rest()
    terminal.press(*keys[1:])
    terminal.wait_for(seen)
    terminal.wait_for_rest()
    for columns, rows, pause in steps_of_size(draw, count):
        terminal.resize(columns, rows)
        time.sleep(pause)
    if draw.randrange(3):
        terminal.resize(80, 24)
        terminal.wait_for_rest()
        terminal.resize(80, 24 - draw.choice((1, 4, 12)))
    is_as_drawn_anew(terminal)


def test_while_a_training_paints_as_well(tmp_path: Path) -> None:
    command = (
        *("train", "--tui", "--dataset", "fashion-mnist-10k", "--model", "article"),
        *("--steps", "1000000", "--batch-size", "4", "--num-train-timesteps", "8"),
        *("--name", "mine", "--set", "training.log_every=5"),
        *("--set", "training.preview_every=10", "--set", "training.checkpoint_every=1000000"),
    )
    draw = random.Random(0)
    with workbench(tmp_path, *command) as terminal:
        for _ in range(1 + int(STORM_SECONDS) // 4):
            terminal.wait_for("training mine")
            terminal.wait_for("images/s")
            for columns, rows, pause in steps_of_size(draw, 8):
                terminal.resize(columns, rows)
                time.sleep(pause)
            terminal.resize(100, 30)
            terminal.wait_until(lambda screen: LOST not in screen, "the whole screen")
            terminal.resize(100, 30 - draw.choice((1, 4, 9)))
            terminal.press(" ")
            terminal.wait_for("paused mine")
            is_as_drawn_anew(terminal)
            terminal.press(" ")
        look(terminal, tmp_path)


def test_exported_columns_and_lines_are_not_the_size(few_runs: Path, tmp_path: Path) -> None:
    with workbench(tmp_path, size=(110, 34), COLUMNS="80", LINES="24") as terminal:
        for columns, rows in ((110, 34), (60, 18), (130, 40)):
            terminal.resize(columns, rows)
            terminal.wait_for("tiny")
            terminal.wait_for_rest()
            assert "Help" in terminal.text().splitlines()[-1]
    environment = {"COLUMNS": "61", "LINES": "24", "NO_COLOR": "1"}
    with workbench(tmp_path, "show", "tiny", size=(72, 60), **environment) as terminal:
        terminal.process.wait()
        terminal.wait_for("loss by step")
        _, _, plot = terminal.text().partition("loss by step")
        assert max(len(row.rstrip()) for row in plot.splitlines()) == 72


def test_a_signal_brings_the_size_of_now_and_a_terminal_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal handler can be interrupted by the next one, after it has read the size."""
    driver = LinkDriver.__new__(LinkDriver)
    driver.fileno = 0
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((70, 20)))
    older = Resize.from_dimensions((80, 24), None)
    assert driver.with_size_of_now(older).size == (70, 20)
    own = Resize.from_dimensions((80, 24), (800, 480))
    assert driver.with_size_of_now(own) is own


def test_after_any_changes_of_size_the_screen_is_as_drawn_anew(
    few_runs: Path, tmp_path: Path
) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("tiny")
        for place in QUICK:
            changes_of_size(terminal, place, 0, 6)
        look(terminal, tmp_path)


@pytest.mark.slow
def test_in_every_view_and_dialog_the_screen_is_as_drawn_anew(
    few_runs: Path, tmp_path: Path
) -> None:
    with workbench(tmp_path, COLORTERM="truecolor") as terminal:
        terminal.wait_for("tiny")
        for place in VIEWS_AND_DIALOGS:
            for seed in range(1, 2 + int(STORM_SECONDS) // 4):
                changes_of_size(terminal, place, seed, 12)
        look(terminal, tmp_path)
