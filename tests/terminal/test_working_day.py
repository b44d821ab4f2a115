"""A whole working day on a real terminal by keys alone: every file is where the toast said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.terminal.harness import (
    DOWN,
    ENTER,
    ESCAPE,
    LEFT,
    RIGHT,
    TAB,
    Terminal,
    mishaps,
    workbench,
)

_TINY = (
    "model.patch_size=7 model.hidden_size=32 training.preview_every=4 training.checkpoint_every=4"
)


def told(terminal: Terminal) -> str:
    """The words of the toasts, which break where they like, without spaces."""
    rows = (re.search("▌(.*)", row) for row in terminal.text().splitlines())
    return "".join(row[1] for row in rows if row).replace(" ", "")


def wait_for_file(terminal: Terminal, folder: Path, pattern: str) -> Path:
    """A file below a folder that a toast names from where the workbench was started, or from the
    root, and that is there."""
    wanted = re.compile(f"(?:/[^:]*/)?{re.escape(folder.name)}/({pattern})")
    terminal.wait_until(lambda _: wanted.search(told(terminal)) is not None, pattern)
    found = wanted.search(told(terminal))
    assert found is not None
    path = folder / found[1]
    assert path.exists(), f"{path} was told and is not there"
    return path


def go_to(terminal: Terminal, field: str) -> None:
    """Press tab until the form explains the field, and wait for every step of it: what is typed
    before a busy program has moved on goes into the field before."""

    def explained(screen: str) -> str:
        found = re.search(r"│ ([\w ]+): ", screen)
        return found[1] if found else ""

    terminal.wait_until(lambda screen: explained(screen) != "", "a field")
    while (at := explained(terminal.text())) != field:
        terminal.echo(TAB, lambda screen, at=at: explained(screen) not in ("", at))


def choose(terminal: Terminal, value: str) -> None:
    """Go through what a field offers, one after the other."""

    def chosen(screen: str) -> list[str]:
        return re.findall("◂ (.*?) ▸", screen)

    if f"  {value}  " in terminal.text():
        return  # the only one that there is has no arrows
    while value not in (at := chosen(terminal.text())):
        terminal.echo(RIGHT, lambda screen, at=at: chosen(screen) != at)


def answer(terminal: Terminal) -> None:
    """Enter, and wait until the dialog has gone."""
    terminal.echo(ENTER, lambda screen: "esc back ─╯" not in screen)


def train(terminal: Terminal, name: str, **values: str) -> None:
    """Fill in the form of a new run and wait until it is trained.

    Args:
        values: of more fields in the order of the form, with _ for a space.
    """
    terminal.press("n")
    terminal.wait_for("Train a new run")
    go_to(terminal, "data set")
    choose(terminal, "fashion-mnist-10k")
    go_to(terminal, "network")
    choose(terminal, "dit")
    go_to(terminal, "told the class")
    choose(terminal, "yes")
    for field, value in (*values.items(), ("other settings", _TINY), ("name", name)):
        go_to(terminal, field.replace("_", " "))
        terminal.write(value.encode())
    terminal.wait_for("dit, told the class, on fashion-mnist-10k")
    terminal.press(ENTER)
    terminal.wait_for(f"{name} finished at step", 120)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_working_day(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "day"
    with workbench(tmp_path, size=(120, 40)) as terminal:
        press, wait_for = terminal.press, terminal.wait_for

        # Train.
        wait_for("No runs yet")
        train(terminal, "day", steps="12", batch_size="4", timesteps_T="20")

        # Look back through the grids.
        wait_for("samples · step 12")
        press("[")
        wait_for("step 8")
        press("[")
        wait_for("step 4")
        press("$")
        wait_for("samples · step 12")

        # Sample, and pause at some t.
        press("s")
        wait_for("d draws")
        press(*"------d")
        wait_for("playing")
        press(" ")
        wait_for("paused")
        press(LEFT, LEFT, "0")
        wait_for("step  1/")
        press(RIGHT, RIGHT)
        wait_for("step  3/")

        # Branch, and change the class.
        press("b")
        wait_for("continuations: ")
        press("1")  # of each prompt: this sampler draws no noise
        go_to(terminal, "prompts")
        terminal.write(b"dress; coat")
        answer(terminal)
        wait_for("u takes back")
        press(" ")
        wait_for("paused")
        press("a")
        wait_for("Ask for something else")
        wait_for("prompt: ")
        terminal.write(b"sandal")
        answer(terminal)
        wait_for("sandal")
        press("+", "+", "+", "$")
        wait_for("the result, after", 120)

        # Inpaint.
        press("m")
        wait_for("0 of 784 pixels")
        press("r", RIGHT, RIGHT, DOWN, DOWN, "r", ENTER)
        wait_for("inpaint")
        press("$")
        # Inpainting goes to and fro: more steps than the take before had.
        longer = re.compile(r"after \d{3} steps .* done")
        terminal.wait_until(lambda screen: longer.search(screen) is not None, "the inpainted")
        press("s")
        wait_for_file(terminal, run, r"samples/favourites/[\w.-]+\.png")

        # Compare in lockstep, save.
        press("d")
        wait_for("the result, after 12 steps", 120)
        press("c")
        wait_for("Both lanes start from the same noise")
        press(RIGHT)
        answer(terminal)
        press("$")
        wait_for("the result · sampler ddpm", 120)
        press("W")
        saved = wait_for_file(terminal, run, r"samples/[\w.-]+?\.png")
        beside = {path.name for path in saved.parent.glob(f"{saved.stem}*")}
        assert {path.rpartition(".")[2] for path in beside} >= {"png", "gif", "npz"}
        terminal.wait_until(
            lambda _: all(name in told(terminal) for name in beside), f"{beside}", 10
        )

        # Export, and a picture of the screen.
        press("1")
        wait_for("day")
        press("e")
        exported = wait_for_file(terminal, run, r"exports/[\w-]+")
        assert (exported / "README.md").exists()
        press("\x1b[24~")
        wait_for_file(terminal, tmp_path, r"screenshots/[\w-]+\.svg")

        # Another run, and the two beside one another.
        train(terminal, "night", steps="4", batch_size="4", timesteps_T="20")
        press("1")
        wait_for("2 runs")
        press("A")
        wait_for("2 marked")
        press("c")
        wait_for("config differences")
        press("d")
        wait_for("drawn · seed 0")
        both = re.compile(r"1 night · step \d+.*2 day · step \d+", re.DOTALL)
        terminal.wait_until(lambda screen: both.search(screen) is not None, "pictures of both")
        press("w")
        compared = wait_for_file(terminal, tmp_path / "runs", r"comparisons/[\w-]+\.json")
        assert compared.with_suffix(".png").exists()
        press(ESCAPE)

        # Out of the list, and back into it.
        wait_for("2 marked")
        press("A", "g")
        wait_for("2 runs")
        press("a")
        wait_for("1 of 2 runs")
        wait_for("1 archived")
        assert json.loads((tmp_path / "runs" / "night" / "run.json").read_text())["archived"]
        press("u")
        wait_for("night: undone")
        press("a")
        wait_for("1 archived")

        press("q")
        assert terminal.process.wait(60) == 0
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert b"Traceback" not in terminal.received
    assert not mishaps(tmp_path)
