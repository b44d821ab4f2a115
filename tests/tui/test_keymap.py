"""Keys of one's own, from the config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpm_tui.app import Workbench
from ddpm_tui.preferences import config_path, load
from ddpm_tui.views.base import View
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.widgets.key_bar import KeyBar
from ddpm_tui.widgets.sheet import Sheet
from engine.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_is_where_the_environment_says(tmp_path: Path) -> None:
    assert config_path({"DDPM_TUI_CONFIG": str(tmp_path / "x.toml")}) == tmp_path / "x.toml"
    assert config_path({}).name == "config.toml"
    assert not load(tmp_path / "none.toml").key_table.own


async def test_ones_own_keys_work_and_are_shown_and_the_old_ones_do_not(tmp_path: Path) -> None:
    own = load(write(tmp_path, '[keys]\n"runs.new" = "T"\n"app.sample" = "f3, 8"\n'))
    app = Workbench(tmp_path / "runs", preferences=own)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        shown = {display: word for _, display, word in app.screen.query_one(KeyBar).shown}
        assert shown["T"] == "New"
        assert "n" not in shown
        assert " f3 Sample " in str(app.screen.query_one("TopBar").render())
        await pilot.press("n")
        assert isinstance(app.screen, View), "the old key is free"
        await pilot.press("T")
        assert isinstance(app.screen, NewRun)
        await pilot.press("escape", "8")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "sample"
        await pilot.press("1", "question_mark", *"a new run")
        assert "T             Train a new run" in app.screen.query_one(Sheet).text()


async def test_two_keys_can_change_places(tmp_path: Path) -> None:
    own = load(write(tmp_path, '[keys]\n"app.runs" = "4"\n"app.forward" = "1"\n'))
    app = Workbench(tmp_path / "runs", preferences=own)
    async with app.run_test() as pilot:
        await pilot.press("1")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "forward"
        await pilot.press("4")
        assert app.screen.VIEW == "runs"


def test_an_id_may_stand_without_quotes(tmp_path: Path) -> None:
    assert load(write(tmp_path, '[keys]\nruns.new = "T"\n')).key_table.own == {"runs.new": "T"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[keys]\n\n"runs.nwe" = "t"\n', ["line 3", "no action 'runs.nwe'", "runs.new"]),
        ('[keys]\n"runs.new" = "tt"\n', ["line 2", "runs.new", "no key 'tt'"]),
        ('[keys]\n"runs.new" = ""\n', ["line 2", "names no key"]),
        ('[keys]\n"runs.new" = 3\n', ["line 2", "Write a string"]),
        ('[keys]\n"runs.new" = "r"\n', ["line 2", "runs.resume", "runs.new", "another key"]),
        ('[keys]\n"runs.new" = "q"\n', ["line 2", "app.leave", "runs.new"]),
        ('[keys]\n"app.jump" = "n"\n', ["line 2", "app.jump", "runs.new"]),
        ('[keys]\n"app.jump" = "ctrl+p"\n', ["line 2", "ctrl+p", "given away"]),
        ("keys = 3\n", ["line 1", "table"]),
        ("[keys\n", ["not TOML", "line 1"]),
        ('theme = "paper"\ncolour = 1\n', ["line 2", "'colour'", "theme"]),
        ("theme = 3\n", ["line 1", "name of a theme"]),
        ('link_budget = "much"\n', ["line 1", "kB/s"]),
        ("link_budget = 1\n", ["line 1", "kB/s from 5"]),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    for part in [str(path), *said]:
        assert part in str(caught.value)
