"""Windows of any size, and windows that do not stop changing it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.terminal.harness import ESCAPE, workbench
from tests.terminal.monkey import LOOK_SIZE, answers, look

SMALLEST = (20, 5)
# Keys that lead somewhere from any view, and what is pressed there.
PLACES = {
    "runs": "1jk",
    "train": "2vfL",
    "sample": "3vz",
    "forward": "4lfb",
    "help": "1?abc",
    "palette": "1\x10run",
    "form": "1n\t\t12",
    "settings": "3o\t\t",
    "jump": "2;",
}


@pytest.mark.endurance
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


@pytest.mark.endurance
@pytest.mark.parametrize("place", PLACES)
def test_a_storm_of_sizes_passes(few_runs: Path, tmp_path: Path, place: str) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("tiny")
        terminal.press(*PLACES[place])
        began, number = time.monotonic(), 0
        while number < 200:
            terminal.resize(20 + number * 37 % 181, 5 + number * 23 % 56)
            number += 1
            time.sleep(max(0.0, began + number * 5 / 200 - time.monotonic()))
        terminal.resize(*LOOK_SIZE)
        # Out of what was open, the views come at their keys, and are whole.
        answers(terminal)
        terminal.press("1")
        terminal.wait_for("classes")
        terminal.wait_for("Help")
        look(terminal, tmp_path)
