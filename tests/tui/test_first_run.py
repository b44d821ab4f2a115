"""A newcomer: two keys to moving pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Static

from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import rows_of
from ddpm_tui.views import first_run
from ddpm_tui.views.train import TrainView
from ddpm_tui.views.train.pictures import GridHistory
from engine.config import make_config
from tests.tui.test_workbench import until


def test_the_first_model_is_the_default_one_with_early_pictures() -> None:
    config = first_run.first_config(None)
    assert config.preset == "default"
    assert config.training.preview_every == 20
    plain = make_config(dataset_size=60_000, data={"dataset": config.data.dataset})
    changed = {"preview_every": plain.training.preview_every}
    assert (
        config.model_copy(update={"training": config.training.model_copy(update=changed)}) == plain
    )


async def test_one_key_trains_and_pictures_move(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        empty = app.screen.query_one("#empty", Static)
        await until(lambda: "No runs yet" in str(empty.render()), pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, TrainView)
        grid = app.screen.query_one(GridHistory)
        painted = set()

        def moved() -> bool:
            painted.add(str(grid.border_title))
            return len([title for title in painted if "painting" in title]) >= 2

        await until(moved, pilot, seconds=90)
        await pilot.press("x")
        await until(lambda: app.training is None or not app.training.alive, pilot)
    assert (tmp_path / "runs" / "run1" / "checkpoints").is_dir()


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (200, 60)])
async def test_every_key_that_is_named_is_seen_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=size) as pilot:
        empty = app.screen.query_one("#empty", Static)
        await until(lambda: "No runs yet" in str(empty.render()), pilot)
        text = "\n".join(strip.text for strip in rows_of(app))
        for id in ("runs.open", "runs.new", "app.forward", "app.keys", "app.leave"):
            assert f"  {app.key_table[id].display:<8}" in text
        if size != (60, 18):
            assert "checkpoints and pictures." in " ".join(text.split()), "to the last word"
