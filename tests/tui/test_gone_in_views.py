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
from textual.widgets import OptionList, Static

from ddpm_tui.app import Workbench
from ddpm_tui.keys import KEYS
from ddpm_tui.views.base import View
from ddpm_tui.views.sample.favourites import Favourites
from ddpm_tui.widgets.pixels import PixelGrid
from engine.runs import keeping
from engine.runs.folder import Run, open_run
from engine.takes.favourites import add_favourite
from engine.takes.recipe import Recipe
from tests.one_quick import one_quick
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


async def test_who_only_watches_is_offered_no_key_that_does_nothing(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs, watch="tiny", reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        run = Run(tiny_runs / "tiny")
        await until(lambda: is_shown(app, run), pilot)
        keeping.rename(run, "other")
        await until(lambda: "tiny was renamed to other" in notice(app), pilot)
        assert "q quits" in notice(app)
        assert "lists the runs" not in notice(app)


@pytest.mark.parametrize("way", one_quick(WAYS))
async def test_favourites_of_a_run_that_is_gone_say_so(
    way: str, tiny_runs: Path, said: list[str]
) -> None:
    run = open_run(tiny_runs, "tiny")
    leave, sentence = WAYS[way]
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = run
        await pilot.press("3", "d")
        screen: Any = app.screen
        await until(lambda: screen._recording is not None, pilot)
        await until(lambda: screen._recording.complete, pilot)
        await pilot.press("s", "S")
        await until(lambda: isinstance(app.screen, Favourites), pilot)
        assert app.screen.query_one(OptionList).option_count == 1
        leave(run)
        await pilot.press("x")
        assert sentence in str(app.screen.query_one("#none", Static).render())
        said.clear()
        await pilot.press("enter")
        await until(lambda: app.screen is screen, pilot)
        assert [sentence in text for text in said] == [True]
        await pilot.press("S")
        await until(lambda: isinstance(app.screen, Favourites), pilot)
        assert sentence in str(app.screen.query_one("#none", Static).render())
        await pilot.press("escape")
        said.clear()
        await pilot.press("s")
        assert [sentence in text for text in said] == [True]
        assert not run.path.exists()


async def test_a_favourite_is_drawn_from_its_run_under_the_name_that_this_has_now(
    tiny_runs: Path,
) -> None:
    run = open_run(tiny_runs, "tiny")
    config = run.config()
    add_favourite(run, Recipe("tiny", 3, config.sampling, 5), 1)
    run = keeping.rename(run, "other")
    shutil.copytree(run.path, tiny_runs / "tiny")  # another run of that name
    app = Workbench(tiny_runs, reads_devices=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = run
        await pilot.press("3")
        await until(lambda: is_shown(app, run), pilot)
        await pilot.press("S")
        await until(lambda: isinstance(app.screen, Favourites), pilot)
        await pilot.press("enter")
        screen: Any = app.screen
        await until(lambda: getattr(app.screen, "_recording", None) is not None, pilot)
        screen = app.screen
        assert screen._recording.recipe.run == "other"
        assert screen.runs_shown == (run,)


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
                # Waits until the app is idle. On a busy machine that may be a second each time, so
                # a second look is only for what did not show at once.
                await pilot.press(key.names[0])
                if not said and looks(app) == before:
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
