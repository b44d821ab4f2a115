"""`ddpm-tui` on a real pseudo-terminal, read by a terminal emulator, driven by keys alone."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.one_quick import one_quick
from tests.terminal.harness import RIGHT, TAB, workbench


def row_of(label: str, screen: str) -> str:
    return next(row for row in screen.splitlines() if label in row)


def test_a_newcomer_gets_from_the_first_screen_to_a_trained_run_and_out(tmp_path: Path) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("No runs yet")
        terminal.press("n")
        terminal.wait_for("Train a new run")
        terminal.press(TAB)
        while "fashion-mnist-10k" not in (chosen := row_of("data set", terminal.text())):
            terminal.press(RIGHT)  # the next data set on this machine
            terminal.wait_until(lambda screen, was=chosen: row_of("data set", screen) != was)
        terminal.press(TAB, RIGHT, RIGHT, RIGHT)  # network: unet, dit, then article
        terminal.press(TAB, TAB, TAB, TAB, "1", "2")  # over schedule, target and classes to steps
        terminal.press(TAB, "4", TAB, TAB, "2", "0")  # batch size, over lr to T
        terminal.wait_for("article on fashion-mnist-10k")
        terminal.wait_for("12 steps of 4")
        terminal.wait_for("T = 20")
        terminal.press("\r")
        terminal.wait_for("finished", 120)
        terminal.wait_for("samples · step 12")
        assert "▀" in terminal.text(), "the samples are painted in half-blocks"
        terminal.press("q")
        assert terminal.process.wait(20) == 0
    assert b"Traceback" not in terminal.received
    status = json.loads((tmp_path / "runs/run1/status.json").read_text())
    assert (status["state"], status["step"]) == ("finished", 12)


# Arguments, environment, what has to be among the escape sequences, and what must not.
COLOURS: dict[str, tuple[tuple[str, ...], dict[str, str], bytes, bytes | None]] = {
    "detected 16": ((), {"TERM": "linux"}, rb"[;\[](3|9)[0-7][;m]", rb"[34]8;[25];\d+"),
    "detected 256": ((), {"TERM": "screen-256color"}, rb"38;5;\d+", rb"38;2;\d+"),
    "detected truecolor": ((), {"COLORTERM": "truecolor"}, rb"38;2;\d+", None),
    "asked for 16": (("--color", "16"), {}, rb"[;\[](3|9)[0-7][;m]", rb"[34]8;[25];\d+"),
    "asked for 256": (("--color", "256"), {}, rb"38;5;\d+", rb"38;2;\d+"),
    "asked for truecolor": (("--color", "truecolor"), {}, rb"38;2;\d+", None),
}


@pytest.mark.parametrize("how", one_quick(COLOURS))
def test_colours_are_detected_and_can_be_overridden(tmp_path: Path, how: str) -> None:
    arguments, environment, present, absent = COLOURS[how]
    with workbench(tmp_path, *arguments, **environment) as terminal:
        terminal.wait_for("No runs yet")
        terminal.press("q")
        assert terminal.process.wait(20) == 0
    assert re.search(present, terminal.received)
    assert absent is None or not re.search(absent, terminal.received)


def test_no_color_uses_greys_only_and_pictures_become_letters(tmp_path: Path) -> None:
    with workbench(tmp_path, NO_COLOR="1") as terminal:
        terminal.wait_for("No runs yet")
        terminal.press("4")
        terminal.wait_for("T-shirt/top", 60)
        time.sleep(1)
        assert "▀" not in terminal.text()
        terminal.press("q")
        assert terminal.process.wait(20) == 0


def test_the_screen_is_restored_at_the_end(tmp_path: Path) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("No runs yet")
        terminal.press("q")
        assert terminal.process.wait(20) == 0
        time.sleep(0.2)
    assert b"\x1b[?1049h" in terminal.received
    assert b"\x1b[?1049l" in terminal.received


def test_train_tui_opens_on_the_run(tmp_path: Path) -> None:
    arguments = ("train", "--dataset", "fashion-mnist-10k", "--model", "article", "--steps", "8")
    small = ("--batch-size", "4", "--num-train-timesteps", "20", "--name", "mine", "--tui")
    with workbench(tmp_path, *arguments, *small) as terminal:
        terminal.wait_for("mine")
        terminal.wait_for("finished", 120)
        terminal.press("q")
        assert terminal.process.wait(20) == 0
    assert b"Traceback" not in terminal.received


def test_an_idle_workbench_ends_with_its_terminal(tmp_path: Path) -> None:
    with workbench(tmp_path) as terminal:
        terminal.wait_for("No runs yet")
        terminal.vanish()
        assert terminal.process.wait(10) is not None
