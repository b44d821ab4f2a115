"""What a monkey found (tests/terminal/monkey.py), each as small as it could be made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.events import MouseDown, MouseMove, MouseUp, Paste
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.views.going_on import AnswersOnce, Palette
from ddpm_tui.views.leave import Leave, Way
from ddpm_tui.views.runs import RunsView
from tests.tui.test_workbench import until


async def test_the_mouse_on_a_toast_that_just_goes_does_nothing(tmp_path: Path) -> None:
    async with Workbench(tmp_path / "runs").run_test(size=(80, 24)) as pilot:
        going = pilot.app.screen.query_one("#empty", Static)
        await pilot.pause()
        at = going.region.offset + Offset(5, 1)
        parent = going.parent
        going._detach()
        assert pilot.app.screen.get_widget_and_offset_at(*at)[0] is going, "it is still painted"
        for kind in (MouseDown, MouseMove, MouseUp):
            x, y = at
            event = kind(None, x, y, 0, 0, 1, False, False, False, screen_x=x, screen_y=y)
            await pilot.app.on_event(event)
        going._attach(parent)


async def test_a_dialog_answers_once_however_often_enter_is_pressed(tmp_path: Path) -> None:
    answers: list[Way | None] = []
    async with Workbench(tmp_path / "runs").run_test() as pilot:
        below = Leave("below")
        dialog = Leave("on top")
        pilot.app.push_screen(below)
        pilot.app.push_screen(dialog, answers.append)
        await pilot.pause()
        dialog.action_answer("stop")
        dialog.action_answer("stop")
        await pilot.pause()
        assert answers == ["stop"]
        assert pilot.app.screen is below


async def test_a_dialog_does_not_take_the_one_above_for_itself(tmp_path: Path) -> None:
    answers: list[Way | None] = []
    async with Workbench(tmp_path / "runs").run_test() as pilot:
        dialog = Leave("below")
        pilot.app.push_screen(dialog, answers.append)
        await pilot.press("ctrl+p")
        palette = pilot.app.screen
        assert isinstance(palette, Palette)
        dialog.action_answer("stop")
        dialog.action_answer("stop")
        await pilot.pause()
        assert pilot.app.screen is palette
        palette.dismiss()
        dialog.action_answer("stay")
        await pilot.pause()
        assert answers == ["stay"]


async def test_the_palette_runs_a_command_once(tmp_path: Path) -> None:
    async with Workbench(tmp_path / "runs").run_test() as pilot:
        await pilot.press("ctrl+p")
        palette = pilot.app.screen
        assert isinstance(palette, Palette)
        await pilot.press("ctrl+p")
        assert pilot.app.screen is palette, "one is enough"
        palette.dismiss()
        palette.dismiss()
        await pilot.pause()
        assert isinstance(pilot.app.screen, RunsView)


def test_every_dialog_answers_once() -> None:
    def below(kind: type) -> Iterator[type]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    own = {kind for kind in below(ModalScreen) if kind.__module__.startswith("ddpm_tui.")}
    assert Leave in own
    assert not {kind for kind in own if not issubclass(kind, AnswersOnce)}


async def test_a_paste_that_no_field_can_show_is_refused(tmp_path: Path) -> None:
    async with Workbench(tmp_path / "runs").run_test(notifications=True) as pilot:
        await pilot.press("n")
        field = pilot.app.screen.query_one("#name", Input)
        field.focus()
        await pilot.pause()
        pilot.app.post_message(Paste("x" * 1_000_000))
        pilot.app.post_message(Paste("abc"))
        await pilot.pause()
        assert field.value == "abc"
        told = [note.message for note in pilot.app._notifications]
        assert told == [
            "1,000,000 characters were pasted; no field takes more than 4,000. Nothing was changed."
        ]


@pytest.mark.timeout(30)
async def test_a_worker_that_begins_while_the_app_ends_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the first listing comes at that moment: the workers were cancelled before."""
    app = Workbench(tmp_path / "runs")
    async with app.run_test() as pilot:
        await until(lambda: app.telemetry is not None, pilot)
        monkeypatch.setattr(app.workers, "cancel_all", lambda: None)
    await asyncio.get_running_loop().shutdown_default_executor()
