"""The form of a new run: fields explained, errors at the field, the cost before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import rows_of
from ddpm_tui.views import new_run
from ddpm_tui.views.form import MAX_LENGTH, Field, Form, FormRow, setting_field
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.widgets.choice import Choice
from engine.runs.folder import Run
from tests.tui.test_workbench import fill_small_run, until


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run costs is measured for three seconds where somebody relies on it."""
    monkeypatch.setattr(new_run, "_PROBE_SECONDS", 0.1)


def row(app: Workbench, id: str) -> FormRow:
    return next(row for row in app.screen.query(FormRow) if row.field.id == id)


def note(app: Workbench, id: str) -> str:
    return str(row(app, id).query_one(".note", Static).render())


async def type_into(pilot: Pilot[None], id: str, text: str) -> None:
    pilot.app.screen.query_one(f"#{id}", Input).focus()
    await pilot.press(*text)
    await pilot.pause()


def test_a_field_of_the_config_has_its_meaning_bounds_and_choices() -> None:
    batch = setting_field("batch", "batch size", "data.batch_size")
    assert batch.about == "images a training step (≥ 1, ≤ 65,536)"
    loss = setting_field("loss", "loss", "training.loss", first="the preset's")
    assert loss.choices == ("the preset's", "mse", "huber")
    assert setting_field("c", "c", "training.compile").choices == ("yes", "no")


async def test_an_error_stands_at_its_field_and_goes_when_it_is_mended(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        about = note(app, "lr")
        assert "peak learning rate" in about
        await type_into(pilot, "lr", "x")
        assert note(app, "lr") == "✗ 'x' is not a number"
        await pilot.press("backspace", *"99")
        await pilot.pause()
        assert note(app, "lr").startswith("✗ input should be less than or equal to 1")
        assert row(app, "lr").has_class("-wrong")
        assert not row(app, "steps").has_class("-wrong")
        await pilot.press("backspace", "backspace")
        await pilot.pause()
        assert note(app, "lr") == about


@pytest.mark.parametrize(
    ("id", "text", "said"),
    [
        ("settings", "training.snr=5", "There is no setting 'training.snr'"),
        ("settings", "training.steps", "is no setting"),
        ("settings", "training.loss='", "a quote is not closed"),
        ("name", "../x", "not a run name"),
        ("steps", "1.5", "not a whole number"),
    ],
)
async def test_each_field_is_blamed_for_its_own(
    tmp_path: Path, id: str, text: str, said: str
) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        await type_into(pilot, id, text)
        assert said in note(app, id)
        assert [r.field.id for r in app.screen.query(FormRow) if r.problem] == [id]


async def test_a_setting_that_has_its_own_field_is_not_given_twice(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        await type_into(pilot, "steps", "5")
        await type_into(pilot, "settings", "training.steps=6")
        assert "set above already" in note(app, "settings")


async def test_any_setting_can_be_written_and_is_completed_and_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Workbench(tmp_path / "runs")
    monkeypatch.setattr(app, "start_training", lambda _: None)
    async with app.run_test(size=(120, 40)) as pilot:
        await fill_small_run(pilot, "5")
        await type_into(pilot, "settings", "training.loss=huber training.snr_g")
        await pilot.pause(0.2)
        await pilot.press("right", "5")
        assert app.screen.query_one("#settings", Input).value.endswith("training.snr_gamma=5")
        await pilot.press("enter")
        await pilot.pause()
    run = Run(tmp_path / "runs" / "run1")
    assert run.config().training.loss == "huber"
    assert run.config().training.snr_gamma == 5
    assert "training.snr_gamma=5" in (run.path / "env.json").read_text()


async def test_the_focused_field_is_explained_whole_with_its_choices(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(60, 18)) as pilot:
        await pilot.press("n")
        app.screen.query_one("#prediction", Choice).focus()
        await pilot.pause()
        about = str(app.screen.query_one("#about", Static).render())
        assert "what the network predicts: the noise, the image or the velocity" in about
        assert "epsilon · sample · v_prediction" in about


async def test_empty_fields_show_what_the_preset_has(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("n")
        assert app.screen.query_one("#batch", Input).placeholder == "64"
        await pilot.press("right")
        await pilot.pause()
        assert app.screen.query_one("#batch", Input).placeholder == "128"


async def test_a_pasted_megabyte_ends_at_the_length_of_a_field(tmp_path: Path) -> None:
    from textual import events

    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        field = app.screen.query_one("#name", Input)
        field.focus()
        app.post_message(events.Paste("x" * 1_000_000))
        await pilot.pause(0.5)
        assert len(field.value) <= MAX_LENGTH
        await pilot.press("escape")
        assert not isinstance(app.screen, NewRun)


async def test_the_cost_is_measured_and_told_before_anything_begins(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.torch_ready, pilot)
        await fill_small_run(pilot, "40")
        cost = app.screen.query_one("#cost", Static)
        await until(lambda: "images/s measured" in str(cost.render()), pilot)
        text = str(cost.render())
        assert "parameters" in text
        assert "MB of RAM (weights" in text
        assert "for 40 steps on cpu" in text
        await type_into(pilot, "steps", "0")
        assert "measured" not in str(cost.render()), "what was measured was another training"
        assert not (tmp_path / "runs").exists()
        await pilot.press("escape")
        await until(
            lambda: not [w for w in app.workers if w.group == "cost" and w.is_running], pilot
        )


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40), (200, 60)])
async def test_what_is_wrong_what_a_field_means_and_the_cost_are_seen_at_every_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.torch_ready, pilot)
        await fill_small_run(pilot, "40")
        cost = app.screen.query_one("#cost", Static)
        await until(lambda: "images/s measured" in str(cost.render()), pilot)

        def seen() -> str:
            return " ".join("".join(strip.text for strip in rows_of(app)).replace("│", " ").split())

        await pilot.pause()
        assert "images/s measured" in seen()
        assert "timesteps T: T, the length of the forward process" in seen()
        await type_into(pilot, "seed", "x")
        await pilot.pause()
        assert "'x' is not a whole number" in seen()


