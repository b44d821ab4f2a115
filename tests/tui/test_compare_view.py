"""Comparing runs by keys: curves, table, pictures, what is saved, a run that goes away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from ddpm_tui.app import Workbench
from ddpm_tui.keys import compare as compare_keys
from ddpm_tui.views.compare import CompareView
from ddpm_tui.views.compare import feed as feeds
from ddpm_tui.views.compare.colors import MOST, numbered
from ddpm_tui.views.compare.curves import RunCurves
from ddpm_tui.views.compare.feed import grid_steps
from ddpm_tui.views.compare.samples import SideBySide, columns_for
from ddpm_tui.views.compare.table import SideTable
from ddpm_tui.views.help import HelpScreen
from ddpm_tui.views.runs import RunsView
from ddpm_tui.widgets.pixels import PixelGrid
from engine.images import read_png, write_png
from engine.runs.folder import Run
from engine.runs.previews import preview_path
from tests.one_quick import one_quick


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)


def rows(run: Run, losses: dict[int, float], seconds: float = 2.0) -> None:
    lines = (
        json.dumps({"step": step, "loss": loss, "elapsed": seconds * step})
        for step, loss in losses.items()
    )
    with run.metrics_path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


@pytest.fixture
def runs(tiny_runs: Path) -> list[Run]:
    """Two runs that were trained alike, one of them with other settings written down since."""
    shutil.copytree(tiny_runs / "tiny", tiny_runs / "other")
    one, two = Run(tiny_runs / "tiny"), Run(tiny_runs / "other")
    text = two.config_path.read_text()
    assert "batch_size = 8" in text
    two.config_path.write_text(text.replace("batch_size = 8", "batch_size = 16"))
    for run, steps, height in ((one, (0, 100, 200), 1.0), (two, (0, 100), 0.5)):
        run.metrics_path.unlink()
        rows(run, {step: height / step for step in range(1, 201)})
        run.samples_path.mkdir(exist_ok=True)
        for step in steps:
            write_png(preview_path(run, step, "ema"), np.full((4, 1, 8, 8), step, np.uint8))
    return [one, two]


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


async def opened(app: Workbench, runs: list[Run], pilot: Pilot[None]) -> CompareView:
    view = CompareView(runs)
    await app.push_screen(view)
    await until(lambda: len(curves(app).series) == len(runs), pilot)
    return view


def curves(app: Workbench) -> RunCurves:
    return app.screen.query_one(RunCurves)


def text(app: Workbench) -> str:
    """What stands on the screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def line_of(app: Workbench, start: str) -> str:
    """The line of the screen that begins so."""
    return next((line for line in text(app).splitlines() if line.startswith(start)), "")


def toasts(app: Workbench) -> str:
    return "\n".join(toast.message for toast in app._notifications)


def brightness(app: Workbench) -> list[int]:
    panes = app.screen.query(PixelGrid)
    return [-1 if pane._images is None else int(pane._images.max()) for pane in panes]


# --- The parts ---------------------------------------------------------------------------------


def test_the_grids_are_of_one_step_where_all_runs_have_it() -> None:
    assert grid_steps([(0, 100, 200), (0, 100)], None) == [100, 100]
    assert grid_steps([(0, 100), (50,)], None) == [100, 50], "else each run's newest"
    assert grid_steps([(0, 100), ()], None) == [100, None], "a run without grids decides nothing"
    assert grid_steps([(0, 100, 200), (50, 150)], 160) == [100, 150], "up to there"
    assert grid_steps([(0, 100), (50,)], 20) == [0, 50], "or the first"
    assert grid_steps([], None) == []


@pytest.mark.parametrize(
    ("count", "width", "height", "columns"),
    [(1, 80, 20, 1), (2, 80, 20, 2), (2, 40, 30, 1), (4, 60, 30, 2), (8, 200, 20, 8)],
)
def test_pictures_get_the_largest_squares(
    count: int, width: int, height: int, columns: int
) -> None:
    assert columns_for(count, width, height) == columns


def test_the_number_stays_where_there_is_no_room_for_a_name() -> None:
    found = [numbered(1, "wider", room) for room in (20, 7, 6, 5, 4, 1)]
    assert found == ["2 wider", "2 wider", "2 wid…", "2 wi…", "2", "2"]


