"""Keys that come in one burst, as over a slow link, do what they do one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.terminal import in_turn
from ddpm_tui.views.base import View
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.views.runs import RunsView
from tests.tui.test_workbench import until


def burst(app: Workbench, *pressed: str) -> None:
    """All of these keys before the app looks at the first."""
    for key in pressed:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_a_tab_and_what_is_typed_after_it_reach_the_next_field(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs", reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        app.screen.query_one("#steps", Input).focus()
        burst(app, "1", "2", "tab", "8", "tab", "tab", "2", "0")

        def values() -> list[str]:
            return [app.screen.query_one(f"#{id}", Input).value for id in ("steps", "batch")]

        await until(lambda: values() == ["12", "8"], pilot, 10)
        await until(lambda: app.screen.query_one("#timesteps", Input).value == "20", pilot, 10)


async def test_keys_typed_ahead_of_a_dialog_are_for_the_dialog(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs", reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsView), pilot, 10)
        burst(app, "n", "tab", "tab", "right")
        await until(lambda: isinstance(app.screen, NewRun), pilot, 10)
        await until(lambda: app.focused is not None and app.focused.id == "model", pilot, 10)
        burst(app, "escape", "2")
        await until(lambda: app.current_mode == "train", pilot, 10)


async def test_a_jump_takes_the_key_after_it_also_out_of_a_burst(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsView), pilot, 10)
        burst(app, "2", "semicolon", "2")
        await until(lambda: app.current_mode == "train", pilot, 10)
        await pilot.pause(0.2)
        assert isinstance(app.screen, View)
        await until(lambda: not app.screen.jumping, pilot, 10)


async def test_a_key_that_closes_a_dialog_does_not_keep_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_turn, "_PATIENCE", 60.0)
    app = Workbench(tmp_path / "runs", reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        for opens in ("question_mark", "n"):
            await pilot.press("1", opens)
            assert app.current_mode == "runs"
            burst(app, "escape", "2")
            await until(lambda: app.current_mode == "train", pilot, 10)


class Slow(Static, can_focus=True):
    """Hands the focus on at the first key, and has not done with it for a long time."""

    async def on_key(self) -> None:
        self.screen.query_one("#steps", Input).focus()
        await asyncio.sleep(8)


async def test_a_widget_that_takes_long_over_a_key_does_not_keep_the_others(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs", reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        slow = Slow()
        await app.screen.mount(slow)
        slow.focus()
        await pilot.pause()
        burst(app, "a", "1", "2")
        await until(lambda: app.screen.query_one("#steps", Input).value == "12", pilot, 6)
