"""The Sample view by keyboard alone, on a run that was really trained."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static
from typer.main import get_command
from typer.testing import CliRunner

from ddpm_tui.app import Workbench
from ddpm_tui.cli.verbs import app as cli
from ddpm_tui.views.sample import SampleView
from ddpm_tui.views.sample.readout import Readout
from ddpm_tui.views.sample.recording import Recording
from ddpm_tui.views.sample.settings import RANGES, SAMPLERS, RunOffer, SampleSettings
from ddpm_tui.widgets.choice import Choice
from ddpm_tui.widgets.pixels import PixelGrid
from ddpm_tui.widgets.timeline import Timeline
from engine.config import SamplingConfig, make_config, override_sampling
from engine.errors import ConfigError
from engine.images import read_png
from engine.runs.folder import Run, create_run, open_run

SIZES = [(60, 18), (80, 24), (120, 40), (200, 60)]


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    """Wait for the worker threads, as a person would, but not for ever."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


def view(app: Workbench) -> SampleView:
    assert isinstance(app.screen, SampleView)
    return app.screen


def text_of(app: Workbench, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def readout(app: Workbench) -> str:
    return " · ".join(app.screen.query_one(Readout).parts)


def message(app: Workbench) -> str:
    return app.screen.query_one("#x_t", PixelGrid)._message


def trajectory(app: Workbench) -> Recording | None:
    return view(app)._recording


def done(app: Workbench) -> bool:
    kept = trajectory(app)
    return kept is not None and kept.complete


async def open_view(pilot: Pilot[None]) -> None:
    await pilot.press("3")
    await until(lambda: "d draws" in message(pilot.app), pilot)  # type: ignore[arg-type]


async def draw(pilot: Pilot[None]) -> None:
    """Draw and play to the end."""
    app = pilot.app
    assert isinstance(app, Workbench)
    await open_view(pilot)
    await pilot.press("d")
    await until(lambda: done(app) and "done" in readout(app), pilot)


async def test_without_a_run_it_says_how_to_get_one(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "none")
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("3")
        await until(lambda: "no trained run yet" in message(app), pilot)
        await pilot.press("d", "space", "o", "w", "right", "end", "v", "plus")
        assert isinstance(app.screen, SampleView)


async def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    run = create_run(tmp_path, make_config(dataset_size=10_000), name="fresh")
    app = Workbench(tmp_path)
    app.current_run = run
    async with app.run_test() as pilot:
        await pilot.press("3")
        await until(lambda: "fresh has no checkpoint yet" in message(app), pilot)


async def test_it_offers_quick_settings_on_a_cpu(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        settings = text_of(app, "#settings")
    assert "tiny · checkpoint best · ddpm fixed_small · 20 of 20 timesteps" in settings
    config = make_config(dataset_size=10_000, sampling={"num_inference_steps": 1000})
    slow = RunOffer(Run(tiny_runs / "tiny"), (3,), config)
    assert slow.defaults(quick=True).steps == 100
    assert slow.defaults(quick=False).steps == 1000


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_drawing_ends_with_the_result(tiny_runs: Path, size: tuple[int, int]) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=size) as pilot:
        await draw(pilot)
        kept = trajectory(app)
        assert kept is not None and len(kept) == 21
        grid = app.screen.query_one("#x_t", PixelGrid)
        assert grid.total == 4 and grid.shown >= 2
        assert str(grid.border_title).startswith("the result")
        assert "the result, after 20 steps" in readout(app)
        assert app.screen.query_one(Timeline).position == 20
        # Everything keeps its place: nothing lies over the footer or beyond the screen.
        bottom = max(widget.region.bottom for widget in app.screen.query("Static, Readout"))
        assert bottom <= size[1] - 1
        assert grid.size.height >= 8


async def test_scrubbing_shows_the_stored_steps(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await draw(pilot)
        for keys, where in (
            (["home"], "step  1/20 · t = 19"),
            (["right", "l"], "step  3/20 · t = 17"),
            (["left"], "step  2/20 · t = 18"),
            (["h", "h", "h"], "step  1/20 · t = 19"),
            (["pagedown"], "the result"),
            (["left"], "step 20/20 · t = 0"),
            (["pageup"], "step  1/20"),
            (["L"], "the result"),
            (["H"], "step  1/20"),
            (["dollar_sign"], "the result"),
            (["0"], "step  1/20"),
        ):
            await pilot.press(*keys)
            assert readout(app).startswith(where), keys
        assert "paused" in readout(app)
        kept = trajectory(app)
        assert kept is not None
        mean = kept.statistics(0).mean
        assert f"mean {mean:+.2f}".replace("-", "−") in readout(app)
        assert f"noise √(1−ᾱ_t) {kept.lanes[0].noise_levels[0]:.3f}" in readout(app)
        grid = app.screen.query_one("#x_t", PixelGrid)
        await until(lambda: (shown(grid) == kept.frame(0, "x_t")[:, 0]).all(), pilot)


def shown(grid: PixelGrid) -> np.ndarray:
    assert grid._images is not None
    return grid._images


async def test_looking_at_state_prediction_and_noise(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await draw(pilot)
        await pilot.press("home")
        kept = trajectory(app)
        assert kept is not None
        for look in ("x0", "eps", "x_t"):
            await pilot.press("v")
            panes = [pane.id for pane in app.screen.query(PixelGrid) if pane.display]
            assert panes == [look]
            pane = app.screen.query_one(f"#{look}", PixelGrid)
            expected = kept.frame(0, look)[:, 0]
            await until(lambda p=pane, e=expected: p.total and (shown(p) == e).all(), pilot)


async def test_a_wide_screen_shows_all_three(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(200, 60)) as pilot:
        await draw(pilot)
        panes = [pane for pane in app.screen.query(PixelGrid) if pane.display]
        assert [pane.id for pane in panes] == ["x_t", "x0", "eps"]
        assert all(pane.total == 4 for pane in panes)
        await pilot.resize_terminal(80, 24)
        await until(lambda: sum(p.display for p in app.screen.query(PixelGrid)) == 1, pilot)


async def test_pausing_stops_the_reverse_process_itself(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        await pilot.press(*["minus"] * 9)  # one step a second
        await pilot.press("d")
        await until(lambda: trajectory(app) is not None and readout(app) != "", pilot)
        await pilot.press("space")
        at = app.screen.query_one(Timeline).position
        await pilot.pause(0.3)
        kept = trajectory(app)
        assert kept is not None
        taken = len(kept)
        await pilot.pause(0.7)
        assert len(kept) == taken < 10, "nobody looks further, so nothing is computed"
        assert app.screen.query_one(Timeline).position == at < 5
        assert "paused" in readout(app) and "1 steps/s" in readout(app)
        for _ in range(taken - at):
            await pilot.press("right")  # beyond what is there: one more step is taken
        await until(lambda: len(kept) == taken + 1, pilot)
        await until(lambda: readout(app).startswith(f"step {taken + 1:>2}/20"), pilot)
        await pilot.press("space")
        assert "playing" in readout(app)
        await pilot.press(*["plus"] * 9)
        assert "240 steps/s" in readout(app)
        await until(lambda: "the result" in readout(app), pilot)
        await pilot.press(*["minus"] * 9, "space")  # at the end: again from the start
        assert "playing" in readout(app)
        assert readout(app).startswith("step  1/20")


async def test_an_idle_screen_does_not_tick(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await draw(pilot)
        assert not view(app)._timer._active.is_set()
        await pilot.press(*["minus"] * 9, "home", "space")  # slowly, or it may end meanwhile
        assert view(app)._timer._active.is_set()
        sample = view(app)
        await pilot.press("1")
        assert not sample._timer._active.is_set()


async def test_escape_pauses_and_what_there_is_stays(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        await pilot.press(*["minus"] * 9, "d")
        await until(lambda: len(trajectory(app) or ()) >= 2, pilot)
        await pilot.press("escape")
        assert "paused" in readout(app)
        await pilot.press("home")
        assert readout(app).startswith("step  1/20")
        await pilot.press("w")
        assert not list((tiny_runs / "tiny" / "samples").glob("*.gif"))


async def test_drawing_again_replaces_the_take_that_goes_on(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)
        await pilot.press(*["minus"] * 9, "d")
        await until(lambda: len(trajectory(app) or ()) >= 2, pilot)
        first = trajectory(app)
        await pilot.press("d", *["plus"] * 9)
        await until(lambda: trajectory(app) not in (None, first), pilot)
        await until(lambda: done(app), pilot)
        assert first is not None and not first.complete


async def test_coming_back_finds_everything_as_it_was(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await draw(pilot)
        await pilot.press("home", "right")
        kept, before = trajectory(app), readout(app)
        await pilot.press("1", "3")
        await pilot.pause(0.3)
        assert trajectory(app) is kept
        assert readout(app) == before
        await pilot.press("1")
        app.sample_run(Run(tiny_runs / "tiny"))  # s in the Runs view, on the run that is shown
        await pilot.pause(0.3)
        assert trajectory(app) is kept


async def test_another_current_run_is_taken_up(tiny_runs: Path) -> None:
    other = create_run(tiny_runs, make_config(dataset_size=10_000), name="other")
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_view(pilot)  # the newest has no checkpoint; tiny has
        assert text_of(app, "#settings").startswith("tiny")
        await pilot.press("1")
        app.sample_run(other)
        await until(lambda: "other has no checkpoint" in message(app), pilot)


async def test_settings_are_checked_and_drawn(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        form = app.screen
        assert isinstance(form, SampleSettings)
        assert form.query_one("#draw", Button).region.bottom <= 24
        await pilot.press("down", "right", "right")  # checkpoint: step 3
        assert form.query_one("#checkpoint", Choice).value == "3"
        await pilot.press("down", "l", "l")  # ddim
        await pilot.press("down", "down", "right")  # 9 pictures
        await pilot.press("down", "x")
        problem = form.query_one("#problem", Static)
        assert "not a whole number" in str(problem.render())
        assert form.query_one("#draw", Button).disabled
        await pilot.press("enter")
        assert app.screen is form
        await pilot.press("backspace", "7")
        seed = form.query_one("#seed", Input).value
        assert not form.query_one("#draw", Button).disabled
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, SampleView) and done(app), pilot)
        settings = view(app)._settings
        assert settings is not None
        assert (settings.sampler, settings.num, settings.checkpoint) == ("ddim", 9, "3")
        assert settings.seed == int(seed) and str(settings.seed).endswith("7")


async def test_a_start_far_below_the_end_is_noted_in_the_form_and_above_the_pictures(
    tiny_runs: Path,
) -> None:
    config = tiny_runs / "tiny" / "config.toml"
    text = config.read_text().replace("num_inference_steps = 20", "num_inference_steps = 1")
    config.write_text(text.replace('_spacing = "trailing"', '_spacing = "linspace"'))
    note = "sampling starts at t = 0 of 19"
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        form = app.screen
        assert text_of(app, "#advice").startswith(f"{note}: use more steps or ")
        steps = form.query_one("#steps", Choice)
        steps.focus()
        await pilot.press("right")
        await pilot.pause()
        assert int(steps.value) > 1
        assert not form.query_one("#advice").display
        await pilot.press("escape", "d")
        await until(lambda: isinstance(app.screen, SampleView) and done(app), pilot)
        assert text_of(app, "#settings").startswith(f"{note}: use more steps or ")
        await until(lambda: "the result, after 1 step · " in readout(app), pilot)


async def test_escape_in_the_settings_changes_nothing(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        before = view(app)._settings
        await pilot.press("o", "down", "down", "right", "escape")
        await until(lambda: isinstance(app.screen, SampleView), pilot)
        await pilot.pause(0.2)
        assert view(app)._settings == before
        assert trajectory(app) is None


async def test_saving_writes_what_the_shown_command_writes(tiny_runs: Path, tmp_path: Path) -> None:
    app = Workbench(tiny_runs)
    samples = tiny_runs / "tiny" / "samples"
    async with app.run_test(size=(200, 60), notifications=True) as pilot:
        await draw(pilot)
        command = text_of(app, "#command")
        await pilot.press("w")
        await until(lambda: any(n.title == "Saved" for n in app._notifications), pilot)
        notice = next(n.message for n in app._notifications if n.title == "Saved")
    png, gif = next(samples.glob("*.png")), next(samples.glob("*.gif"))
    assert str(png) in notice and gif.name in notice
    program, *words = shlex.split(re.sub(r"^\$ ", "", command))
    assert program == "ddpm-tui"
    assert command.removeprefix("$ ") in notice
    written = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "again")])
    assert written.exit_code == 0, written.output
    again = tmp_path / "again" / png.name
    ours, about = read_png(png)
    theirs, their_about = read_png(again)
    assert about == their_about
    assert (ours == theirs).all()
    assert gif.read_bytes() == (tmp_path / "again" / gif.name).read_bytes()


async def test_the_form_of_a_run_without_classes_asks_for_none(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        assert isinstance(app.screen, SampleSettings)
        assert not any(widget.display for widget in app.screen.query(".asked"))
        assert app.screen.query_one("#range", Choice).display


async def test_the_form_opens_on_a_run_without_a_checkpoint_beside_one_with(
    tiny_runs: Path,
) -> None:
    create_run(tiny_runs, make_config(dataset_size=10_000), name="new", command=[])
    app = Workbench(tiny_runs)
    async with app.run_test() as pilot:
        app.current_run = open_run(tiny_runs, "new")
        await pilot.press("3")
        await until(lambda: "new has no checkpoint" in message(app), pilot)
        await pilot.press("o")
        await pilot.pause()
        form = app.screen
        assert isinstance(form, SampleSettings)
        assert form.query_one("#run", Choice).value == "new"
        assert "new has no checkpoint yet" in text_of(app, "#problem")
        await pilot.press("left")
        assert form.query_one("#run", Choice).value == "tiny"
        await pilot.press("enter")
        await until(lambda: done(app), pilot)


async def test_pictures_are_asked_for_by_name(class_runs: Path) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        form = app.screen
        assert isinstance(form, SampleSettings)
        for widget in form.query(".asked, #draw"):
            assert widget.display
            assert widget.region.bottom <= 23, "nothing is below the dialog's edge"
        form.query_one("#prompt", Input).focus()
        problem = form.query_one("#problem", Static)
        await pilot.press(*"0.6 hat")
        assert "'0.6 hat' in the prompt" in str(problem.render())
        assert "Ankle boot" in str(problem.render())
        assert form.query_one("#draw", Button).disabled
        await pilot.press(*["backspace"] * 3, *"dress + 0.4 coat")
        assert not form.query_one("#draw", Button).disabled
        assert "--prompt '0.6 dress + 0.4 coat'" in str(form.query_one("#summary", Static).render())
        await pilot.press("down", "backspace", "x")
        assert "guidance: 'x' is not a number" in str(problem.render())
        await pilot.press("backspace", *"101")
        assert "sampling.guidance_scale" in str(problem.render())
        await pilot.press("backspace", "backspace", *".5", "enter")
        await until(lambda: isinstance(app.screen, SampleView) and done(app), pilot)
        kept = trajectory(app)
        assert kept is not None
        sampling = kept.recipe.sampling
        assert (sampling.prompt, sampling.guidance_scale) == (
            "0.6 dress + 0.4 coat",
            1.5,
        )


async def test_what_was_asked_for_is_told_and_its_command_draws_the_same(
    class_runs: Path, tmp_path: Path
) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(200, 60), notifications=True) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        form = app.screen
        form.query_one("#sampler", Choice).value = "dpmpp_2m_sde"
        form.query_one("#range", Choice).value = "free"
        form.query_one("#prompt", Input).value = "ankle boot"
        form.query_one("#guidance", Input).value = "2.5"
        form.query_one("#seed", Input).focus()
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, SampleView) and done(app), pilot)
        assert text_of(app, "#settings").startswith("classes · ankle boot · guidance 2.5 · ")
        command = text_of(app, "#command")
        await pilot.press("w")
        await until(lambda: any(n.title == "Saved" for n in app._notifications), pilot)
    png = next((class_runs / "classes" / "samples").glob("*.png"))
    words = shlex.split(command.removeprefix("$ "))[1:]
    written = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "again")])
    assert written.exit_code == 0, written.output
    ours, about = read_png(png)
    theirs, their_about = read_png(tmp_path / "again" / png.name)
    assert about == their_about
    assert (about["prompt"], about["guidance_scale"]) == ("ankle boot", 2.5)
    assert not about["clip_sample"]
    assert (ours == theirs).all()


