"""What stops a training from outside: `ddpm-tui stop` and the signals of batch systems."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import run_cli

_TRAIN = (
    *("train", "--dataset", "fashion-mnist-10k", "--name", "tiny", "--model", "article"),
    *("--steps", "100000", "--batch-size", "4", "--num-train-timesteps", "8", "--json"),
    *("--set", "training.preview_every=0"),
)


@contextmanager
def training(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A training that has logged its first row."""
    command = [sys.executable, "-m", "ddpm_tui", *_TRAIN]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any('"event": "log"' in line for line in process.stdout)
        yield process
        process.stdout.read()


def step(folder: Path) -> int:
    """Of the run, which must have stopped with a checkpoint."""
    status = json.loads((folder / "runs/tiny/status.json").read_text())
    assert status["state"] == "stopped"
    assert (folder / f"runs/tiny/checkpoints/step-{status['step']:08}").is_dir()
    return int(status["step"])


@pytest.mark.slow
def test_stop_saves_a_checkpoint_and_waits_for_it(tmp_path: Path) -> None:
    with training(tmp_path) as process:
        done = run_cli("stop", "tiny", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        at = step(tmp_path)
        assert done.stdout == f"tiny stopped at step {at:,}; go on with: ddpm-tui resume tiny\n"
    assert process.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_preempted_training_saves_a_checkpoint_and_says_so_by_its_code(
    tmp_path: Path, number: signal.Signals
) -> None:
    with training(tmp_path) as process:
        process.send_signal(number)
    assert process.returncode == 75
    assert step(tmp_path) > 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sample", "evaluate"])
def test_what_is_not_a_training_leaves_nothing_half_done(
    trained: Path, tmp_path: Path, verb: str
) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    before = sorted((tmp_path / "runs").rglob("*"))
    command = [sys.executable, "-m", "ddpm_tui", verb, "tiny", "--num", "200000"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(6)  # it would take minutes
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=20)[1]
    assert process.returncode == 75
    assert told.splitlines()[-1] == "ddpm-tui: ended by SIGTERM; nothing half done counts"
    assert sorted((tmp_path / "runs").rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGHUP, 130)]
)
def test_a_doctor_that_is_called_away_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "runs").mkdir()
    command = [sys.executable, "-u", "-m", "ddpm_tui", "doctor"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # the first findings; the folder of the runs comes later
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == code
    assert list((tmp_path / "runs").iterdir()) == []


def test_there_is_nothing_to_stop(trained: Path, tmp_path: Path) -> None:
    done = run_cli("stop", "tiny", "--runs-dir", str(trained), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("ddpm-tui: tiny is not being trained")
    assert "Traceback" not in done.stderr