# --- The view ----------------------------------------------------------------------------------


async def test_curves_differences_scores_and_pictures_are_on_one_screen(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await until(lambda: brightness(app) == [100, 100], pilot)
        for name in ("1 tiny", "2 other"):  # the same number and name in every pane
            await until(lambda name=name: text(app).count(name) >= 4, pilot)
        screen = text(app)
        assert "samples · step 100" in screen
        line = next(row for row in screen.splitlines() if "data.batch_size" in row)
        assert line.split()[-2:] == ["8", "16"]
        assert "tiny is not evaluated: ddpm-tui evaluate tiny" in screen
        assert " 1 Runs " in screen.splitlines()[0]
        first, second = curves(app).series
        assert first.color != second.color
        assert np.all(second.y[10:150] < first.y[10:150])


async def test_the_axis_is_steps_images_or_seconds(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)

        def ends() -> list[float]:
            return [float(series.x[-1]) for series in curves(app).series]

        assert ends() == [200, 200]
        await pilot.press("x")
        assert ends() == [1600, 3200], "by the batch size of each"
        await pilot.press("x")
        assert ends() == [400, 400], "by the clock of each"
        await pilot.press("x")
        assert ends() == [200, 200]


async def test_the_cursor_tells_every_runs_value(runs: list[Run]) -> None:
    rows(runs[0], dict.fromkeys(range(201, 301), 0.125))
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await pilot.press("m")
        assert "each step" in str(curves(app).border_title)
        await until(lambda: curves(app).series[0].x[-1] == 300, pilot)
        await pilot.press("left")
        await pilot.pause()
        assert "step 300" in str(curves(app).border_title)
        told = line_of(app, " at cursor").split()
        assert told[2:4] == ["0.1250", "–"], "the other one was not trained so far"
        assert "1 tiny 0.1250" in [series.name for series in curves(app).series]
        await pilot.press("home")
        await pilot.pause()
        assert "–" not in line_of(app, " at cursor"), "both have a first step"
        await pilot.press("escape")
        await pilot.pause()
        assert curves(app).cursor is None
        assert "at cursor" not in text(app)


async def test_the_held_out_loss_is_that_of_the_checkpoints(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await pilot.press("v")
        state = json.loads(next(runs[0].checkpoints_path.glob("*/state.json")).read_text())
        for series in curves(app).series:
            assert (list(series.x), list(series.y)) == ([3], [state["eval_loss"]])
        await pilot.press("y")
        assert not curves(app).log_y


async def test_a_live_run_goes_on(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        rows(runs[1], {300: 0.1})
        await until(lambda: curves(app).series[1].x[-1] == 300, pilot)
        runs[1].write_status(replace(runs[1].status(), step=300))
        write_png(preview_path(runs[1], 200, "ema"), np.full((4, 1, 8, 8), 222, np.uint8))
        await until(lambda: brightness(app) == [200, 222], pilot)
        assert "step 200" in str(app.screen.query_one(SideBySide).border_title)
        await until(lambda: "300" in line_of(app, " step "), pilot)


async def test_grids_of_earlier_steps_are_walked(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await until(lambda: brightness(app) == [100, 100], pilot)

        def title() -> str:
            return str(app.screen.query_one(SideBySide).border_title)

        await pilot.press("right_square_bracket")
        await until(lambda: brightness(app) == [200, 100], pilot)
        assert "steps differ" in title()
        await pilot.press("left_square_bracket")
        await until(lambda: brightness(app) == [100, 100], pilot)
        await pilot.press(*["left_square_bracket"] * 3)
        await until(lambda: brightness(app) == [0, 0], pilot)
        assert "end follows" in title()
        app.screen.query_one(SideBySide).focus()
        await pilot.press("end")
        await until(lambda: brightness(app) == [100, 100], pilot)
        assert "end follows" not in title()


@pytest.mark.slow
async def test_pictures_are_drawn_from_the_same_seeds_and_saved(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent, device="cpu")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, runs, pilot)
        await pilot.press("d")
        panes = list(app.screen.query(PixelGrid))
        await until(lambda: all("step 3" in str(pane.border_title) for pane in panes), pilot)
        one, two = (pane._images for pane in panes)
        assert one is not None
        assert one.shape == (16, 28, 28)
        assert np.array_equal(one, two), "the same weights and noise"
        await pilot.press("n")
        await until(lambda: all("step 3" in str(pane.border_title) for pane in panes), pilot)
        assert not np.array_equal(one, panes[0]._images), "another seed"
        assert "seed 1" in str(app.screen.query_one(SideBySide).border_title)

        await pilot.press("w")
        await until(lambda: "Saved" in toasts(app), pilot)
        folder = runs[0].path.parent / "comparisons"
        written = json.loads(next(folder.glob("*.json")).read_text())
        assert written["config"] == {"data.batch_size": {"tiny": 8, "other": 16}}
        pixels, about = read_png(folder / written["sheet"])
        assert np.array_equal(pixels[:16, 0], panes[0]._images)
        assert [row["run"] for row in about["rows"]] == ["tiny", "other"]
        assert about["rows"][0]["seed"] == 1

        await pilot.press("p")
        assert brightness(app) == [100, 100], "the grids of the training again"


async def test_a_run_that_cannot_be_drawn_says_why_and_the_others_are_drawn(
    runs: list[Run],
) -> None:
    shutil.rmtree(runs[0].checkpoints_path)
    app = Workbench(runs[0].path.parent, device="cpu")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await pilot.press("d")
        panes = list(app.screen.query(PixelGrid))
        await until(lambda: "step 3" in str(panes[1].border_title), pilot)
        assert "not drawn" in str(panes[0].border_title)
        assert "no checkpoint yet" in panes[0]._message


async def test_all_may_draw_with_the_sampler_of_one(runs: list[Run]) -> None:
    config = runs[1].config_path.read_text()
    runs[1].config_path.write_text(config.replace('sampler = "ddpm"', 'sampler = "ddim"'))
    app = Workbench(runs[0].path.parent, device="cpu")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, runs, pilot)
        await pilot.press("o", "o", "b")
        assert "newest checkpoints · the sampler of other" in toasts(app)
        await pilot.press("d")
        samples = app.screen.query_one(SideBySide)
        await until(lambda: all(row.pixels is not None for row in samples.rows()), pilot)
        assert [row.about["sampler"] for row in samples.rows()] == ["ddim", "ddim"]
        await pilot.press("o")
        await until(lambda: "each run's own sampler" in toasts(app), pilot)


async def test_a_run_that_disappears_is_said_and_the_others_stay(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, runs, pilot)
        shutil.rmtree(runs[1].path)
        await until(lambda: "other is no longer in" in toasts(app), pilot)
        await until(lambda: " gone" in text(app), pilot)
        assert len(curves(app).series[1].x), "what was known of it stays"
        rows(runs[0], {300: 0.1})
        await until(lambda: curves(app).series[0].x[-1] == 300, pilot)
        assert toasts(app).count("no longer in") == 1


async def test_one_run_and_too_many_are_said(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, runs[:1], pilot)
        await until(lambda: "One run is shown" in toasts(app), pilot)
        await until(lambda: "nothing to differ from" in text(app), pilot)  # below the toast
        await pilot.press("escape")
        await app.push_screen(CompareView([*runs, *[runs[0]] * MOST]))
        await until(lambda: f"The first {MOST} are compared; 2 more" in toasts(app), pilot)
        assert len(app.screen.query(PixelGrid)) == MOST


async def test_names_and_reasons_from_outside_are_only_text(runs: list[Run]) -> None:
    nasty = "\x1b[2J[red]boom[/red]"
    for run in runs:
        run.write_status(replace(run.status(), state="failed", reason=nasty))
    text_of = runs[1].config_path.read_text()
    runs[1].config_path.write_text(
        text_of.replace('preset = "default"', 'preset = "[b]x\\u001b[2J"')
    )
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await until(lambda: "tiny: [red]boom[/red]" in text(app), pilot)
        assert "\x1b" not in text(app)
        assert "[b]x" in text(app)


async def test_the_tables_take_what_they_need_and_the_rest_is_curves_and_pictures(
    runs: list[Run],
) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, runs, pilot)
        await until(lambda: "tiny is not evaluated" in text(app), pilot)
        for name, last in (("scores", "other is not evaluated"), ("differences", "batch_size")):
            table = app.screen.query_one(f"#{name}", SideTable)
            await until(lambda table=table: table.region.bottom == 59, pilot)  # above the keys
            last_line = text(app).splitlines()[58]
            assert last in last_line[table.region.x :]
        assert curves(app).outer_size.height > 40
        assert app.screen.query_one("#samples").outer_size.height > 50


async def test_pictures_that_do_not_fit_are_told_and_turned_to(runs: list[Run]) -> None:
    for run in runs:
        shades = np.arange(50, 114, dtype=np.uint8).repeat(28 * 28).reshape(64, 1, 28, 28)
        write_png(preview_path(run, 100, "ema"), shades)
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, runs, pilot)
        await until(lambda: "1 tiny · showing 8 of 64 · } more" in text(app), pilot)
        first = app.screen.query(PixelGrid).first()
        assert "2 other · showing 8 of 64 · } more" in text(app)
        await pilot.press("right_curly_bracket")
        await until(lambda: "1 tiny · showing 8 of 64 · } more · page 2/8" in text(app), pilot)
        await pilot.press("greater_than_sign")
        await until(lambda: first.arrangement.scale == 0, pilot)


