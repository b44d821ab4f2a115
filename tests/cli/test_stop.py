"""What stops a training from outside: `ddpm-tui stop` and the signals of batch systems."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
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


# A command that SIGTERM ends at a moment of its progress.
_ENDED = """
import os, signal
from pathlib import Path
from ddpm_tui import cli
from ddpm_tui.headless.progress import Progress

update = Progress.update

def update_and_end(progress, done, *rest, **more):
    update(progress, done, *rest, **more)
    if {when}:
        os.kill(os.getpid(), signal.SIGTERM)

Progress.update = update_and_end
cli.main()
"""


def ended(verb: str, when: str, folder: Path) -> str:
    """What a command says last that is ended so."""
    program = _ENDED.format(when=when)
    command = [sys.executable, "-c", program, verb, "tiny", "--num", "600"]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 75
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sample", "evaluate"])
def test_what_is_not_a_training_leaves_nothing_half_done(
    trained: Path, tmp_path: Path, verb: str
) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    before = sorted((tmp_path / "runs").rglob("*"))
    assert ended(verb, "done >= 3", tmp_path) == (
        "ddpm-tui: ended by SIGTERM; nothing half done counts"
    )
    assert sorted((tmp_path / "runs").rglob("*")) == before


@pytest.mark.slow
def test_a_large_drawing_that_is_ended_says_what_it_keeps(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    first_piece = "list(Path().glob('runs/tiny/samples/.*.shards/0*'))"
    assert ended("sample", first_piece, tmp_path) == (
        "ddpm-tui: ended by SIGTERM; 256 of 600 pictures are kept; "
        "the same command goes on from there"
    )
    done = run_cli("sample", "tiny", "--num", "600", cwd=tmp_path)
    assert done.returncode == 0
    assert "goes on after 256 of 600 pictures" in done.stderr
    assert not list((tmp_path / "runs/tiny/samples").glob(".*"))


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
