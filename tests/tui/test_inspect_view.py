"""The Inspect view by keyboard alone: its pages, what they say, what is asked of whom."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.views.inspect import InspectView
from ddpm_tui.views.inspect import view as inspect_view
from ddpm_tui.views.inspect.chooser import ChooseRun
from ddpm_tui.views.inspect.page_bar import PageBar
from ddpm_tui.views.inspect.pages import PAGES
from ddpm_tui.views.inspect.pictures import EmbeddingMap, ScheduleCurves
from ddpm_tui.widgets.chart import LineChart
from ddpm_tui.widgets.sheet import Sheet
from engine.anatomy import dissect
from engine.device import multiplies_bf16
from engine.layer_timing import probe
from engine.runs.folder import Run

SIZES = [(20, 5), (60, 18), (80, 24), (120, 40), (200, 60)]
NAMES = [page.name for page in PAGES]


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_view, "_PROBE_SECONDS", 0.1)


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    """Wait for the worker threads, as a person would, but not for ever."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


def sheet(app: Workbench) -> Sheet:
    return app.screen.query_one("#sheet", Sheet)


def about(app: Workbench) -> str:
    return str(app.screen.query_one("#about", Static).render())


def all_rows(app: Workbench) -> str:
    """The rows of the page, those below the screen too."""
    return "\n".join("".join(text for text, _ in row) for row in sheet(app)._rows)


async def opened(pilot: Pilot[None], page: str = "forward", run: Run | None = None) -> InspectView:
    """The view on a page, once that page is known."""
    app = pilot.app
    assert isinstance(app, Workbench)
    if run is not None:
        app.current_run = run
    await pilot.press("5", *["right"] * NAMES.index(page))
    await until(lambda: isinstance(app.screen, InspectView) and sheet(app).count > 0, pilot)
    view = app.screen
    assert isinstance(view, InspectView)
    await until(lambda: view._study is not None and view._study.anatomy is not None, pilot)
    return view


def tiny(runs: Path) -> Run:
    return Run(runs / "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_every_page_at_every_size(tiny_runs: Path, size: tuple[int, int]) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=size) as pilot:
        view = await opened(pilot, run=tiny(tiny_runs))
        for name in NAMES:
            assert view._page.name == name
            await until(lambda: sheet(app).count > 0, pilot)
            page_heading = view._page.heading is not None
            lines = sheet(app)._strips
            assert all(strip.cell_length == sheet(app).size.width for strip in lines)
            assert about(app).startswith("tiny")
            assert sheet(app).text().strip()
            assert sheet(app)._headed == (page_heading and sheet(app).size.height >= 3)
            await pilot.press("pagedown", "end", "up", "home", "down")
            await pilot.press("right")
        assert view._page.name == NAMES[0], "and round"
        await pilot.press("left")
        assert view._page.name == NAMES[-1]


async def test_without_a_run_it_is_the_default_preset(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "none")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert about(app).startswith("the preset default · squaredcos_cap_v2, T = 1,000")
        assert "t = 496, 50 % of the way" in all_rows(app)
        assert "Key 4 shows" in all_rows(app)
        await pilot.press("p")
        await until(lambda: "the preset article" in about(app), pilot)
        await until(lambda: "t = 259, 26 % of the way" in all_rows(app), pilot)
        await pilot.press("p")
        await until(lambda: "the preset default" in about(app), pilot)


async def test_a_start_far_below_the_end_is_noted(tiny_runs: Path) -> None:
    run = tiny(tiny_runs)
    text = run.config_path.read_text().replace(
        "num_inference_steps = 20", "num_inference_steps = 1"
    )
    run.config_path.write_text(text.replace('_spacing = "trailing"', '_spacing = "linspace"'))
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "reverse", run)
        assert "sampling starts at t = 0 of 19" in all_rows(app)
        assert "ddpm, 1 step, 1 network call" in about(app)


async def test_p_compares_a_run_with_the_presets_and_comes_back(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "network", tiny(tiny_runs))
        for title in ("the preset article", "the preset default", "tiny"):
            await pilot.press("p")
            await until(lambda title=title: about(app).startswith(title), pilot)


async def test_the_first_paint_does_not_wait_and_says_so(
    tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InspectView, "_investigate", lambda *_: None)
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        app.current_run = tiny(tiny_runs)
        await pilot.press("5")
        assert about(app) == "tiny"
        assert "working it out" in sheet(app).text()
        await pilot.press("left")
        assert "Reading the folder" in sheet(app).text()


async def test_the_schedule_has_a_row_for_every_timestep(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(200, 60)) as pilot:
        view = await opened(pilot, "schedule", tiny(tiny_runs))
        assert view._study is not None
        maths = view._study.maths
        assert maths is not None
        assert sheet(app).count == maths.timesteps == 20
        row = all_rows(app).splitlines()[7].split()
        assert row[0] == "7"
        assert float(row[2]) == pytest.approx(float(maths.alphas_cumprod[7]), abs=1e-4)
        assert row[-1] == "●", "ddpm visits every t"
        assert app.screen.query_one(ScheduleCurves).display


