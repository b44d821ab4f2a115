"""A run that another process trains: looked at and steered through its folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpm_tui.app import Workbench
from ddpm_tui.views.train.facts import Facts
from engine.config import make_config
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, create_run
from engine.runs.requests import Requests
from tests.tui.test_workbench import until


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Run]:
    """A run that is being trained, and not by the workbench."""
    from engine.obeying import obeying
    from engine.train import Trainer

    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 4},
        diffusion={"num_train_timesteps": 8},
        model={"name": "dit", "patch_size": 7, "hidden_size": 32},
        training={"steps": 100_000, "checkpoint_every": 100_000, "preview_every": 0},
        sampling={"num_inference_steps": 4},
    )
    run = create_run(tmp_path / "runs", config, name="elsewhere")
    asked = Requests(run)
    thread = threading.Thread(target=lambda: list(obeying(Trainer(run, device="cpu"), asked)))
    thread.start()
    yield run
    asked.put("stop")
    thread.join(60)


async def test_a_run_of_another_process_is_steered(elsewhere: Run) -> None:
    app = Workbench(elsewhere.path.parent)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(lambda: elsewhere.status().state == "running", pilot)
        app.open_run(elsewhere)
        await pilot.pause()
        facts = app.screen.query_one(Facts)
        await until(lambda: f"by process {elsewhere.status().pid}" in str(facts.render()), pilot)
        assert app.training is None

        await pilot.press("space")
        await until(lambda: elsewhere.status().state == "paused", pilot)
        await until(lambda: facts.snapshot.status.state == "paused", pilot)
        await pilot.press("c")
        await until(lambda: len(list_checkpoints(elsewhere)) == 1, pilot)
        await pilot.press("p")
        await until(lambda: app.screen._snapshot.previews.ema, pilot)
        await pilot.press("space")
        await until(lambda: elsewhere.status().state == "running", pilot)
        await until(lambda: facts.snapshot.status.state == "running", pilot)
        await pilot.press("x")
        await until(lambda: elsewhere.status().state == "stopped", pilot)
        await until(lambda: not app.screen._is_trained, pilot)
        await pilot.press("c")
        assert not (elsewhere.path / "requests").exists() or not any(
            (elsewhere.path / "requests").iterdir()
        ), "nobody is there to be asked"
