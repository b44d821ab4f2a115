"""A batch system stops a training by SIGSTOP and lets it go on: the stop is no time of training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.started import start

pytestmark = pytest.mark.slow  # a training that is stopped for some seconds

# What a stop counts, see `engine.running_time`, in seconds.
_COUNTED = 0.5
# How often another process counts while the training is stopped, and between two counts.
_TICKS, _TICK = 30, 0.1
_TRAIN = (
    *("train", "--dataset", "fashion-mnist-10k", "--model", "dit", "--steps", "1000000"),
    *("--batch-size", "1024", "--num-train-timesteps", "8", "--name", "mine", "--device", "cpu"),
    *("--set", "training.log_every=1", "--set", "training.preview_every=0"),
    *("--set", "training.checkpoint_every=1000000", "--set", "model.hidden_size=128"),
    *("--set", "model.patch_size=7"),
)


def until(seen: Callable[[], bool]) -> None:
    while not seen():
        time.sleep(0.005)


def stop_in_a_step(process: psutil.Process) -> float:
    """Stop it while it computes, until another process has counted; seconds that it stood."""

    def used() -> float:
        return sum(process.cpu_times()[:2])

    before = used()
    until(lambda: used() > before + 0.7)
    process.send_signal(signal.SIGSTOP)
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    began = time.monotonic()
    ticks = f"import time\nfor _ in range({_TICKS}): time.sleep({_TICK})"
    subprocess.run([sys.executable, "-c", ticks], check=True)
    stop = time.monotonic() - began
    process.send_signal(signal.SIGCONT)
    return stop


def test_a_stop_is_not_counted_as_training(tmp_path: Path) -> None:
    """Compared with what surely passed: a slow machine widens the bound, and nothing else."""
    process = start(
        *_TRAIN, cwd=tmp_path, env=dict(os.environ), out=tmp_path / "out", err=tmp_path / "err"
    )
    pid = process.pid
    assert pid is not None
    try:
        metrics = tmp_path / "runs/mine/metrics.jsonl"

        def rows() -> list[dict[str, Any]]:
            assert process.is_alive(), (tmp_path / "err").read_text()
            whole = metrics.read_text().rpartition("\n")[0] if metrics.exists() else ""
            return [json.loads(line) for line in whole.splitlines()]

        until(lambda: len(rows()) > 1)
        few, began = len(rows()), time.monotonic()
        # What comes after the next row was measured after `began`.
        until(lambda: len(rows()) > few + 1)
        before = rows()[few + 1]["elapsed"]
        stops = [stop_in_a_step(psutil.Process(pid)) for _ in range(3)]
        many = len(rows())
        until(lambda: len(rows()) > many + 1)
        os.kill(pid, signal.SIGTERM)
        process.join()
        passed = time.monotonic() - began
        status = json.loads((metrics.parent / "status.json").read_text())
        assert status["elapsed"] - before <= passed - sum(stops) + len(stops) * _COUNTED
    finally:
        process.kill()
        process.join()
