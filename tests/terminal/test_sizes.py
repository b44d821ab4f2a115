"""After any change of its size, a window shows what it would show if it were painted anew.

DDPM_TUI_STORM_SECONDS=60 pytest tests/terminal/test_sizes.py
"""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from textual.events import Resize

from ddpm_tui.terminal.driver import LinkDriver
from tests.terminal.harness import ENTER, ESCAPE, LOST, Terminal, workbench
from tests.terminal.monkey import look

STORM_SECONDS = float(os.environ.get("DDPM_TUI_STORM_SECONDS", "2"))
SMALLEST = (20, 5)
AGE = re.compile(r"\d+ ?(s|m|min|h)\b")
_DEVICE = re.compile(r"\b(CPU|RAM)\b")
_TABS = 60  # columns of the top bar before what goes on
# Keys that lead somewhere from any view, and what is seen there: every view and every dialog.
# Those from `take` on need what it draws.
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
        elif AGE.search(text):
            found.append((re.sub(r"\s+", " ", AGE.sub("…", text)), ()))
        else:
            # Of a space nobody sees the foreground, and it is left as it happens to be.
            found.append((text, tuple((cell.data.strip() and cell.fg, cell.bg) for cell in cells)))
    return found


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
    def check(number: int, places: Sequence[str]) -> None:
        folder = tmp_path / str(number)
        shutil.copytree(few_runs, folder / "runs")
        with workbench(folder, COLORTERM="truecolor") as terminal:
            terminal.wait_for("tiny")
            terminal.press("G", ENTER)  # the dialogs of the Sample view are of the run in sight
            terminal.wait_for("devices")
            # Until then a notice, which passes, answers keys of the Sample view.
            terminal.wait_until(lambda screen: "loading torch" not in screen, "torch")
            for place in places:
                for seed in range(1, 2 + int(STORM_SECONDS) // 4):
                    changes_of_size(terminal, place, seed, 12)
            look(terminal, folder)

    # They wait most of the time.
    every = list(VIEWS_AND_DIALOGS)
    train, take = every.index("train"), every.index("settings")
    parts = (every[:train], every[train:take], every[take:])
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(check, range(len(parts)), parts))