async def test_up_and_down_go_from_field_to_field_on_a_short_screen_too(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(60, 18)) as pilot:
        await pilot.press("n", *["down"] * 12)
        await pilot.pause()
        name = app.screen.query_one("#name", Input)
        assert name.has_focus
        assert app.screen.region.contains_region(name.region)
        await pilot.press("up", "up")
        assert app.screen.query_one("#settings", Input).has_focus


async def test_arrows_go_along_the_buttons_and_back_to_the_fields(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n", *["down"] * 13)

        async def after(key: str) -> str | None:
            await pilot.press(key)
            return app.screen.focused and app.screen.focused.id

        assert app.screen.focused is not None and app.screen.focused.id == "train"
        assert [await after(key) for key in ("right", "right", "left", "left")] == [
            *("back", "back", "train", "train")
        ]
        assert await after("up") == "name"
        await pilot.press("tab", "right")
        assert await after("up") == "name", "above all the buttons is the last field"
        await pilot.press("down")
        assert await after("down") == "preset"


async def test_of_many_choices_the_first_are_listed_and_all_are_counted() -> None:
    names = tuple(f"run{number}" for number in range(300))
    app = App[None]()
    async with app.run_test() as pilot:
        await app.mount(Form([Field("run", "run", "which one", choices=names)]))
        app.query_one(Choice).focus()
        await pilot.pause()
        about = str(app.query_one("#about", Static).render())
        assert about.startswith("run: which one\n300 choices: run0 · run1 · ")
        assert len(about) < 200


async def test_nothing_is_measured_while_a_training_goes_on(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.torch_ready, pilot)
        await fill_small_run(pilot, "4000")
        await pilot.press("enter")
        await until(lambda: app.training is not None and app.training.alive, pilot)
        await pilot.press("1", "n")
        cost = app.screen.query_one("#cost", Static)
        await until(lambda: "when no training goes on" in str(cost.render()), pilot)
        await pilot.press("escape", "2", "x")
        await until(lambda: app.training is None or not app.training.alive, pilot)
