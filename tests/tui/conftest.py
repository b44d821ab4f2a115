"""A run that was really trained, in a few seconds, for the views to show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.config import make_config
from engine.runs.folder import create_run


@pytest.fixture(scope="session")
def _tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from engine.train import Trainer

    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 8},
        diffusion={"num_train_timesteps": 20},
        model={"block_out_channels": (8, 16), "norm_num_groups": 4, "attention_levels": ()},
        training={"steps": 3, "preview_every": 0},
        sampling={"num": 4},
    )
    runs = tmp_path_factory.mktemp("tiny") / "runs"
    run = create_run(runs, config, name="tiny", command=["ddpm-tui", "train"])
    for _ in Trainer(run, device="cpu"):
        pass
    return runs


@pytest.fixture
def tiny_runs(_tiny_runs: Path, tmp_path: Path) -> Path:
    """A runs folder of one's own with the run `tiny`: three steps of training, T = 20."""
    return Path(shutil.copytree(_tiny_runs, tmp_path / "runs"))