def test_every_sampler_and_range_of_the_config_is_offered(tiny_runs: Path) -> None:
    fields = SamplingConfig.model_fields
    assert {row["sampler"] for row in SAMPLERS.values()} == set(
        get_args(fields["sampler"].annotation)
    )
    variances = {row["variance_type"] for row in SAMPLERS.values() if row["sampler"] == "ddpm"}
    assert variances == set(get_args(fields["variance_type"].annotation))
    config = make_config(dataset_size=10_000, diffusion={"num_train_timesteps": 20})
    offer = RunOffer(Run(tiny_runs / "tiny"), (3,), config)
    settings = offer.defaults(quick=True)
    options = {param.name: param for param in get_command(cli).commands["sample"].params}
    for name, (own, words) in RANGES.items():
        asked = replace(settings, range=name)
        offer.check(asked)
        sampling = override_sampling(config, asked.overrides())
        assert own.items() <= sampling.model_dump().items()
        assert set(words) <= {w for p in options.values() for w in (*p.opts, *p.secondary_opts)}
        assert (words[0] in asked.command(tiny_runs)) == (name != settings.range)
    for name in SAMPLERS:
        offer.check(replace(settings, sampler=name))


def test_a_run_that_cannot_be_drawn_so_says_why(tiny_runs: Path) -> None:
    config = make_config(dataset_size=10_000, model={"class_conditional": False})
    offer = RunOffer(Run(tiny_runs / "tiny"), (3,), config)
    offer.check(offer.defaults(quick=True))
    with pytest.raises(ConfigError, match="needs a network that was told the classes"):
        offer.check(replace(offer.defaults(quick=True), prompt="dress"))


