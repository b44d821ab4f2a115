"""The Train view by keys: the chart, the grids of earlier steps, one pane alone, the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from ddpm_tui import feed as feeds
from ddpm_tui.app import Workbench
from ddpm_tui.views.train import Facts
from ddpm_tui.views.train.curves import CurveChart
from ddpm_tui.views.train.log import LogPane
from ddpm_tui.views.train.pictures import GridHistory
from ddpm_tui.widgets.heat import HeatStrip
from ddpm_tui.widgets.pixels import PixelGrid
from engine.errors import EngineError
from engine.images import write_png
from engine.runs.folder import Run
from engine.runs.metrics import TIMESTEP_BUCKETS
from engine.runs.previews import preview_path


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)


@pytest.fixture
def run(tiny_runs: Path) -> Run:
    """A run of 400 logged steps with grids at 0, 100, 200, 300; the last has a raw one, too."""
    run = Run(tiny_runs / "tiny")
    rows = [
        {
            "step": step,
            "loss": None if step == 200 else 1 / step,
            "lr": 0.001,
            "grad_norm": 0.5,
            "images_per_second": 100.0,
            "skipped": int(step == 200),
            "loss_by_t": [0.1] * TIMESTEP_BUCKETS,
        }
        for step in range(1, 401)
    ]
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.samples_path.mkdir(exist_ok=True)
    for number, step in enumerate((0, 100, 200, 300)):
        pixels = np.full((4, 1, 8, 8), 60 * number, np.uint8)
        write_png(preview_path(run, step, "ema"), pixels)
    write_png(preview_path(run, 300, "raw"), np.full((4, 1, 8, 8), 99, np.uint8))
    return run


async def until(condition: Callable[[], bool], pilot: Pilot[None]) -> None:
    for _ in range(400):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


async def opened(app: Workbench, run: Run, pilot: Pilot[None]) -> None:
    app.open_run(run)
    await pilot.pause()
    await until(lambda: len(app.screen.query_one(CurveChart).series) > 0, pilot)
    await until(lambda: app.screen.query_one("#ema", PixelGrid).total == 4, pilot)


def text(app: Workbench) -> str:
    """What stands on the screen."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips[:height])[: (width + 1) * height]


