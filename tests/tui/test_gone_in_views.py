"""A run that somebody else deletes, renames or removes while a view is about it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from ddpm_tui.app import Workbench
from ddpm_tui.keys import KEYS
from ddpm_tui.views.base import View
from ddpm_tui.widgets.pixels import PixelGrid
from engine.runs import keeping
from engine.runs.folder import Run, open_run
from tests.tui.test_workbench import until

WAYS: dict[str, tuple[Callable[[Run], object], str]] = {
    "deleted": (keeping.delete, "Bring it back: ddpm-tui restore tiny"),
    "renamed": (lambda run: keeping.rename(run, "other"), "tiny was renamed to other"),
    "moved by hand": (lambda run: run.path.rename(run.path.with_name("moved")), "renamed to moved"),
    "removed": (lambda run: shutil.rmtree(run.path), "tiny is no longer in"),
}
VIEWS = {"train": "2", "sample": "3", "forward": "4", "inspect": "5"}


def notice(app: Workbench) -> str:
    assert isinstance(app.screen, View)
    shown = app.screen.query_one("#gone", Static)
    return str(shown.render()) if shown.display else ""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the workbench said in passing."""
    heard: list[str] = []
    monkeypatch.setattr(Workbench, "notify", lambda _self, text, **_more: heard.append(text))
    return heard


def is_shown(app: Workbench, run: Run) -> bool:
    screen = app.screen
    return isinstance(screen, View) and run in screen.runs_shown


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_says_where_the_run_is_now(
    view: str, way: str, tiny_runs: Path, said: list[str]
) -> None:
    run = open_run(tiny_runs, "tiny")
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        app.current_run = run
        await pilot.press(VIEWS[view])
        await until(lambda: is_shown(app, run), pilot)
        assert not notice(app)
        leave, sentence = WAYS[way]
        leave(run)
        await until(lambda: sentence in notice(app), pilot)
        happened, helps = notice(app).split("\n")
        assert happened.startswith("tiny ") and "ddpm-tui" not in happened
        assert helps.endswith("1 lists the runs")
        said.clear()
        app.screen._look_for_runs()
        await pilot.pause(0.05)
        assert not said, "it is said once"
        await pilot.press("1")
        await until(lambda: app.screen.VIEW == "runs", pilot)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_run_that_comes_back_is_shown_as_before(view: str, tiny_runs: Path) -> None:
    run = open_run(tiny_runs, "tiny")
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = run
        await pilot.press(VIEWS[view])
        await until(lambda: is_shown(app, run), pilot)
        trashed = keeping.delete(run)
        await until(lambda: "was deleted" in notice(app), pilot)
        keeping.restore(trashed)
        await until(lambda: not notice(app), pilot)


async def test_sample_offers_another_run_in_the_place_of_one_that_is_gone(
    tiny_runs: Path, said: list[str]
) -> None:
    run = open_run(tiny_runs, "tiny")
    shutil.copytree(run.path, run.path.with_name("second"))
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = run
        keeping.delete(run)
        await pilot.press("3")
        await until(lambda: "from second" in pane(pilot), pilot)
        assert any("ddpm-tui restore tiny" in text for text in said)


@pytest.mark.parametrize("way", WAYS)
async def test_pictures_of_a_run_that_is_gone_are_saved_elsewhere(
    way: str,
    tiny_runs: Path,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run(tiny_runs, "tiny")
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = run
        await pilot.press("3")
        await until(lambda: is_shown(app, run), pilot)
        await pilot.press("d")
        screen: Any = app.screen
        await until(lambda: screen._recording is not None, pilot)
        WAYS[way][0](run)
        await pilot.press("end")
        await until(lambda: screen._recording.complete, pilot)
        await pilot.press("w")
        await until(lambda: any("samples/" in text for text in said), pilot)
        assert list((tmp_path / "samples").glob("*.png"))
        recording = screen._recording
        said.clear()
        await pilot.press("d")
        assert WAYS[way][1] in " ".join(said)
        assert screen._recording is recording, "the pictures stay"


# --- Keys while something still loads ----------------------------------------------------------


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """Inside, whoever calls a function waits."""
    module, _, function = name.rpartition(".")
    goes_on = threading.Event()
    whole = getattr(__import__(module, fromlist=[function]), function)

    def waits(*args: Any, **more: Any) -> Any:
        goes_on.wait(60)
        return whole(*args, **more)

    monkeypatch.setattr(name, waits)
    try:
        yield
    finally:
        goes_on.set()
        monkeypatch.undo()


LOADING = {
    "sample": ("3", "engine.device.resolve_device"),
    "forward": ("4", "ddpm_tui.views.forward.stage.load_images"),
    "inspect": ("5", "ddpm_tui.inspection.study.work_out"),
}


def looks(app: Workbench) -> tuple[object, ...]:
    """All by which a person can see that a key did something."""
    screen = app.screen
    widgets = [(str(each.classes), each.has_focus) for each in screen.walk_children()]
    texts = [str(each.render()) for each in screen.query(Static)]
    texts += [each._message for each in screen.query(PixelGrid)]
    page = getattr(screen, "_page", None)
    return type(screen), str(screen.classes), widgets, texts, page, getattr(screen, "_look", None)


@pytest.mark.parametrize("view", LOADING)
async def test_no_key_is_dropped_without_a_word_while_something_loads(
    view: str, tiny_runs: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, function = LOADING[view]
    with monkeypatch.context() as patch, held(patch, function):
        app = Workbench(tiny_runs, reads_devices=False)
        async with app.run_test(size=(120, 40)) as pilot:
            app.current_run = open_run(tiny_runs, "tiny")
            await pilot.press(tab)
            await until(lambda: getattr(app.screen, "VIEW", "") == view, pilot)
            silent = []
            # Escape leaves what is open, here nothing.
            for key in (key for key in KEYS if key.view == view and "escape" not in key.names):
                if not app.screen.check_action(key.action.partition("(")[0], ()):
                    continue  # not in the footer either
                said.clear()
                before = looks(app)
                await pilot.press(key.names[0])
                await pilot.pause()
                if not said and looks(app) == before:
                    silent.append(key.id)
                if not isinstance(app.screen, View):
                    await pilot.press("escape")
            assert not silent


async def test_pictures_that_are_wanted_while_torch_loads_are_drawn_then(
    tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        with monkeypatch.context() as patch, held(patch, LOADING["sample"][1]):
            await pilot.press("3", "d")
            await pilot.pause()
            assert "then it draws" in pane(pilot)
        screen: Any = app.screen
        await until(lambda: screen._recording is not None, pilot)


def pane(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#x_t")._message)
