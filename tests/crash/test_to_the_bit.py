"""However often a training is killed, preempted or handed over, it ends with the same bits.

DDPM_TUI_KILLS=500 pytest tests/crash/test_to_the_bit.py -m slow -s
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from ddpm_tui.headless.detaching import detach
from ddpm_tui.worker import TrainingThread
from engine.config import make_config
from engine.errors import RunError
from engine.runs.checkpoint import list_checkpoints, newest_verified
from engine.runs.folder import Run, create_run, list_runs
from engine.runs.requests import ask
from tests.cli.started import start

_KILLS = int(os.environ.get("DDPM_TUI_KILLS", "5"))
_STEPS = 100
# What tells how long something took.
_CLOCKS = ("images_per_second", "elapsed")
# Most signals come up to so many steps after the training began, the others while it loads. Steps
# and not seconds: on a slow machine seconds would end every trainer before it has got anywhere.
_WHILE_IT_TRAINS, _MOST_STEPS, _LOADS = 0.85, 25, 0.8


def new_run(folder: Path, name: str) -> Run:
    """The default recipe on a network that takes a step in milliseconds, saved at every third."""
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 64},
        diffusion={"num_train_timesteps": 8},
        model={"name": "dit", "patch_size": 7, "hidden_size": 32},
        training={"steps": _STEPS, "checkpoint_every": 3, "preview_every": 25, "log_every": 2},
        sampling={"num_inference_steps": 2},
        preview={"num": 2, "num_inference_steps": 2},
    )
    return create_run(folder, config, name=name)


def resume(run: Run) -> ForkServerProcess:
    """`ddpm-tui resume`, in a process of its own."""
    folder = run.path.parent.parent
    said = folder / "said"
    arguments = ("resume", run.name, "--quiet", "--runs-dir", str(run.path.parent))
    return start(*arguments, cwd=folder, env=dict(os.environ), out=said, err=said)


def weights(run: Run) -> dict[str, str]:
    """The digest of every tensor file of the last checkpoint."""
    last = list_checkpoints(run)[-1]
    assert last.step == _STEPS
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(last.path.glob("*.safetensors"))
    }


def metrics(run: Run) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in _CLOCKS} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "runs", "mine")
    process = resume(run)
    process.join(120)
    assert process.exitcode == 0
    return run


def disturb(run: Run, number: signal.Signals, moments: random.Random) -> int:
    """Train a run to its end, with a signal to one trainer after the other at random moments.

    Returns:
        How many trainers it ended.
    """
    ended = 0
    while True:
        process = resume(run)
        if moments.random() < _WHILE_IT_TRAINS:
            aim = run.status().step + moments.randint(1, _MOST_STEPS)
            while process.is_alive() and run.status().step < aim:
                time.sleep(0.005)
            process.join(moments.uniform(0.0, 0.02))
        else:
            process.join(moments.uniform(0.0, _LOADS))
        if process.is_alive():
            assert process.pid is not None
            with suppress(ProcessLookupError):  # it may end in this very moment
                os.kill(process.pid, number)
        process.join(60)
        if process.exitcode == 0:
            return ended
        # While Python starts, a signal does what it does to any program.
        assert process.exitcode in (-number, 75), said(run)
        ended += 1
        newest, problems = newest_verified(run)
        assert not problems
        assert newest is not None or not run.metrics_path.exists() or len(metrics(run)) < 2
        assert list_runs(run.path.parent) == [run]


def said(run: Run) -> str:
    return (run.path.parent.parent / "said").read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_is_ended_at_random_moments(
    undisturbed: Run, tmp_path: Path, number: signal.Signals
) -> None:
    began, ended, runs, trained = time.monotonic(), 0, 0, 0
    moments = random.Random(number)
    while ended < _KILLS:
        runs += 1
        run = new_run(tmp_path / f"{runs}" / "runs", "mine")
        ended += disturb(run, number, moments)
        assert weights(run) == weights(undisturbed)
        assert metrics(run) == metrics(undisturbed)
        assert not litter(run)
        trained += run.log_path.read_text().count("training from step") - 1
    assert trained >= ended / 2, "the signals came too early"
    print(
        f"\n{ended} times {number.name}, {trained} of them while it trained, in {runs} trainings "
        f"of {_STEPS} steps that all ended with the same bits; {time.monotonic() - began:.0f} s",
        file=sys.stderr,
    )


def litter(run: Run) -> list[str]:
    return [
        str(path) for path in run.path.parent.rglob(".*") if path.name.endswith((".tmp", ".old"))
    ]


@pytest.mark.slow
def test_a_training_that_goes_from_thread_to_process_and_back(
    undisturbed: Run, tmp_path: Path
) -> None:
    run = new_run(tmp_path / "runs", "mine")
    moments, times = random.Random(1), 0
    while run.status().state != "finished":
        thread = TrainingThread(run, lambda _message: None, device="cpu")
        thread.start()
        wait_for_steps(run, moments.randint(1, 15))
        thread.request("stop")
        thread.join(60)
        if run.status().state == "finished":
            break
        detach(run, device="cpu")
        times += 1
        wait_for_steps(run, moments.randint(1, 15))
        with suppress(RunError):  # it was just finished
            ask(run, "stop")
        while run.is_locked():
            time.sleep(0.05)
    assert weights(run) == weights(undisturbed)
    assert metrics(run) == metrics(undisturbed)
    print(f"\n{times} times from a thread to a process and back", file=sys.stderr)


def wait_for_steps(run: Run, steps: int) -> None:
    """Until that many more are done, or the run is."""
    began = run.status().step
    end = time.monotonic() + 60
    while run.status().step < began + steps and run.status().state != "finished":
        assert time.monotonic() < end, run.status()
        time.sleep(0.01)