async def test_the_grids_of_earlier_steps_are_walked_and_the_newest_followed(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        pictures = app.screen.query_one(GridHistory)
        shown = app.screen.query_one("#ema", PixelGrid)

        def brightness() -> int:
            return -1 if shown._images is None else int(shown._images.max())

        await until(lambda: brightness() == 180, pilot)
        await pilot.press("left_square_bracket")
        await until(lambda: brightness() == 120, pilot)
        assert "step 200" in str(pictures.border_title)
        assert "3/4" in str(pictures.border_title)
        assert not pictures.follows
        await pilot.press(*["left_square_bracket"] * 5)
        await until(lambda: brightness() == 0, pilot)

        write_png(preview_path(run, 400, "ema"), np.full((4, 1, 8, 8), 240, np.uint8))
        await until(lambda: "/5" in str(pictures.border_title), pilot)
        assert brightness() == 0, "who looks back is not torn away"
        await pilot.press("end")
        await until(lambda: brightness() == 240, pilot)
        assert pictures.follows


async def test_arrows_go_through_the_grids_when_the_pictures_have_the_focus(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        pictures = app.screen.query_one(GridHistory)
        await pilot.press("h")
        assert pictures.follows, "at first they move the cursor of the chart"
        app.screen.set_focus(pictures)
        await pilot.press("h", "h")
        assert "step 100" in str(pictures.border_title)
        await pilot.press("home")
        assert "step 0" in str(pictures.border_title)
        await pilot.press("l", "l", "l")
        assert pictures.follows


async def test_ema_and_raw_weights_stand_side_by_side(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        ema, raw = (app.screen.query_one(f"#{name}", PixelGrid) for name in ("ema", "raw"))
        assert (ema.display, raw.display) == (True, False)
        await pilot.press("e")
        assert (ema.display, raw.display) == (False, True)
        await pilot.press("e")
        assert (ema.display, raw.display) == (True, True)
        assert raw.total == 4
        await pilot.press("left_square_bracket")
        await until(lambda: raw.total == 0, pilot)
        await until(lambda: "none at this step" in text(app), pilot)


async def test_the_cursor_tells_values_and_gaps(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        assert chart.cursor is None
        await pilot.press("left")
        assert chart.cursor == 400
        assert "step 400: 0.002" in str(chart.border_title)
        await pilot.press("plus", "plus", "plus", "plus")  # a row a column
        for _ in range(3):
            await pilot.press("left")
        assert chart.cursor is not None
        assert 390 < chart.cursor < 400
        chart._at = 200.0
        chart._show()
        assert "step 200: not finite" in str(chart.border_title)
        await pilot.press("escape")
        assert chart.cursor is None


async def test_a_chart_of_a_part_of_the_metrics_says_so(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        assert "read" not in str(chart.border_title)
        snapshot = chart._snapshot
        assert snapshot is not None
        chart.show_run(replace(snapshot, read=0.21))
        assert str(chart.border_title).startswith("21% read · loss")
        chart.show_run(snapshot)
        assert "read" not in str(chart.border_title)


async def test_a_torch_that_does_not_load_is_no_loading_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    class Fails:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "engine.train":
                raise EngineError("PyTorch cannot be loaded: no such file")

    monkeypatch.delitem(sys.modules, "engine.train", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Fails(), *sys.meta_path])
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.activity == "PyTorch does not load", pilot)


async def test_the_zoom_halves_what_is_shown_from_the_newest_on(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        assert chart.series[0].x[0] < 6
        await pilot.press("plus")
        assert 195 < chart.series[0].x[0] < 205
        assert chart.series[0].x[-1] == 400
        assert "last 200 steps" in str(chart.border_title)
        await pilot.press("minus", "minus")
        assert chart.series[0].x[0] < 6


async def test_the_chart_shows_every_figure_in_turn(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        seen = [str(chart.border_title)]
        for _ in range(5):
            await pilot.press("v")
            seen.append(str(chart.border_title))
        assert [title.split(" · ")[0] for title in seen] == [
            *("loss", "gradient norm", "learning rate", "images/s", "skipped steps"),
            "Fréchet distance",
        ]
        await until(lambda: "ddpm-tui evaluate" in text(app), pilot)
        await pilot.press("v")
        assert str(chart.border_title) == seen[0]


def write_score(run: Run, step: int, frechet: float) -> None:
    (run.path / "evaluations").mkdir(exist_ok=True)
    score = {
        "step": step,
        "generated": {"n": 2048, "frechet": frechet},
        "floor": {"frechet": 0.25},
        "sampling": {"sampler": "ddim", "num_inference_steps": 40},
    }
    (run.path / "evaluations" / f"{step}.json").write_text(json.dumps(score))


async def test_the_distances_of_the_checkpoints_are_a_curve(run: Run) -> None:
    for step, frechet in ((100, 22.0), (200, 9.0), (300, 5.5)):
        write_score(run, step, frechet)
    app = Workbench(run.path.parent)
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, run, pilot)
        await pilot.press(*"vvvvv", "left", "left")
        real, samples, evaluated = app.screen.query_one(CurveChart).series
        assert list(samples.x) == list(evaluated.x) == [100, 200, 300]
        assert list(samples.y) == [22.0, 9.0, 5.5]
        assert set(real.y) == {0.25}
        title = str(app.screen.query_one(CurveChart).border_title)
        assert title == "Fréchet distance · step 200: 9 · n 2,048, ddim, 40 steps"


async def test_the_smoothed_loss_stops_where_no_step_is_finite(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        chart._at = 200.0
        await pilot.press("plus", "plus")  # every row by itself, around the cursor
        smoothed = chart.series[1]
        assert list(smoothed.x[np.isnan(smoothed.y)]) == [200]


async def test_evaluations_are_marks_on_the_curve(run: Run) -> None:
    write_score(run, 300, 5.5)
    app = Workbench(run.path.parent)
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, run, pilot)
        chart = app.screen.query_one(CurveChart)
        marks = {series.name: series for series in chart.series if series.marks}
        assert list(marks["scored"].x) == [300]
        await until(lambda: "Fréchet 5.5 (real 0.25)" in text(app), pilot)


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40), (200, 60)])
async def test_the_lines_on_top_are_whole_at_every_size(run: Run, size: tuple[int, int]) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=size) as pilot:
        await opened(app, run, pilot)
        facts = app.screen.query_one(Facts)
        screen = text(app)
        lines = screen.split("\n")[1 : 1 + facts.size.height]
        assert not any("…" in line for line in lines)
        for wanted in ("tiny", "finished", "3 of 3 steps", "loss"):
            assert any(wanted in line for line in lines)
        assert app.screen.query_one(CurveChart).size.height >= 8
        assert app.screen.query_one(PixelGrid).size.height >= 8


