"""A run that was really trained, in a few seconds, for the views to show."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.config import make_config
from engine.runs.folder import create_run
from tests.tui.idle import wait_for_idle


@pytest.fixture(autouse=True)
def _no_wait_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("app", "pilot"):
        monkeypatch.setattr(f"textual.{module}.wait_for_idle", wait_for_idle)


def train(runs: Path, name: str, **model: Any) -> Path:
    """A runs folder with a run of three steps, T = 20."""
    from engine.train import Trainer

    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 8},
        diffusion={"num_train_timesteps": 20},
        model={
            "class_conditional": False,
            "block_out_channels": (8, 16),
            "norm_num_groups": 4,
            "attention_levels": (),
            **model,
        },
        training={"steps": 3, "preview_every": 0},
        sampling={"num": 4, "sampler": "ddpm", "num_inference_steps": 20},
    )
    run = create_run(runs, config, name=name, command=["ddpm-tui", "train"])
    for _ in Trainer(run, device="cpu"):
        pass
    return runs


@pytest.fixture(scope="session")
def _tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("tiny") / "runs", "tiny")


@pytest.fixture(scope="session")
def _class_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("classes") / "runs", "classes", class_conditional=True)


@pytest.fixture
def tiny_runs(_tiny_runs: Path, tmp_path: Path) -> Path:
    """A runs folder of one's own with the run `tiny`: three steps of training, T = 20."""
    return Path(shutil.copytree(_tiny_runs, tmp_path / "runs"))


@pytest.fixture
def class_runs(_class_runs: Path, tmp_path: Path) -> Path:
    """A runs folder of one's own with the run `classes`, whose network was told the classes."""
    return Path(shutil.copytree(_class_runs, tmp_path / "class-runs"))
