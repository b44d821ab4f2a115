"""A training outlives its terminal, and goes from one process to another."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.config import make_config
from engine.runs.folder import Run, create_run
from engine.runs.metrics import Metrics
from engine.runs.requests import ask
from tests.cli.conftest import run_cli
from tests.terminal.harness import ENTER, Terminal, workbench

pytestmark = pytest.mark.slow  # a terminal or two, and processes that load torch, for each

_SMALL = (
    *("--dataset", "fashion-mnist-10k", "--model", "article", "--steps", "1000000"),
    *("--batch-size", "4", "--num-train-timesteps", "8", "--name", "mine"),
    *("--set", "training.log_every=5", "--set", "training.checkpoint_every=1000000"),
)


def rows(run: Run) -> int:
    return len(Metrics(run.metrics_path).read_all())


def until(seen: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def training(terminal: Terminal) -> None:
    terminal.wait_for("training mine")
    terminal.wait_for("images/s")


def hang_up(terminal: Terminal, how: str) -> None:
    if how == "kill -HUP":
        terminal.process.send_signal(signal.SIGHUP)
    else:
        terminal.vanish()


@pytest.mark.parametrize("how", ["the window is closed", "kill -HUP"])
def test_a_training_goes_on_without_its_terminal(tmp_path: Path, how: str) -> None:
    run = Run(tmp_path / "runs/mine")
    with workbench(tmp_path, "train", "--tui", *_SMALL) as terminal:
        training(terminal)
        before = rows(run)
        hang_up(terminal, how)
        until(lambda: rows(run) > before)
        until(lambda: "trains on without it" in run.log_path.read_text())
        process = psutil.Process(terminal.process.pid)
        until(lambda: "leaving" not in (thread_names(process)))

        # At rest it takes nothing: all that it takes otherwise is the training's.
        ask(run, "pause")
        until(lambda: run.status().state == "paused")
        time.sleep(0.5)
        used = sum(process.cpu_times()[:2])
        time.sleep(2.0)
        assert sum(process.cpu_times()[:2]) - used < 0.1

        with workbench(tmp_path, "watch", "mine", size=(120, 40)) as second:
            second.wait_for("paused")
            second.wait_for(f"by process {process.pid}")
            second.press("x", "c", "p", " ")  # which do nothing
            second.wait_for("only watching")
            second.press("q")
            assert second.process.wait(20) == 0
        assert run.status().state == "paused"
        with workbench(tmp_path, size=(120, 40)) as third:
            third.wait_for("paused")
            third.press(ENTER)
            third.wait_for(f"by process {process.pid}")
            third.press(" ")
            until(lambda: run.status().state == "running")
            third.press("x")
            until(lambda: run.status().state == "stopped")
            third.press("q")
            third.process.wait(20)
        assert terminal.process.wait(20) == 130
    status = run.status()
    assert (run.checkpoints_path / f"step-{status.step:08d}").is_dir()
    assert b"Traceback" not in terminal.received


def thread_names(process: psutil.Process) -> list[str]:
    tasks = Path(f"/proc/{process.pid}/task")
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((signal.SIGUSR1,), 75),
        ((signal.SIGTERM, signal.SIGTERM), 75),
        ((signal.SIGINT, signal.SIGTERM, signal.SIGINT), 130),
    ],
)
def test_a_workbench_that_is_called_away_saves_and_says_so_by_its_code(
    tmp_path: Path, kinds: tuple[signal.Signals, ...], code: int
) -> None:
    run = Run(tmp_path / "runs/mine")
    with workbench(tmp_path, "train", "--tui", *_SMALL) as terminal:
        training(terminal)
        for number in kinds:
            terminal.process.send_signal(number)
            time.sleep(0.1)  # as a scheduler may; at any other moment it is the same
        assert terminal.process.wait(60) == code
        until(lambda: b"\x1b[?1049l" in terminal.received)
        assert b"Traceback" not in terminal.received
    status = run.status()
    by = "the user" if code == 130 else kinds[0].name
    assert status.reason == f"stopped by {by}"
    assert status.state == "stopped" and status.step > 0
    assert (run.checkpoints_path / f"step-{status.step:08d}").is_dir()


def test_quitting_can_leave_the_training_to_a_process_of_its_own(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs/mine")
    with workbench(tmp_path, "train", "--tui", *_SMALL) as terminal:
        training(terminal)
        terminal.press("q")
        terminal.wait_for("Leave, and let it train on")
        terminal.press("d")
        assert terminal.process.wait(60) == 0
        time.sleep(0.2)
        assert b"mine is trained by process" in terminal.received
    status = run.status()
    assert status.state == "running"
    assert os.getsid(status.pid) == status.pid, "no terminal can take it along"
    log = run.log_path.read_text()
    saved = re.search(r"checkpoint at step (\d+)", log)
    assert saved and f"training from step {saved[1]} " in log, "no step is done twice"
    before = rows(run)
    until(lambda: rows(run) > before, 5)
    assert run_cli("stop", "mine", cwd=tmp_path).returncode == 0
    assert run.status().state == "stopped"
    steps = list(Metrics(run.metrics_path).read_all().columns["step"])
    assert steps == [5 * (1 + index) for index in range(len(steps))]


def test_a_training_is_detached_from_the_shell(tmp_path: Path) -> None:
    done = run_cli("train", *_SMALL, "--detach", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    run = Run(tmp_path / "runs" / told["name"])
    assert run.status().state == "running"
    assert run.status().pid == told["pid"] == os.getsid(told["pid"])
    os.kill(told["pid"], signal.SIGHUP)  # what a dying login shell sends
    before = rows(run)
    until(lambda: rows(run) > before, 5)
    again = run_cli("resume", "mine", "--detach", cwd=tmp_path)
    assert again.returncode == 1
    assert "is being trained by another process" in again.stderr
    assert run_cli("stop", "mine", cwd=tmp_path).returncode == 0


def test_what_cannot_train_detached_says_why(tmp_path: Path) -> None:
    assert run_cli("train", *_SMALL, "--detach", "--quiet", cwd=tmp_path).stdout == "mine\n"
    assert run_cli("stop", "mine", cwd=tmp_path).returncode == 0
    weights = next((tmp_path / "runs/mine/checkpoints").glob("*/model.safetensors"))
    weights.write_bytes(b"rotten")
    done = run_cli("resume", "mine", "--detach", cwd=tmp_path)
    assert done.returncode == 1
    assert "No checkpoint of mine can be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_errors_of_a_detached_training_go_through_no_link(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", make_config(dataset_size=100), name="mine", command=[])
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    run.log_path.unlink(missing_ok=True)
    run.log_path.symlink_to(other)
    done = run_cli("resume", "mine", "--detach", cwd=tmp_path)
    assert done.returncode == 1
    assert "is a link" in done.stderr and "Traceback" not in done.stderr
    assert other.read_text() == "mine"