async def test_one_pane_takes_the_whole_view_and_gives_it_back(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        chart, pictures = app.screen.query_one(CurveChart), app.screen.query_one(GridHistory)
        before = chart.size.width
        await pilot.press("f")
        await pilot.pause()
        assert chart.size.width > 110
        assert not pictures.is_on_screen
        await pilot.press("escape")
        await pilot.pause()
        assert chart.size.width == before
        app.screen.set_focus(pictures)
        await pilot.press("f")
        await pilot.pause()
        assert pictures.size.width > 110
        await pilot.press("f", "L")
        await pilot.pause()
        assert app.screen.query_one(LogPane).size.height > 30


async def test_the_log_is_scrolled_by_keys(run: Run) -> None:
    run.log_path.write_text("".join(f"line {n}\n" for n in range(500)))
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        await pilot.press("L")
        await until(lambda: "line 499" in text(app), pilot)
        await pilot.press("pageup", "k")
        await pilot.pause()
        await until(lambda: "line 478" in text(app), pilot)
        assert "line 479" not in text(app)
        await pilot.press("pagedown", "j")
        await pilot.pause()
        await until(lambda: "line 499" in text(app), pilot)


async def test_the_loss_by_timestep_is_a_strip_where_there_is_room(run: Run) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        assert app.screen.query_one(HeatStrip).is_on_screen
        await until(lambda: "loss by timestep" in text(app), pilot)


async def test_what_a_short_config_leaves_out_has_its_default(run: Run) -> None:
    run.config_path.write_text('[data]\ndataset = "fashion-mnist-10k"\n')
    app = Workbench(run.path.parent)
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, run, pilot)
        await until(lambda: "batch 64" in text(app), pilot)


async def test_a_run_that_cannot_be_shown_says_why_and_is_shown_once_it_can(run: Run) -> None:
    good = run.config_path.read_text()
    run.config_path.write_text("[training]\nsteps = -3\n")
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_run(run)
        await until(lambda: "steps" in text(app) and "config.toml" in text(app), pilot)
        run.config_path.write_text(good)
        await opened(app, run, pilot)


async def test_a_failed_run_says_why(run: Run) -> None:
    reason = "The loss is not finite at step 200; train anew with a lower --lr"
    run.write_status(replace(run.status(), state="failed", reason=reason))
    app = Workbench(run.path.parent)
    async with app.run_test(size=(60, 18)) as pilot:
        await opened(app, run, pilot)
        assert "train anew" in " ".join(text(app).split())


async def test_a_run_that_waits_for_room_says_so(run: Run) -> None:
    reason = "the training waits for room on the disk: disk quota exceeded"
    app = Workbench(run.path.parent)
    with run.lock():
        run.write_status(replace(run.status(), state="running", reason=""))
        async with app.run_test(size=(60, 18)) as pilot:
            await opened(app, run, pilot)
            run.write_status(replace(run.status(), state="paused", reason=reason))
            await until(lambda: "disk quota" in " ".join(text(app).split()), pilot)
            run.write_status(replace(run.status(), state="running", reason=""))
            await until(lambda: "disk quota" not in text(app), pilot)


async def test_the_footer_is_not_made_anew_by_every_snapshot(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Workbench(run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, run, pilot)
        made: list[int] = []
        monkeypatch.setattr(app.screen, "refresh_bindings", lambda: made.append(1))
        chart = app.screen.query_one(CurveChart)
        for step in (401, 402, 403):
            with run.metrics_path.open("a") as file:
                file.write(f'{{"step":{step},"loss":0.5}}\n')
            await until(lambda step=step: chart.series[0].x[-1] == step, pilot)
        assert not made
