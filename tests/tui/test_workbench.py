"""The workbench by keyboard alone, with a real training in its worker thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.headless.outliving import outlive
from ddpm_tui.keys import KEYS, bindings
from ddpm_tui.screenshot.files import rows_of
from ddpm_tui.terminal.leaving import Leaving
from ddpm_tui.views.help import HelpScreen
from ddpm_tui.views.leave import Leave
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.views.runs import RunsView
from ddpm_tui.views.train import Facts, TrainView
from ddpm_tui.widgets.chart import LineChart
from ddpm_tui.widgets.choice import Choice
from ddpm_tui.widgets.pixels import PixelGrid
from ddpm_tui.widgets.sheet import Sheet
from ddpm_tui.worker import TrainingFrame, TrainingNews
from engine.events import Stepped
from engine.runs.folder import Run
from tests.one_quick import one_quick

SIZES = [(80, 24), (120, 40), (200, 60)]


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    """Wait for the worker threads, as a person would, but not for ever."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("it did not happen in time")


async def fill_small_run(pilot: Pilot[None], steps: str) -> None:
    """Open the form and ask for a run of seconds: built-in data, article's network, T = 20."""
    await pilot.press("n")
    form = pilot.app.screen
    assert isinstance(form, NewRun)
    form.query_one("#data", Choice).value = "fashion-mnist-10k"
    form.query_one("#model", Choice).value = "article"
    for field, text in (("steps", steps), ("batch", "4"), ("timesteps", "20")):
        form.query_one(f"#{field}", Input).focus()
        await pilot.press(*text)


