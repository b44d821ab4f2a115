"""What a training would cost, held against what one really takes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config import RunConfig, make_config
from engine.cost import estimate
from engine.errors import DataError
from engine.runs.folder import create_run
from engine.train import Trainer
from tests.support.clock import Clock


def small(**tables: dict[str, Any]) -> RunConfig:
    return make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 8, **tables.pop("data", {})},
        model={"block_out_channels": (8, 16), "norm_num_groups": 4, **tables.pop("model", {})},
        **tables,
    )


def trained(config: RunConfig, folder: Path) -> Trainer:
    """A trainer after three steps."""
    trainer = Trainer(create_run(folder, config), device="cpu")
    for step in range(3):
        trainer._training_step()
        trainer.step = step + 1
    return trainer


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_weights_and_optimizer_are_counted_as_they_are_after_a_step(
    tmp_path: Path, optimizer: str
) -> None:
    config = small(training={"optimizer": optimizer})
    cost = next(estimate(config, device="cpu"))
    trainer = trained(config, tmp_path)
    network = list(trainer.model.parameters())
    assert cost.parameters == sum(p.numel() for p in network)
    assert cost.weights == 2 * 4 * cost.parameters, "the weights and their average"
    moments = sum(
        tensor.numel() * 4
        for state in trainer.optimizer.state.values()
        for tensor in state.values()
        if tensor.dim()
    )
    gradients = 4 * cost.parameters
    assert cost.optimizer == gradients + moments


def test_without_an_average_the_weights_are_there_once() -> None:
    cost = next(estimate(small(training={"ema_decay": 0.0}), device="cpu"))
    assert cost.weights == 4 * cost.parameters


@pytest.mark.parametrize(
    ("name", "precision"),
    [("unet", "fp32"), ("unet", "bf16"), ("dit", "fp32"), ("dit", "bf16"), ("article", "fp32")],
)
def test_what_a_step_keeps_for_its_backward_pass_is_what_autograd_holds(
    tmp_path: Path, name: str, precision: str
) -> None:
    model = {"name": name, "class_conditional": False, "patch_size": 1 if name == "article" else 2}
    config = small(model=model, training={"precision": precision})
    cost = next(estimate(config, device="cpu"))
    trainer = Trainer(create_run(tmp_path, config), device="cpu")
    own = {p.untyped_storage().data_ptr() for p in trainer.model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.loss(trainer.draw_batch(0))
    real = sum(t.untyped_storage().nbytes() for key, t in held.items() if key not in own)
    assert cost.activations == pytest.approx(real, rel=0.05)


def test_activations_grow_with_the_batch_and_not_with_its_pieces() -> None:
    def activations(**training: int) -> int:
        config = small(data={"batch_size": 32}, training=training)
        return next(estimate(config, device="cpu")).activations

    whole, half = activations(), activations(gradient_accumulation_steps=2)
    assert half == pytest.approx(whole / 2, rel=0.05)


def test_the_speed_is_of_the_steps_that_were_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that a step of 8 images moves by a quarter of a second."""
    clock = Clock()
    monkeypatch.setattr("engine.cost.time", clock)
    monkeypatch.setattr(Trainer, "_training_step", clock.moved_by(Trainer._training_step, 0.25))
    config = small(training={"steps": 500})
    costs = estimate(config, device="cpu")
    first = next(costs)
    assert first.seconds is None
    for _ in range(3):
        cost = next(costs)
        clock.at += 100  # whoever pulls has time
        assert cost.images_per_second == 8 / 0.25
        assert cost.seconds == 500 * 0.25
    costs.close()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    costs = estimate(small(), device="cpu")
    next(costs)
    assert list(tmp_path.iterdir())
    costs.close()
    assert not list(tmp_path.iterdir())


def test_data_that_is_not_there_is_said_as_training_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.data import sources

    monkeypatch.setattr(sources, "_roots", lambda _: iter(()))
    config = make_config(dataset_size=60_000, data={"dataset": "mnist"})
    with pytest.raises(DataError):
        next(estimate(config, device="cpu", data_dir=tmp_path))