async def test_more_columns_and_rows_than_fit_are_scrolled_to(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, [*runs, *runs], pilot)
        table = app.screen.query_one("#scores", SideTable)
        table.focus()
        await pilot.pause()
        await until(lambda: "1 tiny" in text(app).splitlines()[13], pilot)
        await pilot.press(*["right"] * 9)
        await pilot.pause()
        await until(lambda: "4 other" in text(app), pilot)
        assert "4 of 4" in str(table.border_title)
        await pilot.press("end")
        await pilot.pause()
        await until(lambda: "evaluate other" in text(app), pilot)  # the last note
        await pilot.press("home", *["left"] * 9)
        await pilot.pause()
        await until(lambda: "state" in text(app), pilot)


@pytest.mark.parametrize("size", one_quick([(20, 5), (80, 24), (200, 60)]))
async def test_every_size_shows_something_and_every_key_does_no_harm(
    runs: list[Run], size: tuple[int, int]
) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, runs, pilot)
        harmless = [key for key in compare_keys.KEYS if key.action not in ("draw", "seed", "save")]
        for key in harmless:
            if key.action != "back":
                await pilot.press(*key.names)
        assert app.screen is view
        await pilot.resize_terminal(70, 21)
        await pilot.resize_terminal(30, 6)
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert any(pane.region.area for pane in view.query(".pane"))


