"""`ddpm-tui sample` killed by SIGKILL: the same command goes on, and nothing is left over."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.data import SOURCES
from tests.cli.conftest import run_cli
from tests.cli.started import start

SAMPLE = ("sample", "classes", "--num", "600", "--steps", "4", "--prompt", "")


def pieces(samples: Path) -> list[Path]:
    return sorted(samples.glob(".*.shards/0*"))


def merging(samples: Path) -> list[Path]:
    """The .npy while it is made, or what comes after it."""
    return [*samples.glob(".*.npy.*.tmp"), *samples.glob("*.npy")]


def kill_when(folder: Path, seen: Callable[[Path], bool]) -> None:
    """Start the drawing, and kill it as soon as something is on the disk."""
    process = start(
        *SAMPLE,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        out=folder / "out",
        err=folder / "err",
    )
    samples = folder / "runs" / "classes" / "samples"
    while not seen(samples):
        assert process.is_alive(), (folder / "err").read_text()
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.fixture(scope="module")
def uninterrupted(conditional: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    shutil.copytree(conditional, folder / "runs")
    done = run_cli(*SAMPLE, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "goes on" not in done.stderr
    return folder / "runs" / "classes" / "samples"


def files(samples: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in samples.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seen", "drawn"),
    [
        (lambda samples: len(pieces(samples)) == 1, 256),
        (lambda samples: len(pieces(samples)) == 2, 512),
        (merging, 600),
    ],
    ids=["after the first piece", "after the second", "while the .npy is written"],
)
def test_a_killed_drawing_goes_on(
    conditional: Path, uninterrupted: Path, tmp_path: Path, seen, drawn: int
) -> None:
    shutil.copytree(conditional, tmp_path / "runs")
    samples = tmp_path / "runs" / "classes" / "samples"
    kill_when(tmp_path, seen)
    again = run_cli(*SAMPLE, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    kept = [number for number in ("256", "512", "600") if f"after {number} of 600" in again.stderr]
    assert kept, again.stderr
    assert int(kept[0]) >= int(drawn), "a busy machine kills late, never early"
    assert files(samples) == files(uninterrupted)


def test_labels_lie_beside_the_pictures(uninterrupted: Path) -> None:
    (labels,) = uninterrupted.glob("*.labels.npy")
    (pictures,) = set(uninterrupted.glob("*.npy")) - {labels}
    assert labels.name == f"{pictures.stem}.labels.npy"
    there = np.load(labels)
    assert (there.dtype, there.shape) == (np.int64, (600,))
    classes = len(SOURCES["fashion-mnist-10k"].class_names)
    np.testing.assert_array_equal(there, np.arange(600) % classes)
    assert np.load(pictures).shape == (600, 1, 28, 28)
