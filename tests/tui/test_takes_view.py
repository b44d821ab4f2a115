"""The reverse process as an instrument: what is done to it on the screen, by keys alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static
from typer.testing import CliRunner

from ddpm_tui.app import Workbench
from ddpm_tui.cli.verbs import app as cli
from ddpm_tui.views.copied import SentToClipboard
from ddpm_tui.views.sample import SampleView
from ddpm_tui.views.sample.forms import Question
from ddpm_tui.views.sample.painter import MaskPainter
from ddpm_tui.views.sample.playhead import Playhead
from ddpm_tui.views.sample.recording import Recording
from ddpm_tui.widgets.choice import Choice
from ddpm_tui.widgets.histogram import Histogram, densities, normal_densities
from ddpm_tui.widgets.pixels import PixelGrid
from engine.images import read_png
from engine.runs.folder import Run
from engine.sampling import load_trained
from engine.takes.favourites import list_favourites
from engine.takes.perform import perform
from engine.takes.recipe import Branch, FromData, Inpaint, Renoise
from engine.takes.sources import read_mask
from tests.tui.test_sample_view import (
    done,
    draw,
    open_view,
    readout,
    text_of,
    trajectory,
    until,
    view,
)


def kept(app: Workbench) -> Recording:
    recording = trajectory(app)
    assert recording is not None
    return recording


async def drawn_to(pilot: Pilot[None], index: int) -> Workbench:
    """A drawing, finished, and then looked at at a step."""
    await draw(pilot)
    app = pilot.app
    assert isinstance(app, Workbench)
    await pilot.press("home", *["right"] * index)
    return app


async def turned(app: Workbench, pilot: Pilot[None], before: Recording) -> Recording:
    """Wait for the end of the take that came of a turn."""
    await until(lambda: isinstance(app.screen, SampleView), pilot)
    await until(lambda: kept(app) is not before and done(app), pilot)
    await until(lambda: "done" in readout(app), pilot)
    return kept(app)


def performed_again(runs: Path, recording: Recording) -> torch.Tensor:
    """The pictures of the recipe, performed from scratch by the engine."""
    recipe = recording.recipe
    trained = load_trained(Run(runs / recipe.run), which=str(recipe.checkpoint), device="cpu")
    return list(perform(trained, recipe))[-1].prev_sample


async def test_a_branch_goes_on_from_the_chosen_picture_at_this_t(class_runs: Path) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 5)
        before = kept(app)
        await pilot.press("down", "down", "b")
        form = app.screen
        assert isinstance(form, Question)
        assert "Picture 2" in str(form.query_one(".note-on-top", Static).render())
        form.query_one("#copies", Input).value = "2"
        form.query_one("#prompt", Input).value = "bag; 0.5 dress + 0.5 coat"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        assert after.recipe.turns == (Branch(5, 2, 2, ("bag", "0.5 dress + 0.5 coat")),)
        assert len(after.values(20)) == 4
        for step in range(5):
            assert after.steps()[step] is before.steps()[step], "what was taken is not taken again"
        assert (after.values(5) == before.values(5)[2]).all(), "all begin where the picture was"
        assert torch.equal(after.values(20), performed_again(class_runs, after))
        assert "5 branch picture=2 copies=2" in text_of(app, "#turns")


async def test_where_no_noise_is_drawn_a_branch_goes_to_every_class(class_runs: Path) -> None:
    config = class_runs / "classes" / "config.toml"
    config.write_text(config.read_text().replace('sampler = "ddpm"', 'sampler = "ddim"'))
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 5)
        before = kept(app)
        await pilot.press("b")
        assert "draws no noise" in str(app.screen.query_one(".note-on-top", Static).render())
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        (branch,) = after.recipe.turns
        assert isinstance(branch, Branch)
        assert (branch.copies, len(branch.prompts)) == (1, 10)
        assert len(after.values(20)) == 10
        assert not torch.equal(after.values(20)[0], after.values(20)[1])


async def test_another_class_is_asked_for_from_here_on_and_taken_back(class_runs: Path) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await drawn_to(pilot, 8)
        before = kept(app)
        await pilot.press("a")
        app.screen.query_one("#prompt", Input).value = "boat"
        await pilot.press("enter")
        problem = str(app.screen.query_one("#problem", Static).render())
        assert "boat" in problem and "Ankle boot" in problem
        app.screen.query_one("#prompt", Input).value = "bag"
        app.screen.query_one("#guidance", Input).value = "3"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        assert torch.equal(after.values(8), before.values(8))
        assert not torch.equal(after.values(20), before.values(20))
        await pilot.press("u")
        await until(lambda: kept(app).recipe == before.recipe, pilot)
        await pilot.press("end")
        await until(lambda: done(app) and "done" in readout(app), pilot)
        assert torch.equal(kept(app).values(20), before.values(20)), "the same take, to the bit"
        await pilot.press("u")
        assert any("no turn to take back" in n.message for n in app._notifications)


async def test_renoising_goes_up_and_comes_down_again(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 15)
        before = kept(app)
        await pilot.press("r")
        app.screen.query_one("#t", Input).value = "2"  # t = 4 here: that is not up
        await pilot.press("enter")
        assert "re-noising goes up" in str(app.screen.query_one("#problem", Static).render())
        app.screen.query_one("#t", Input).value = "12"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        assert after.recipe.turns == (Renoise(15, 12),)
        assert [step.t for step in after.steps()] == [*range(19, 4, -1), *range(12, -1, -1)]
        assert torch.equal(after.values(after.num_steps), performed_again(tiny_runs, after))


@pytest.mark.slow
async def test_a_painted_mask_is_painted_anew_and_the_rest_is_kept(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 20)
        before = kept(app)
        await pilot.press("down", "m")
        painter = app.screen
        assert isinstance(painter, MaskPainter)
        await pilot.press("enter")
        assert app.screen is painter, "an empty mask paints nothing"
        await pilot.press(*["left"] * 9, *["up"] * 9, "r", *["right"] * 9, *["down"] * 5, "r")
        await pilot.press("b", "J", "minus")
        state = str(painter.query_one("#state", Static).render())
        assert "brush 3" in state and "3 results" in state
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        turn = after.recipe.turns[0]
        assert isinstance(turn, Inpaint)
        assert (turn.at, turn.picture, turn.copies) == (20, 1, 3)
        run = load_trained_run(tiny_runs)
        mask = read_mask(run, turn.mask, (1, 28, 28))
        assert mask[5:10, 5:15].all() and 60 <= mask.sum() < 90
        result = after.values(after.num_steps)
        kept_pixels = before.values(20)[1].clamp(-1, 1)
        for picture in result:
            assert torch.allclose(picture[:, ~mask], kept_pixels[:, ~mask], atol=1e-5)
        assert not torch.equal(result[0], result[1]), "each result has noise of its own"
        assert torch.equal(result, performed_again(tiny_runs, after))


def load_trained_run(runs: Path):
    from engine.runs.folder import Run

    return Run(runs / "tiny")


async def test_the_painter_at_every_size_and_by_mouse(tiny_runs: Path) -> None:
    for size in ((60, 18), (80, 24), (200, 60)):
        app = Workbench(tiny_runs)
        async with app.run_test(size=size) as pilot:
            app.push_screen(MaskPainter(np.zeros((1, 28, 28), np.uint8)))
            await pilot.pause()
            painter = app.screen
            assert isinstance(painter, MaskPainter)
            canvas = painter.query_one("#canvas", PixelGrid)
            plan = canvas.arrangement
            assert plan.shown == 1
            corner = plan.left, plan.top
            await pilot.mouse_down(canvas, offset=corner)
            await pilot.hover(canvas, offset=corner)
            await pilot.mouse_up(canvas, offset=corner)
            assert painter._mask[0, 0] and painter._mask.sum() == 1
            await pilot.press("i")
            assert painter._mask.sum() == 28 * 28 - 1
            await pilot.press("c", "space", "space")
            assert not painter._mask.any()
            await pilot.press("escape")
            assert app.screen is not painter


async def test_a_take_starts_from_real_pictures(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 0)
        before = kept(app)
        await pilot.press("f")
        app.screen.query_one("#which", Input).value = "three"
        await pilot.press("enter")
        assert "is not a number" in str(app.screen.query_one("#problem", Static).render())
        app.screen.query_one("#which", Input).value = "3, 7"
        app.screen.query_one("#strength", Input).value = "0.5"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        assert after.recipe.origin == FromData((3, 7), 0.5)
        assert after.num_steps == 10
        assert torch.equal(after.values(10), performed_again(tiny_runs, after))
        assert "from data:3,7" in text_of(app, "#turns")


async def test_a_picture_that_is_not_there_gives_way_to_what_was_before(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await drawn_to(pilot, 3)
        before = kept(app)
        await pilot.press("f")
        app.screen.query_one("#which", Input).value = "99999"
        await pilot.press("enter")
        await until(lambda: any("99999" in n.message for n in app._notifications), pilot)
        await until(lambda: kept(app).recipe == before.recipe, pilot)
        await pilot.press("end")
        await until(lambda: "done" in readout(app), pilot)
        assert torch.equal(kept(app).values(20), before.values(20)), "nothing is lost"


async def test_two_samplers_go_in_lockstep_from_the_same_noise(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 0)
        before = kept(app)
        await pilot.press("c")
        app.screen.query_one("#sampler", Choice).value = "ddim"
        app.screen.query_one("#steps", Input).value = "10"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        assert after.recipe.versus == {"sampler": "ddim", "num_inference_steps": 10}
        assert torch.equal(after.values(0), after.values(0, lane=1)), "from the same noise"
        assert torch.equal(after.values(20), before.values(20)), "lane 0 is what it was"
        panes = [pane for pane in app.screen.query(PixelGrid) if pane.display]
        assert [pane.id for pane in panes] == ["x_t", "beside"]
        assert panes[0].size.width == pytest.approx(panes[1].size.width, abs=2)
        assert "num_inference_steps 10" in str(panes[1].border_title)
        await pilot.press("home", *["right"] * 10)
        at = after.beside(10)
        levels = [lane.noise_levels for lane in after.lanes]
        assert abs(levels[0][10] - levels[1][at]) <= 0.11
        shown = app.screen.query_one("#beside", PixelGrid)
        expected = after.frame(at, "x_t", 1)[:, 0]
        await until(lambda: shown._images is not None and (shown._images == expected).all(), pilot)


async def test_the_second_lane_is_called_the_result_when_it_is_one(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 0)
        before = kept(app)
        await pilot.press("c")
        app.screen.query_one("#sampler", Choice).value = "ddim"
        await pilot.press("enter")
        after = await turned(app, pilot, before)
        await pilot.press("end")
        beside = app.screen.query_one("#beside", PixelGrid)
        assert "the result" in str(beside.border_title)
        after._steps[1].pop()  # as before lane 1 has taken its last step
        await pilot.press("left", "right")
        assert "the result" in str(app.screen.query_one("#x_t", PixelGrid).border_title)
        assert "the result" not in str(beside.border_title)


async def test_while_paused_both_lanes_stand_at_the_same_level(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        await pilot.press(*["minus"] * 9, "d")  # one step a second
        await until(lambda: trajectory(app) is not None and len(kept(app)) > 0, pilot)
        await pilot.press("space", "c")
        app.screen.query_one("#sampler", Choice).value = "ddim"
        await pilot.press("enter")
        await until(lambda: len(kept(app).lanes) == 2 and len(kept(app)) >= 2, pilot)
        await pilot.press("space")
        await pilot.pause(0.4)
        assert len(kept(app).steps(1)) == len(kept(app).steps(0)) < 20


async def test_the_saved_take_is_what_the_shown_command_makes(
    class_runs: Path, tmp_path: Path
) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await drawn_to(pilot, 4)
        before = kept(app)
        await pilot.press("a")
        app.screen.query_one("#prompt", Input).value = "bag"
        await pilot.press("enter")
        await turned(app, pilot, before)
        await pilot.press("y")
        await until(lambda: isinstance(app.screen, SentToClipboard), pilot)
        assert not any(n.title == "Copied" for n in app._notifications), "nobody knows"
        shown = text_of(app, "#sent-command")
        assert shlex.split(shown.replace("\\\n", "")) == shlex.split(app._clipboard)
        await pilot.press("escape")
        assert app._clipboard == text_of(app, "#command").removeprefix("$ ")
        await pilot.press("W")
        await until(lambda: any(n.title == "Saved" for n in app._notifications), pilot)
        notice = next(n.message for n in app._notifications if n.title == "Saved")
    files = sorted((class_runs / "classes" / "samples").glob("*take*"))
    assert [path.suffix for path in files] == [".gif", ".npz", ".png", ".json"]
    assert all(path.name in notice for path in files)
    words = shlex.split(app._clipboard)[1:]
    written = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "again")])
    assert written.exit_code == 0, written.output
    ours, _ = read_png(files[2])
    theirs, _ = read_png(tmp_path / "again" / files[2].name)
    assert (ours == theirs).all()


async def test_favourites_are_kept_found_again_and_removed(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await draw(pilot)
        first = kept(app)
        await pilot.press("down", "s")
        assert any("picture 1 is a favourite" in n.message for n in app._notifications)
        await pilot.press("o")
        app.screen.query_one("#seed", Input).value = "9"
        await pilot.press("enter")
        await turned(app, pilot, first)
        await pilot.press("S")
        assert app.screen.query_one(OptionList).option_count == 1
        await until(lambda: app.screen.query_one(PixelGrid).total == 1, pilot)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, SampleView), pilot)
        await until(lambda: kept(app).recipe == first.recipe and done(app), pilot)
        assert torch.equal(kept(app).values(20), first.values(20))
        assert view(app)._chosen == 1
        await pilot.press("S", "x")
        assert app.screen.query_one(OptionList).option_count == 0
        assert "None yet" in str(app.screen.query_one("#none", Static).render())


async def test_a_favourite_of_a_take_on_its_way_shows_what_is_believed_there(
    tiny_runs: Path,
) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        await pilot.press(*["minus"] * 6, "d")  # a step a second
        await until(lambda: trajectory(app) is not None and len(kept(app)) > 1, pilot)
        await pilot.press("space", "home", "right", "down", "s")
        assert not kept(app).complete
        [favourite] = list_favourites(Run(tiny_runs / "tiny"))
        assert favourite.thumbnail is not None
        assert (read_png(favourite.thumbnail)[0][0] == kept(app).frame(1, "x0")[1]).all()


async def test_figures_tell_how_the_checkpoint_was_evaluated(tiny_runs: Path) -> None:
    folder = tiny_runs / "tiny" / "evaluations"
    folder.mkdir()
    for step, n, frechet in ((3, 512, 8.25), (3, 256, 9.5), (1, 2048, 7.75)):
        values = {
            "step": step,
            "generated": {"frechet": frechet, "n": n},
            "floor": {"frechet": 1.5},
            "sampling": {"sampler": "ddim", "num_inference_steps": 50},
        }
        (folder / f"{step}-{n}.json").write_text(json.dumps(values))
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 0)
        assert kept(app).recipe.checkpoint == 3
        await pilot.press("i")
        await pilot.pause()
        told = [line.split() for line in text_of(app, "#statistics").splitlines()]
        assert ["Fréchet", "8.25"] in told, "of the evaluation with the most pictures"
        assert ["of", "real", "1.5"] in told
        assert told[-2:] == [["by", "ddim,", "50", "steps"], ["n", "=", "512"]]


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40), (200, 60)], ids=str)
async def test_figures_and_histogram_tell_how_far_from_noise_it_is(
    tiny_runs: Path, size: tuple[int, int]
) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=size) as pilot:
        await drawn_to(pilot, 0)
        await pilot.press("i")
        await pilot.pause()
        told = text_of(app, "#statistics")
        x = kept(app).values(0)
        assert f"{float(x.std()):.3f}" in told
        assert f"{float((x.abs() > 1).float().mean()):.1%}" in told
        histogram = app.screen.query_one(Histogram)
        assert histogram.size.width >= 8 and histogram.size.height >= 2
        assert "█" in str(histogram.render())
        assert app.screen.query_one("#x_t", PixelGrid).shown >= 1
        await pilot.press("i")
        await pilot.pause()
        assert not app.screen.query_one(Histogram).region.area


async def test_one_picture_is_shown_large(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn_to(pilot, 20)
        grid = app.screen.query_one("#x_t", PixelGrid)
        small = grid.arrangement.width
        await pilot.press("z", "up")
        await until(lambda: grid.total == 1, pilot)
        assert grid.arrangement.width >= 2 * small
        assert "picture 3" in str(grid.border_title)
        await pilot.press("escape")
        await until(lambda: grid.total == 4, pilot)
        assert grid.selected == 3


def test_densities_are_those_of_numpy_and_of_the_normal() -> None:
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    found, curve = densities(values, 30), normal_densities(30)
    assert found.mean() * 6 == pytest.approx(1)
    assert np.abs(found[1:-1] - curve[1:-1]).max() < 0.02
    assert densities(np.full(5, 99.0, np.float32), 6).tolist() == [0, 0, 0, 0, 0, 1.0]


def test_the_playhead_moves_with_time_and_no_further_than_there_is() -> None:
    head = Playhead(playing=True, speed=8)
    head.advance(0.3, 8)
    assert head.index == 2
    head.advance(9, 8)
    assert head.index == 8
    head.move_to(99, 5)
    assert (head.index, head.playing) == (5, False)
    head.advance(1, 8)
    assert head.index == 5
    for _ in range(20):
        head.change_speed(faster=True)
    assert head.speed == Playhead.SPEEDS[-1]
