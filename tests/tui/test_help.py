"""Help and palette: all keys as they are, searched, scrolled, of the widget that has the focus."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpm_tui.app import Workbench
from ddpm_tui.keys import KEYS, in_force
from ddpm_tui.views.help import HelpScreen, sections
from ddpm_tui.views.help_texts import ABOUT, WIDGETS
from ddpm_tui.widgets.sheet import Sheet

VIEWS = {"runs": "1", "train": "2", "sample": "3", "forward": "4"}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_explained_with_its_terms(view: str) -> None:
    app = Workbench(Path("nowhere"))
    found = dict(sections(view, app.key_table))
    assert ABOUT[view]
    assert found["What you see"][0][1] == ABOUT[view][0]
    assert len(found["Terms"]) >= 3
    assert "Where you are" not in found
    told = dict(sections(view, app.key_table, "RunList"))
    assert told["Where you are"] == [("", WIDGETS["RunList"])]


async def test_typing_searches_and_escape_closes(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 200)) as pilot:  # high enough for all of it
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = app.screen.query_one(Sheet)
        assert "Go on with the run" in text.text()
        await pilot.press(*"forward process")
        assert "Go on with the run" not in text.text()
        assert "how far the forward process has" in text.text()
        await pilot.press(*"qqq")
        assert "Nothing here" in text.text()
        assert isinstance(app.screen, HelpScreen), "letters search, they close nothing"
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_the_arrows_scroll(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(60, 18)) as pilot:
        await pilot.press("question_mark")
        sheet = app.screen.query_one(Sheet)
        await pilot.press("down", "down")
        assert sheet.top == 2
        await pilot.press("pagedown")
        await pilot.press("up")
        assert sheet.top == 11
        await pilot.press("e")
        assert sheet.top == 0, "what is found begins at the top"


@pytest.mark.parametrize("view", VIEWS)
async def test_the_palette_has_what_can_be_done_here_and_every_theme(
    tmp_path: Path, view: str
) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test() as pilot:
        await pilot.press(VIEWS[view])
        titles = {command.title for command in app.get_system_commands(app.screen)}
        for key in KEYS:
            if key.view == "app":
                assert key.help in titles
            elif key.view in in_force(view):
                name = key.action.partition("(")[0]
                assert (key.help in titles) == bool(app.screen.check_action(name, ())), key.id
            else:
                assert key.help not in titles or key.help in {
                    other.help for other in KEYS if other.view == view
                }
        assert {f"Theme: {theme}" for theme in app.available_themes} <= titles


async def test_the_palette_does_what_it_says(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test() as pilot:
        await pilot.press("ctrl+p")
        await pilot.pause(0.3)
        await pilot.press(*"the forward view")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert getattr(app.screen, "VIEW", "") == "forward"
