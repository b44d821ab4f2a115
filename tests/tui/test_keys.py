"""The table of keys: complete, without clashes, each action there, vi letters beside arrows."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.keys import _character_to_key
from textual.widgets import Input

from ddpm_tui.app import Workbench
from ddpm_tui.keys import KEYS, VIEW_TITLES, Key, KeyTable, names
from ddpm_tui.terminal.kitty import GraphicsAnswered
from ddpm_tui.views.base import View
from ddpm_tui.views.compare import CompareView
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.views.sample.painter import MaskPainter
from ddpm_tui.widgets.key_bar import KeyBar

VI = {"left": "h", "right": "l", "up": "k", "down": "j"}


def test_the_table_of_the_program_has_no_clash() -> None:
    assert {key.view for key in KEYS} == set(VIEW_TITLES)
    KeyTable(KEYS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.id)
def test_every_action_can_be_called_and_says_what_it_does(key: Key) -> None:
    app = Workbench(Path("nowhere"))
    others = {
        "app": Workbench,
        "paint": MaskPainter,
        "pictures": PictureView,
        "compare": CompareView,
    }
    owner = others.get(key.view) or type(app.MODES[key.view]())  # type: ignore[operator]
    assert hasattr(owner, f"action_{key.action.partition('(')[0]}")
    assert key.help


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.id)
def test_only_keys_that_a_terminal_multiplexer_leaves_alone(key: Key) -> None:
    for name in key.names:
        assert not name.startswith(("ctrl+", "alt+"))
        assert names.normal(name) == name


def test_an_arrow_key_has_its_vi_letter_beside_it() -> None:
    for key in KEYS:
        for arrow in set(key.names) & set(VI):
            assert VI[arrow] in key.names, key.id


@pytest.mark.parametrize("character", "aZ09?!;:$^_-+=/\\@#[]{}|~`'\"<>.()&%*")
def test_a_character_is_called_as_textual_calls_it(character: str) -> None:
    assert names.normal(character) == _character_to_key(character)
    assert names.shown(names.normal(character)) == character


@pytest.mark.parametrize("wrong", ["", "ab", "ctrl+1", "tab", "ctrl+q", "f99", "é", "alt+x"])
def test_what_is_no_key_or_is_kept_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="key"):
        names.normal(wrong)


async def test_a_click_on_the_bar_below_is_the_key(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        bar = app.screen.query_one(KeyBar)
        x = next(x for x, key, _, _ in bar._parts() if key == "n")
        await pilot.click(bar, offset=(x + 1, 0))
        await pilot.pause()
        assert not isinstance(app.screen, View)
        assert app.screen.query(Input)


async def test_a_click_on_a_view_above_opens_it(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        bar = app.screen.query_one("TopBar")
        x = next(x for x, view, _ in bar._tabs() if view == "forward")  # type: ignore[attr-defined]
        await pilot.click(bar, offset=(x + 2, 0))
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "forward"


async def test_the_bar_below_is_drawn_again_only_when_it_reads_differently(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        bar = app.screen.query_one(KeyBar)
        drawn = []
        render = bar.render
        bar.render = lambda: drawn.append(1) or render()  # type: ignore[method-assign, func-returns-value]
        for _ in range(5):
            app.screen.refresh_bindings()
            await pilot.pause(0.05)
        assert not drawn
        await pilot.press("2")
        assert isinstance(app.screen, View)
        assert app.screen.query_one(KeyBar).shown != bar.shown


async def test_jump_mode_puts_a_letter_on_every_pane_and_enlarges_one(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.5)
        view = app.screen
        panes = list(view.query(".pane"))
        assert len(panes) >= 3
        await pilot.press("semicolon")
        await pilot.pause()
        labels = view.query("JumpLabel")
        assert len(labels) >= len(panes)
        at = {(label.region.x, label.region.y): str(label.render()).strip() for label in labels}
        grid = view.query_one("GridHistory")
        small = grid.size
        await pilot.press(at[grid.region.x, grid.region.y])
        await pilot.pause()
        assert not view.query("JumpLabel")
        if not grid.can_focus:
            assert view.maximized is grid
            assert grid.size.width > 1.5 * small.width
            await pilot.press("semicolon")
            await pilot.pause()
            assert grid.size == small
        else:
            assert grid.has_focus


async def test_any_other_key_ends_jump_mode_and_does_nothing(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("semicolon", "escape")
        assert not app.screen.query("JumpLabel")
        await pilot.press("semicolon", "3")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "runs", "the key was for the jump"
        await pilot.press("3")
        assert app.screen.VIEW == "sample"


async def test_kitty_graphics_need_a_terminal_that_offers_them(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(notifications=True) as pilot:
        app.post_message(GraphicsAnswered(True))
        await pilot.pause()
        assert not app.graphics_on, "nobody has asked for them"
        await pilot.press("K")
        assert app.graphics_on
        await pilot.press("K")
        assert not app.graphics_on


async def test_kitty_graphics_are_asked_for_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    app = Workbench(tmp_path / "runs")
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("K", "K")
        assert not app._notifications, "the terminal has not answered yet"
        app.post_message(GraphicsAnswered(False))
        await pilot.pause()
        assert not app.graphics_on
        (told,) = app._notifications
        assert "does not offer" in told.message
