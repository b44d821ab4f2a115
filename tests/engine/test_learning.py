"""The default preset learns, and its pictures are no longer noise: minutes, so marked slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import make_config, override_sampling
from engine.data.dataset import load
from engine.data.range import to_unit
from engine.events import CheckpointSaved
from engine.runs.folder import create_run
from engine.sampling import load_trained
from engine.train import Trainer


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_steps_of_the_default_preset_see_through_the_noise(tmp_path: Path) -> None:
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 32},
        training={"steps": 200, "preview_every": 0},
    )
    run = create_run(tmp_path, config)
    saved = [event for event in Trainer(run) if isinstance(event, CheckpointSaved)]
    assert saved[-1].eval_loss < 0.1, "predicting zero noise scores 1"

    trained = load_trained(run, which="last")
    sampling = override_sampling(config, {"sampler": "ddim", "num_inference_steps": 25})
    *_, last = trained.draw(sampling, 0, range(32))
    pictures, real = last.prev_sample, to_unit(load("fashion-mnist-10k").images[:512])
    # Clothing lies on black: four fifths of the upper border of real pictures are as dark as can
    # be, of noise one fifth.
    assert abs(pictures.mean() - real.mean()) < 0.35
    assert (pictures[..., :2, :] < -0.8).float().mean() > 0.33
