"""A real training on a real small file system that fills up, and gets room again.

Needs the right to mount; what happens where a quota or a disk is full at any call whatever is in
`test_every_call_fails.py`, which needs nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run
from engine.runs.metrics import Metrics
from tests.cli.conftest import run_cli
from tests.crash.life import weights

STEPS = 120
_TRAIN = (
    *("train", "--dataset", "fashion-mnist-10k", "--name", "tiny", "--model", "dit"),
    *("--steps", str(STEPS), "--batch-size", "4", "--num-train-timesteps", "8"),
    *("--precision", "fp32", "--unconditional", "--device", "cpu"),
    *(
        "--set",
        "model.patch_size=14",
        "--set",
        "model.num_layers=1",
        "--set",
        "model.hidden_size=32",
    ),
    *("--set", "training.checkpoint_every=20", "--set", "training.keep_checkpoints=100"),
    *("--set", "training.log_every=1", "--set", "training.preview_every=70"),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mounting, capture_output=True, text=True, timeout=10)
    except OSError as error:
        pytest.skip(f"cannot mount here: {error}")
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_cli(*_TRAIN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return weights(Run(folder / "runs/tiny"))


class Training:
    """`ddpm-tui train` in a folder; what it says is read from files."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(folder / "runs/tiny")
        self.said = folder.with_name("said")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ddpm_tui", *_TRAIN],
                cwd=folder,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )

    def until(self, done: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, self.said.read_text()
            time.sleep(0.02)

    def until_said(self, words: str) -> None:
        self.until(lambda: words in self.said.read_text())


@contextmanager
def training(folder: Path) -> Iterator[Training]:
    """One that has saved a checkpoint."""
    started = Training(folder)
    try:
        started.until(lambda: bool(list_checkpoints(started.run)))
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def fill(disk: Path) -> Path:
    """Take all the room there is, down to the last byte."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"0")
    return ballast


def check(run: Run, undisturbed: dict[str, str]) -> None:
    assert weights(run) == undisturbed
    steps = Metrics(run.metrics_path).read_all().columns["step"]
    assert list(steps) == list(range(1, STEPS + 1))
    assert (run.status().state, run.status().reason) == ("finished", "")
    assert [path for path in run.path.rglob(".*") if path.suffix in (".tmp", ".old")] == []


@pytest.mark.slow
def test_a_training_waits_until_a_full_disk_has_room(small_disk: Path, undisturbed) -> None:
    with training(small_disk) as it:
        ballast = fill(small_disk)
        it.until_said("the training waits for room on the disk")
        it.until(lambda: it.run.status().state == "paused")
        status = it.run.status()
        assert "No space left on device" in status.reason
        kept = list_checkpoints(it.run)[-1]
        kept.verify()
        shown = run_cli("show", "tiny", cwd=small_disk)
        assert "paused: the training waits for room" in shown.stdout
        listed = run_cli("runs", cwd=small_disk)
        assert "tiny: the training waits for room" in listed.stdout
        time.sleep(6)
        assert it.process.poll() is None
        assert it.run.status().step == status.step
        ballast.unlink()
        it.until_said("there is room again")
        assert it.process.wait(120) == 0, it.said.read_text()
        assert "there is room again" in it.run.log_path.read_text()
    check(it.run, undisturbed)


@pytest.mark.slow
def test_a_training_that_waits_for_room_can_be_stopped(small_disk: Path, undisturbed) -> None:
    with training(small_disk) as it:
        ballast = fill(small_disk)
        it.until_said("the training waits for room on the disk")
        it.process.send_signal(signal.SIGINT)
        assert it.process.wait(60) == 130, it.said.read_text()
        assert "no checkpoint was saved at step" in it.said.read_text()
    assert json.loads((it.run.path / "status.json").read_text())["state"] == "stopped"
    newest = list_checkpoints(it.run)[-1]
    newest.verify()
    ballast.unlink()
    done = run_cli("resume", "tiny", cwd=small_disk)
    assert done.returncode == 0, done.stderr
    assert f"from step {newest.step:,} to" in done.stderr
    check(it.run, undisturbed)
