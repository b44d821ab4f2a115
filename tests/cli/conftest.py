"""A run that was really trained, small enough to make in seconds, shared by the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cli.started import run_started

Cli = Callable[..., CompletedProcess[str]]


@dataclass(frozen=True)
class Ended:
    """How a command ended that was called in the process of the test."""

    code: int
    out: str
    err: str


def run_cli(*args: str, cwd: Path, env: dict[str, str] | None = None) -> CompletedProcess[str]:
    """`ddpm-tui ARGS` as a user's shell starts it, with nothing on standard input."""
    own = {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), **(env or {})}
    return run_started(*args, cwd=cwd, env=own)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`ddpm-tui` in an empty folder of its own."""

    def call(*args: str, env: dict[str, str] | None = None) -> CompletedProcess[str]:
        return run_cli(*args, cwd=tmp_path, env=env)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `tiny`, trained for six steps by the command line and sampled from."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_cli(
        *("train", "--dataset", "fashion-mnist-10k", "--steps", "6", "--batch-size", "8"),
        *("--num-train-timesteps", "12", "--name", "tiny", "--unconditional"),
        *("--set", "sampling.sampler=ddpm", "--set", "model.block_out_channels=[16, 32]"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    sampled = run_cli("sample", "tiny", "--num", "4", cwd=folder)
    assert sampled.returncode == 0, sampled.stderr
    return folder / "runs"


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `classes`, a small transformer that was told the classes."""
    folder = tmp_path_factory.mktemp("conditional")
    done = run_cli(
        *("train", "--dataset", "fashion-mnist-10k", "--steps", "4", "--batch-size", "8"),
        *("--model", "dit", "--class-conditional", "--prediction-type", "v_prediction"),
        *("--num-train-timesteps", "8", "--lr-schedule", "constant", "--precision", "fp32"),
        *("--set", "model.patch_size=7", "--set", "model.hidden_size=32"),
        *("--set", "training.loss=huber", "--set", "training.preview_every=0"),
        *("--set", "sampling.prompt=dress", "--name", "classes"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs"
