"""A clock that stands still while the process is stopped."""

from __future__ import annotations

import itertools
import threading

import pytest

from engine.config import make_config
from engine.events import Logged, Stepped
from engine.running_time import RunningTime
from engine.runs.folder import create_run
from engine.train import Trainer


class Machine:
    """Its clock and what a process takes of it, in seconds."""

    def __init__(self) -> None:
        self._now = (1000.0, 5.0)

    def clock(self) -> tuple[float, float]:
        return self._now

    def passes(self, seconds: float, *, used: float) -> None:
        # At once, since the thread may look at any time.
        self._now = (self._now[0] + seconds, self._now[1] + used)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def running(machine: Machine) -> RunningTime:
    return RunningTime(machine.clock)


def test_a_stop_is_not_counted_but_for_half_a_second(
    machine: Machine, running: RunningTime
) -> None:
    with running:
        began = running.now()
        machine.passes(1.0, used=0.9)
        running.now()
        machine.passes(30.0, used=0.001)  # SIGSTOP, SIGCONT
        assert running.now() - began == pytest.approx(1.5)
        machine.passes(1.0, used=0.9)
        assert running.now() - began == pytest.approx(2.5)


def test_what_it_took_between_the_last_look_and_the_stop_does_not_hide_it(
    machine: Machine, running: RunningTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that takes all of eight cores is stopped in its middle."""
    looked = threading.Event()
    monkeypatch.setattr("engine.running_time._LOOK_EVERY", 0.01)
    clock, calls = machine.clock, itertools.count()

    def busy() -> tuple[float, float]:
        if threading.current_thread().name == "running time" and not looked.is_set():
            machine.passes(0.01, used=0.08)
            if next(calls) > 20:
                looked.set()
        return clock()

    with RunningTime(busy) as running:
        assert looked.wait(60)
        began = running.now()
        machine.passes(5.0, used=0.12)
        assert running.now() - began < 1


@pytest.mark.parametrize("used", [2.0, 29.0], ids=["a busy machine", "a long step"])
def test_what_takes_the_processor_is_counted_however_long(
    machine: Machine, running: RunningTime, used: float
) -> None:
    with running:
        began = running.now()
        machine.passes(30.0, used=used)
        assert running.now() - began == pytest.approx(30.0)


def test_a_short_wait_for_a_device_is_counted(machine: Machine, running: RunningTime) -> None:
    with running:
        began = running.now()
        for _ in range(20):  # the thread looks meanwhile
            machine.passes(0.5, used=0.001)
            running.now()
        assert running.now() - began == pytest.approx(10.0)


def test_outside_of_the_block_it_is_a_clock(machine: Machine, running: RunningTime) -> None:
    began = running.now()
    machine.passes(30.0, used=0.0)
    assert running.now() - began == pytest.approx(30.0)


def test_a_training_does_not_count_its_stop(
    tmp_path, machine: Machine, running: RunningTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.train.RunningTime", lambda: running)
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 2},
        diffusion={"num_train_timesteps": 8},
        model={"name": "dit", "patch_size": 14, "hidden_size": 32},
        training={"steps": 4, "log_every": 1, "checkpoint_every": 4, "preview_every": 0},
    )
    run = create_run(tmp_path, config)
    trainer = Trainer(run, device="cpu")
    draw = trainer.draw_batch

    def drawn(step: int):
        machine.passes(1.0, used=1.0)
        running.now()  # as the thread does
        machine.passes(30.0 if step == 2 else 0.0, used=0.0)
        return draw(step)

    monkeypatch.setattr(trainer, "draw_batch", drawn)
    events = list(trainer)
    assert Stepped(4) in events
    speeds = [event.images_per_second for event in events if isinstance(event, Logged)]
    assert speeds == pytest.approx([2.0, 2.0, 2 / 1.5, 2.0])
    assert run.status().elapsed == pytest.approx(4.5)
