"""The dialog with a command that was sent to the terminal's clipboard."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.containers import VerticalScroll
from textual.widgets import Static

from ddpm_tui.app import Workbench
from ddpm_tui.views.copied import SentToClipboard, folded

SHORT = "ddpm-tui take flowers --steps 20 --seed 7"
TURNS = " ".join(f"--turn '{i}: branch 0.5 of a picture'" for i in range(99))
LONG = f"ddpm-tui take flowers {TURNS}"
ONE_WORD = "ddpm-tui take " + "x" * 3000


def whole(rows: list[str]) -> list[str]:
    return shlex.split("\n".join(rows).replace("\\\n", ""))


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
@pytest.mark.parametrize("command", [SHORT, LONG, ONE_WORD], ids=["short", "long", "one word"])
async def test_all_of_a_command_can_be_read(
    tmp_path: Path, command: str, size: tuple[int, int]
) -> None:
    app = Workbench(tmp_path, reads_devices=False)
    async with app.run_test(size=size) as pilot:
        app.copy_command(command)
        await pilot.pause()
        assert isinstance(app.screen, SentToClipboard)
        assert app._clipboard == command
        text = app.screen.query_one("#sent-command", Static)
        window = app.screen.query_one(VerticalScroll)
        seen: dict[int, str] = {}
        for y in range(0, window.max_scroll_y + 10, 5):
            window.scroll_to(y=y, animate=False)
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            inside = window.content_region
            for row in range(max(inside.y, text.region.y), min(inside.bottom, text.region.bottom)):
                seen[row - text.region.y] = strips[row].text[: text.region.width].rstrip()
        assert whole([seen[y] for y in range(text.region.height)]) == shlex.split(command)
        window.scroll_home(animate=False)
        await pilot.press("pagedown")
        assert bool(window.scroll_offset.y) == bool(window.max_scroll_y), "with keys, too"
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, SentToClipboard)


words = st.lists(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1), min_size=1)


@given(words, st.integers(16, 90))
def test_rows_fit_and_are_the_command(given_words: list[str], width: int) -> None:
    rows = folded(shlex.join(given_words), width)
    assert all(cell_len(row) <= width for row in rows)
    assert whole(rows) == given_words


def test_an_option_stands_in_the_row_of_its_value() -> None:
    for width in range(40, 90):
        rows = [row.removesuffix(" \\") for row in folded(LONG, width)]
        assert not [row for row in rows if row.endswith("--turn")], width


def test_a_shell_takes_the_rows_as_one_command() -> None:
    command = shlex.join(["printf", "%s|", "a b", "c" * 60, "it's " * 30, "d"])
    for width in (20, 30, 80):
        said = subprocess.run(
            ["sh", "-c", "\n".join(folded(command, width))], capture_output=True, text=True
        )
        assert said.stdout == "a b|" + "c" * 60 + "|" + "it's " * 30 + "|d|", said
