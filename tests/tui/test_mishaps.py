"""What nobody foresaw is told and survived: a training may depend on this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpm_tui.app import Workbench
from ddpm_tui.mishaps import Mishaps
from ddpm_tui.views.base import View
from ddpm_tui.views.forward import ForwardView
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.views.runs import RunsView


def breaking(app: Workbench, tmp_path: Path) -> Workbench:
    app.survives_errors = True
    app.mishaps = Mishaps(tmp_path / "log" / "errors.log")
    return app


async def test_an_exception_in_an_action_is_told_and_the_view_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_view: RunsView) -> None:
        raise ZeroDivisionError("seven by nothing")

    monkeypatch.setattr(RunsView, "action_resume", explode)
    app = breaking(Workbench(tmp_path / "runs"), tmp_path)
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("r")
        await pilot.pause(0.2)
        told = [note.message for note in app._notifications]
        assert len(told) == 1
        assert "seven by nothing" in told[0]
        assert "This is a bug; the traceback is in" in told[0]
        assert str(tmp_path / "log" / "errors.log") in told[0]
        await pilot.press("r")
        await pilot.pause(0.2)
        assert len(app._notifications) == 1, "the same is told once"
        await pilot.press("4")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "forward", "keys are still answered"
    log = (tmp_path / "log" / "errors.log").read_text()
    assert "explode" in log
    assert "ZeroDivisionError: seven by nothing" in log


async def test_a_screen_whose_handler_raised_gets_its_next_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def on_resize(_view: RunsView, _event: object) -> None:
        seen.append(1)
        raise RuntimeError("wrong size")

    monkeypatch.setattr(RunsView, "on_resize", on_resize, raising=False)
    app = breaking(Workbench(tmp_path / "runs"), tmp_path)
    async with app.run_test(notifications=True) as pilot:
        for width in (90, 100, 110):
            await pilot.resize_terminal(width, 30)
            await pilot.pause(0.1)
        assert len(seen) >= 3
        assert app.screen.size.width == 110
        await pilot.press("2")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "train"


async def test_a_dialog_that_cannot_be_opened_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_form: NewRun) -> None:
        raise KeyError("run1")

    monkeypatch.setattr(NewRun, "on_mount", explode)
    app = breaking(Workbench(tmp_path / "runs"), tmp_path)
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("n")
        await pilot.pause(0.2)
        assert isinstance(app.screen, RunsView)
        assert ["run1" in note.message for note in app._notifications] == [True]
        await pilot.press("2")
        assert isinstance(app.screen, View)
        assert app.screen.VIEW == "train", "keys are still answered"


async def test_a_view_that_cannot_be_opened_is_left_by_the_keys_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_view: ForwardView) -> None:
        raise KeyError("run1")

    monkeypatch.setattr(ForwardView, "on_mount", explode)
    app = breaking(Workbench(tmp_path / "runs"), tmp_path)
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("4")
        await pilot.pause(0.2)
        await pilot.press("1")
        assert isinstance(app.screen, RunsView)


async def test_in_a_test_an_exception_fails_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_view: RunsView) -> None:
        raise ZeroDivisionError("seven by nothing")

    monkeypatch.setattr(RunsView, "action_resume", explode)
    with pytest.raises(ZeroDivisionError):
        async with Workbench(tmp_path / "runs").run_test() as pilot:
            await pilot.press("r")


async def test_an_app_that_does_nothing_but_break_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_view: RunsView) -> None:
        raise ZeroDivisionError("seven by nothing")

    monkeypatch.setattr(RunsView, "action_resume", explode)
    app = breaking(Workbench(tmp_path / "runs"), tmp_path)
    with pytest.raises(ZeroDivisionError):
        async with app.run_test() as pilot:
            for _ in range(25):
                await pilot.press("r")


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = Mishaps(tmp_path / "file" / "errors.log").record(ValueError("x"))
    assert "could not be kept" in told