async def test_only_rows_on_the_screen_are_made(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "schedule")
        rows = sheet(app)._rows
        made: list[int] = []
        own = type(rows)

        class Counting(own):  # type: ignore[misc, valid-type]
            def __getitem__(self, t: int) -> object:
                made.append(t)
                return super().__getitem__(t)

        rows.__class__ = Counting
        await pilot.press("end")
        assert len(rows) == 1000
        assert set(made) == set(range(1000 - sheet(app).page, 1000))


async def test_go_to_a_timestep_by_its_number(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, "schedule")
        await pilot.press("g", *"512", "enter")
        assert sheet(app).cursor == 512
        assert "512" in sheet(app).text()
        charts = app.screen.query_one(ScheduleCurves).query(LineChart)
        await until(lambda: all(chart.cursor == 512 for chart in charts), pilot)
        await pilot.press("g", *"5000", "enter")
        assert sheet(app).cursor == 999
        assert any("last timestep is 999" in n.message for n in app._notifications)
        await pilot.press("g", *"12", "escape")
        assert sheet(app).cursor == 999
        assert not app.screen.query_one("#go-to", Input).display
        await pilot.press("g", "enter", "k")
        assert sheet(app).cursor == 998
        await pilot.press("right", "left")
        assert sheet(app).cursor == 998, "a page keeps its place"


async def test_digits_are_views_again_after_going_to_a_timestep(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot, "schedule")
        await pilot.press("g", "4", "escape", "4")
        assert app.screen is not view
        await pilot.press("5")
        assert app.screen is view


async def test_until_when_a_class_can_be_told(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, run=tiny(tiny_runs))
        await until(lambda: view._study is not None and view._study.recognised is not None, pilot)
        assert view._study is not None
        told = view._study.recognised
        assert told is not None
        assert list(told) == [0, 2, 4, 6, 8, 10, 11, 13, 15, 17, 19]
        text = " ".join(all_rows(app).split())
        assert f"at least half of them up to t = {max(t for t in told if told[t] >= 0.5)}" in text


def test_the_workbench_opens_without_torch() -> None:
    check = "import sys, ddpm_tui.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


async def test_both_embeddings_beside_each_other(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "embedding")
        titles = [str(pane.border_title) for pane in app.screen.query(EmbeddingMap)]
        assert titles == ["default: 62 of 64 vary", "article: 54 of 100 vary"]
        await pilot.press("p")
        await until(lambda: "the preset article" in about(app), pilot)
        await until(
            lambda: (
                str(app.screen.query_one("#mine", EmbeddingMap).border_title)
                == "article: 54 of 100 vary"
            ),
            pilot,
        )


async def test_the_heat_maps_are_readable_without_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "embedding")
        theirs = app.screen.query_one("#theirs", EmbeddingMap)
        await until(lambda: bool(theirs._strips), pilot)
        rows = [strip.text[6:] for strip in theirs._strips[:-1]]
        # Columns that vary differ from row to row, the others are the same in all.
        constant = [len({row[x] for row in rows}) == 1 for x in range(len(rows[0]))]
        assert sum(constant) > 15
        assert not all(constant)


async def test_the_tree_opens_sorts_and_keeps_its_sums(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, "network", tiny(tiny_runs))
        study = view._study
        assert study is not None
        anatomy = dissect(study.subject.config, (1, 28, 28), 10)
        assert f"{anatomy.whole.parameters:,} parameters" in about(app)
        await until(lambda: "ms an image, measured" in about(app), pilot)
        await until(lambda: view._measuring is None, pilot)
        closed = sheet(app).count
        await pilot.press("j", "j", "enter")
        assert sheet(app).count == closed + 2, "two layers of the timestep's MLP"
        await pilot.press("enter")
        assert sheet(app).count == closed
        await pilot.press("e")
        assert sheet(app).count == closed + sum(part.depth > 1 for part in anatomy.parts)
        await pilot.press("e")
        assert sheet(app).count == closed
        await pilot.press("s")
        assert "by parameters" in about(app)
        shown = all_rows(app).split("What to know")[0].splitlines()[1:]
        figures = [int(word.replace(",", "")) for row in shown if row.strip()
                   for word in row.split()[1 + ("▸" in row) :][:1]]  # fmt: skip
        assert figures == sorted(figures, reverse=True)
        assert sum(figures) == anatomy.whole.parameters


async def test_the_network_is_measured_when_it_is_looked_at(
    tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        "engine.layer_timing.probe",
        lambda *args, **options: asked.append(1) or probe(*args, **options),
    )
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, "schedule", tiny(tiny_runs))
        assert not asked
        await pilot.press("right", "right")
        await until(lambda: "ms an image, measured" in about(app), pilot)
        await until(lambda: view._measuring is None, pilot)
        assert len(asked) == 1
        text = " ".join(all_rows(app).split())
        used = "bfloat16" if multiplies_bf16(torch.device("cpu")) else "float32"
        assert f"passes with fresh weights in {used} on cpu" in text
        assert "…" not in text.split("What to know")[0], "every part has its time"
        await pilot.press("right")
        assert "100 pictures" in all_rows(app)
        assert "20 network calls" in about(app)
        await pilot.press("left")
        assert len(asked) == 1, "once is enough"