@pytest.mark.parametrize("sampler", SAMPLERS)
async def test_every_sampler_draws(tiny_runs: Path, sampler: str) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_view(pilot)
        await pilot.press("o")
        app.screen.query_one("#sampler", Choice).value = sampler
        await pilot.press("down", "down", "enter")
        await until(lambda: isinstance(app.screen, SampleView) and done(app), pilot)
        kept = trajectory(app)
        assert kept is not None and kept.num_steps == 20
        assert sampler in text_of(app, "#settings")


async def test_a_damaged_checkpoint_is_told_in_place(tiny_runs: Path) -> None:
    weights = next((tiny_runs / "tiny" / "checkpoints").glob("*/ema.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await open_view(pilot)
        await pilot.press("d")
        await until(lambda: "Nothing was drawn" in message(app), pilot)
        assert any("does not verify" in n.message for n in app._notifications)


async def test_an_unforeseen_error_ends_the_drawing_with_words(
    tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise RuntimeError("out of memory \x1b[31m")

    monkeypatch.setattr(Recording, "append", no_memory)
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await open_view(pilot)
        await pilot.press("d")
        await until(lambda: len(app._notifications) > 0, pilot)
        assert any("out of memory" in n.message for n in app._notifications)
        assert all("\x1b" not in n.message for n in app._notifications)
        assert view(app)._performer is None


async def test_more_than_fits_in_memory_is_refused(
    tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddpm_tui.views.sample.recording.MEMORY_LIMIT", 1000)
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await open_view(pilot)
        await pilot.press("d")
        await until(lambda: "Nothing was drawn" in message(app), pilot)

        def told() -> bool:
            return any("Choose fewer pictures" in note.message for note in app._notifications)

        await until(told, pilot)
