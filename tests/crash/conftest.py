"""What the crash tests share: a folder in memory, the data set read once, no waiting."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.train
from tests.crash.life import Life, weights


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder where a sync costs nothing, if there is one."""
    shared = Path("/dev/shm")
    where = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ddpm-tui-crash-", dir=where) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def quick_trainings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.train.load", functools.cache(engine.train.load))
        patch.setattr("engine.train._EVAL_IMAGES", 2)
        patch.setattr("engine.room._TRY_AGAIN_EVERY", 0.002)
        patch.setattr("engine.room._MAY_SPEAK_EVERY", 0.001)
        yield


@pytest.fixture(scope="module")
def undisturbed(memory: Path, quick_trainings: None) -> dict[str, str]:
    """The weights of a life in which nothing went wrong."""
    life = Life(memory / "undisturbed")
    for deed in life.deeds():
        deed()
    return weights(life.run)
