"""What the tests of the engine share: a small config, the article's own text."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.config import RunConfig, make_config

ROOT = Path(__file__).parents[2]

# The plain DDPM of Ho et al., whatever the default preset is at present.
TINY: dict[str, dict[str, Any]] = {
    "data": {"dataset": "fashion-mnist-10k", "batch_size": 8},
    "diffusion": {
        "num_train_timesteps": 50,
        "beta_schedule": "linear",
        "prediction_type": "epsilon",
    },
    "model": {
        "class_conditional": False,
        "patch_size": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "attention_levels": (),
        "attention_head_dim": 8,
    },
    "training": {
        "steps": 6,
        "optimizer": "adamw",
        "lr": 1e-3,
        "lr_warmup_steps": 2,
        "precision": "fp32",
        "log_every": 2,
        "preview_every": 0,
        "preview_raw": False,
        "checkpoint_every": 100,
    },
    "sampling": {"num": 4, "sampler": "ddpm", "num_inference_steps": 50},
    "preview": {"num": 2, "sampler": "ddim", "num_inference_steps": 3},
}

TinyConfig = Callable[..., RunConfig]


@pytest.fixture(scope="session")
def tiny_config() -> TinyConfig:
    """A config that trains in milliseconds a step; tables given as arguments are merged in."""

    def build(**overrides: Any) -> RunConfig:
        merged: dict[str, Any] = {**TINY}
        for key, value in overrides.items():
            merged[key] = {**TINY.get(key, {}), **value} if isinstance(value, dict) else value
        return make_config(dataset_size=10_000, **merged)

    return build


def _printed(text: str, head: str) -> str:
    """The first block of code in the article that starts with `head`, up to unindented text."""
    lines = text[text.index(f"\n{head}") + 1 :].splitlines()
    body = takewhile(lambda line: not line.strip() or line.startswith(" "), lines[1:])
    return "\n".join([lines[0], *body])


@pytest.fixture(scope="session")
def article() -> dict[str, Any]:
    """What the article defines, by name, from its text beside the repository; {} without it.

    `MyUNet` needs a `MyBlock` in here, which the article never prints.
    """
    namespace: dict[str, Any] = {}
    for path in sorted((ROOT.parent / "shared" / "seeds").glob("*.txt")):
        text = path.read_text(encoding="utf-8").replace("\xa0", " ")
        if "\nclass MyUNet(" in text:
            namespace |= {"torch": torch, "nn": nn}
            for head in ("def sinusoidal_embedding(", "class MyUNet("):
                exec(_printed(text, head), namespace)
    return namespace