def loss_rows(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


async def test_the_first_screen_says_what_to_press(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        empty = app.screen.query_one("#empty", Static)
        await until(lambda: "No runs yet" in str(empty.render()), pilot)
    assert not (tmp_path / "runs").exists(), "looking does not create anything"


async def test_a_run_is_made_watched_paused_saved_and_stopped_by_keys(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await fill_small_run(pilot, "4000")
        await pilot.press("enter")
        assert isinstance(app.screen, TrainView)
        run = tmp_path / "runs" / "run1"
        facts = app.screen.query_one(Facts)
        await until(lambda: loss_rows(run) > 2, pilot)
        await until(lambda: facts.snapshot is not None and facts.snapshot.curves.rows > 0, pilot)
        assert len(app.screen.query_one(LineChart).series) >= 2
        await until(lambda: app.screen.query_one(PixelGrid).total == 16, pilot)

        await pilot.press("space")
        await until(
            lambda: json.loads((run / "status.json").read_text())["state"] == "paused", pilot
        )
        rows = loss_rows(run)
        await pilot.pause(0.6)
        assert loss_rows(run) == rows, "a paused training does not go on"
        await pilot.press("space")
        await until(lambda: loss_rows(run) > rows, pilot)

        await pilot.press("c")
        await until(lambda: len(list((run / "checkpoints").glob("step-*"))) == 1, pilot)
        await pilot.press("x")
        training = app.training
        assert training is not None
        await until(lambda: not training.alive, pilot)
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    newest = max((run / "checkpoints").glob("step-*")).name
    assert newest == f"step-{status['step']:08d}", "stopping saves first"


async def test_a_stopped_run_is_resumed_from_the_list(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await fill_small_run(pilot, "60")
        await pilot.press("enter")
        run = tmp_path / "runs" / "run1"
        await until(lambda: loss_rows(run) > 1, pilot)
        await pilot.press("x")
        await until(lambda: not app.training.alive, pilot)  # type: ignore[union-attr]
        await pilot.press("1")
        assert isinstance(app.screen, RunsView)
        listing = app.screen.listing
        await until(lambda: len(listing.shown) == 1, pilot)
        await pilot.press("r")
        assert isinstance(app.screen, TrainView)
        await until(lambda: not app.training.alive, pilot)  # type: ignore[union-attr]
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


async def test_the_form_says_what_is_wrong_while_one_types(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        form = app.screen
        form.query_one("#lr", Input).focus()
        await pilot.press(*"99")
        problem = form.query_one("#problem", Static)
        assert "training.lr" in str(problem.render())
        await pilot.press("enter")
        assert isinstance(app.screen, NewRun), "a wrong form does not start anything"
        await pilot.press("backspace", "backspace")
        assert str(problem.render()) == ""
        form.query_one("#name", Input).focus()
        await pilot.press(*"../x")
        assert "not a run name" in str(problem.render())
        await pilot.press("escape")
        assert isinstance(app.screen, RunsView)
    assert not (tmp_path / "runs").exists()


async def test_the_form_chooses_network_prediction_and_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Workbench(tmp_path / "runs")
    monkeypatch.setattr(app, "start_training", lambda _: None)
    async with app.run_test(size=(80, 24)) as pilot:
        await fill_small_run(pilot, "5")
        form = app.screen
        problem = form.query_one("#problem", Static)
        form.query_one("#classes", Choice).value = "yes"
        await until(lambda: "neither classes nor patches" in str(problem.render()), pilot)
        form.query_one("#model", Choice).value = "dit"
        form.query_one("#prediction", Choice).value = "v_prediction"
        await until(lambda: str(problem.render()) == "", pilot)
        summary = str(form.query_one("#summary", Static).render())
        assert "dit, told the class, on fashion-mnist-10k" in summary
        assert "predicts v_prediction" in summary
        await pilot.press("enter")
    run = Run(tmp_path / "runs" / "run1")
    config = run.config()
    assert (config.model.name, config.model.class_conditional) == ("dit", True)
    assert config.model.patch_size == 2
    assert config.diffusion.prediction_type == "v_prediction"
    command = json.loads((run.path / "env.json").read_text())["command"]
    assert command[command.index("--prediction-type") + 1] == "v_prediction"
    assert "--class-conditional" in command


async def test_quitting_with_a_training_asks_first_and_saves(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await fill_small_run(pilot, "4000")
        await pilot.press("enter")
        run = tmp_path / "runs" / "run1"
        await until(lambda: loss_rows(run) > 0, pilot)
        await pilot.press("q")
        assert isinstance(app.screen, Leave)
        await pilot.press("escape")
        assert isinstance(app.screen, TrainView), "escape stays"
        await pilot.press("q", "y")
        await until(lambda: not app.is_running or app._exit, pilot)
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    assert (run / "checkpoints" / f"step-{status['step']:08d}").is_dir()


async def test_the_quit_key_of_textual_asks_as_well(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await fill_small_run(pilot, "4000")
        await pilot.press("enter")
        await until(lambda: loss_rows(tmp_path / "runs" / "run1") > 0, pilot)
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, Leave)
        await pilot.press("ctrl+q")
        assert app.is_running
        assert len(app.screen_stack) == 2, "one question is enough"
        await pilot.press("escape", "n")
        assert isinstance(app.screen, TrainView), "n is the key of a new run only at rest"
        await pilot.press("x")
        await until(lambda: app.training is None or not app.training.alive, pilot)


async def test_a_training_is_saved_however_the_workbench_ends(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await fill_small_run(pilot, "4000")
        await pilot.press("enter")
        run = tmp_path / "runs" / "run1"
        await until(lambda: loss_rows(run) > 0, pilot)
    assert app.training is not None
    assert outlive(app.training, Leaving()) == 130
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    assert (run / "checkpoints" / f"step-{status['step']:08d}").is_dir()


async def test_a_training_may_have_news_for_a_workbench_that_has_ended(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test():
        pass
    assert not app.screen_stack
    app.on_training_news(TrainingNews(Run(tmp_path / "runs" / "run1"), Stepped(1)))
    app.on_training_frame(TrainingFrame())


async def test_quitting_with_nothing_going_on_does_not_ask(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
        await until(lambda: app._exit, pilot)


@pytest.mark.parametrize("view", ["runs", "train", "sample", "forward"])
async def test_help_lists_every_key_of_the_view(tmp_path: Path, view: str) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 200)) as pilot:  # high enough for all of it
        await pilot.press({"runs": "1", "train": "2", "sample": "3", "forward": "4"}[view])
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = app.screen.query_one(Sheet).text()
        for key in KEYS:
            if key.view in (view, "app"):
                assert key.help in text
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize("view", ["app", "runs", "train", "sample", "forward"])
def test_no_key_means_two_things_in_one_view(view: str) -> None:
    pressed: list[str] = []
    for scope in {"app", view}:
        for binding in bindings(scope):
            pressed += binding.key.split(",")
    assert len(pressed) == len(set(pressed))


@pytest.mark.parametrize("size", one_quick(SIZES))
async def test_every_view_opens_at_every_size_and_survives_a_resize(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=size) as pilot:
        for key in "12341":
            await pilot.press(key)
            await pilot.pause(0.1)
        await pilot.resize_terminal(60, 18)
        for key in "1234":
            await pilot.press(key)
            await pilot.pause(0.1)


async def test_an_unreadable_run_is_a_row_and_not_a_crash(tmp_path: Path) -> None:
    broken = tmp_path / "runs" / "run1"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text('{"schema_version": 1}')
    (broken / "status.json").write_text("\x1b[2J not json")
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        assert isinstance(app.screen, RunsView)
        listing = app.screen.listing
        await until(lambda: len(listing.shown) == 1, pilot)
        await pilot.pause()
        text = [strip.text for strip in rows_of(app)]
    assert any("run1" in line and "unreadable" in line for line in text)
    assert "\x1b" not in "".join(text)


async def test_telemetry_reaches_the_panel(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.telemetry is not None, pilot)
        await asyncio.sleep(0)
        assert app.telemetry is not None
        assert app.telemetry.host.cores >= 1