async def test_what_the_articles_network_does_not_see(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, "network", tiny(tiny_runs))
        await until(lambda: view._study is not None and bool(view._study.weights_of), pilot)
        text = " ".join(all_rows(app).split())
        assert "article's network changes by 0.00" in text or "10^−" in text
        assert "Here (step 3):" in text
        assert view._study is not None
        assert view._study.article_brightness is not None
        assert view._study.article_brightness < 1e-4
        assert view._study.brightness is None or view._study.brightness > 1e-4


async def test_settings_that_are_not_the_presets_are_marked(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "config", tiny(tiny_runs))
        rows = all_rows(app).splitlines()
        marked = [row.split()[1] for row in rows if row.startswith("≠")]
        assert marked[:2] == ["batch_size", "num_train_timesteps"]
        assert "lr" not in marked
        row = next(row for row in rows if "num_train_timesteps" in row)
        assert "20" in row
        assert "preset: 1,000" in row


async def test_the_environment_and_the_files(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "environment", tiny(tiny_runs))
        text = all_rows(app)
        assert f"torch {torch.__version__.split('+')[0]}" in text
        assert "ddpm-tui train" in text
        assert "checkpoints/" in text
        rows = text.splitlines()
        assert any(row.startswith("step 3 ") and "held-out loss" in row for row in rows)
        assert "1 checkpoint" in about(app)


async def test_what_is_in_the_folder_is_shown_as_plain_text(tiny_runs: Path) -> None:
    path = tiny_runs / "tiny" / "env.json"
    values = json.loads(path.read_text())
    values["command"] = ["[bold]\x1b]0;owned\x07\x1b[31mtrain"]
    values["packages"] = "none of that kind"
    path.write_text(json.dumps(values))
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "environment", tiny(tiny_runs))
        shown = sheet(app).text()
        assert "\x1b" not in shown
        assert "[bold]" in shown
        path.write_text("{")
        await pilot.press("1", "5")
        await until(lambda: "env.json is missing" in all_rows(app), pilot)


async def test_a_run_that_cannot_be_read_is_told_in_place(tiny_runs: Path) -> None:
    (tiny_runs / "tiny" / "config.toml").write_text('[model]\nname = "seven"\n')
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        app.current_run = tiny(tiny_runs)
        await pilot.press("5")
        await until(lambda: "model.name" in sheet(app).text(), pilot)
        await pilot.press("right", "g", "enter", "s", "e", "enter", "end", "p")
        await until(lambda: "the preset article" in about(app), pilot)


async def test_another_run_is_chosen_by_a_part_of_its_name(tiny_runs: Path) -> None:
    shutil.copytree(tiny_runs / "tiny", tiny_runs / "other")
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot, run=tiny(tiny_runs))
        await pilot.press("o", *"zzz")
        assert isinstance(app.screen, ChooseRun)
        assert "No run has that" in app.screen.query_one(Sheet).text()
        await pilot.press("enter")
        assert isinstance(app.screen, ChooseRun)
        await pilot.press(*["backspace"] * 3, *"THE", "enter")
        await until(lambda: app.screen is view, pilot)
        await until(lambda: about(app).startswith("other"), pilot)
        assert app.current_run == Run(tiny_runs / "other")
        await pilot.press("o", "escape")
        assert app.current_run == Run(tiny_runs / "other")


async def test_no_runs_to_choose_from(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "none")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("5", "o")
        assert any("no runs yet" in n.message for n in app._notifications)


async def test_pages_and_parts_are_clicked(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, run=tiny(tiny_runs))
        bar = app.screen.query_one(PageBar)
        x = next(x for x, index in bar._places() if PAGES[index].name == "network")
        await pilot.click(bar, offset=(x + 2, 0))
        assert view._page.name == "network"
        await until(lambda: "ms an image, measured" in about(app), pilot)
        await until(lambda: view._measuring is None, pilot)
        assert "linear_1" not in sheet(app).render_line(4).text
        await pilot.click(sheet(app), offset=(5, 3))
        assert sheet(app).cursor == 2
        await until(lambda: "linear_1" in sheet(app).render_line(4).text, pilot)


async def test_the_other_run_of_another_view_is_looked_at(tiny_runs: Path) -> None:
    shutil.copytree(tiny_runs / "tiny", tiny_runs / "other")
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run=tiny(tiny_runs))
        await pilot.press("1")
        app.current_run = Run(tiny_runs / "other")
        await pilot.press("5")
        await until(lambda: about(app).startswith("other"), pilot)
