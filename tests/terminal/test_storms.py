"""Windows that are very small, and windows that do not stop changing their size.

DDPM_TUI_STORM_SECONDS=60 pytest tests/terminal/test_storms.py
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.terminal.harness import ESCAPE, Terminal, workbench
from tests.terminal.monkey import answers, look
from tests.terminal.test_sizes import AGE, SMALLEST, STORM_SECONDS

_A_SECOND = 40  # sizes
_AT_ONCE = 10.0  # seconds, on a machine that others use as well
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
    return "\n".join(re.sub(r"\s+", " ", AGE.sub("…", row)) for row in rows)


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