async def test_a_small_screen_shows_one_pane_after_the_other(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(60, 18)) as pilot:
        await opened(app, runs, pilot)
        seen = []
        for _ in range(4):
            await pilot.pause()
            seen.append([pane.id for pane in app.screen.query(".pane") if pane.region.area])
            await pilot.press("f")
        assert seen == [["curves"], ["scores"], ["samples"], ["curves"]]
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert len([pane for pane in app.screen.query(".pane") if pane.region.area]) == 4


async def test_one_pane_takes_the_whole_view_and_escape_goes_back_step_by_step(
    runs: list[Run],
) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, runs, pilot)
        await pilot.press("left", "f")
        await pilot.pause()
        assert curves(app).size.width > 110
        await pilot.press("escape")
        await pilot.pause()
        assert curves(app).size.width < 70
        await pilot.press("escape")
        assert curves(app).cursor is None
        assert app.screen is view
        await pilot.press("escape")
        assert isinstance(app.screen, RunsView)


async def test_the_keys_of_everywhere_work_from_here(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, runs, pilot)
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "4")
        assert getattr(app.screen, "VIEW", "") == "forward"
        await pilot.press("1")
        assert app.screen is view, "one comes back to where one was"
        rows(runs[0], {400: 0.1})
        await until(lambda: curves(app).series[0].x[-1] == 400, pilot)
        await pilot.press("1")
        assert isinstance(app.screen, RunsView), "from the comparison it is the list"


async def test_the_list_opens_it_by_its_key(runs: list[Run]) -> None:
    app = Workbench(runs[0].path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        view = app.screen
        assert isinstance(view, RunsView)
        await until(lambda: len(view.marked_runs()) == 1, pilot)  # the one under the cursor
        await pilot.press("A", "c")
        await until(lambda: isinstance(app.screen, CompareView), pilot)
