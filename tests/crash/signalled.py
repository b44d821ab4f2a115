"""A training that gets two signals while it is held at one point, in many copies.

    python -m tests.crash.signalled FOLDER < cases.json > results.json

This process has loaded torch and the program, and starts each training as a copy of itself, so that
one takes half a second. The copy runs `ddpm-tui resume` as a shell starts it, up to the end of its
interpreter; only that it waits at one point, in a loop of Python, until both signals have come.
"""

from __future__ import annotations

import atexit
import gc
import importlib.abc
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import engine.obeying
import engine.painting
import engine.runs.checkpoint
import engine.train
from ddpm_tui import ending
from ddpm_tui.cli import main
from engine.runs import io
from engine.runs.folder import Run, create_run
from tests.crash.life import small_config

SAVED, HELD, STEPS = 2, 4, 6  # steps: of the checkpoint to go on from, of the hold, of all
_AT_ONCE = 6
_SAVE = "in the save itself"


def make_run(folder: Path) -> Run:
    """A run with a checkpoint; its next trainer paints a preview and saves another at one step."""
    config = small_config(
        steps=STEPS, checkpoint_every=HELD, keep_checkpoints=3, preview_every=HELD
    )
    run = create_run(folder / "runs", config, name="mine", command=[])
    trainer = engine.train.Trainer(run, device="cpu")
    for event in (events := iter(trainer)):
        if getattr(event, "step", 0) == SAVED and type(event).__name__ == "Stepped":
            trainer.checkpoint()
            events.close()
    return run


class Gate:
    """Where a copy waits until it is let through. Once."""

    def __init__(self, reached: int, opened: int) -> None:
        self._reached, self._opened, self._passed = reached, opened, False

    def hold(self) -> None:
        if not self._passed:
            self._passed = True
            os.write(self._reached, b".")
            while not select.select([self._opened], [], [], 0.005)[0]:
                sum(range(100))  # handlers run between two instructions of Python


class HoldingImport(importlib.abc.MetaPathFinder):
    """Holds the first import of the module that trains."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "engine.train":
            self._gate.hold()


def _hold_loading(gate: Gate) -> None:
    del sys.modules["engine.train"], sys.modules["engine.obeying"]
    sys.meta_path.insert(0, HoldingImport(gate))


def _hold_step(gate: Gate) -> None:
    update = engine.train.Trainer.update

    def held(trainer: engine.train.Trainer, loss: torch.Tensor) -> None:
        if trainer.step == HELD - 1:
            gate.hold()
        update(trainer, loss)

    engine.train.Trainer.update = held


def _hold_preview(gate: Gate) -> None:
    write = engine.painting.write_png

    def held(*args: Any, **kwargs: Any) -> None:
        gate.hold()
        write(*args, **kwargs)

    engine.painting.write_png = held


def _hold_checkpoint(gate: Gate) -> None:
    write = io.write_synced

    def held(path: Path, data: bytes) -> None:
        if path.name == "state.json":
            gate.hold()
        write(path, data)

    io.write_synced = held


PHASES = {
    "while torch loads": _hold_loading,
    "in a step": _hold_step,
    "in a preview": _hold_preview,
    "in a checkpoint": _hold_checkpoint,
    # The first comes in a step, the second in what that one asked for.
    _SAVE: _hold_checkpoint,
    "as the process ends": lambda gate: atexit.register(gate.hold),
}


@dataclass
class Copy:
    """A training that is held, or on its way there."""

    case: dict[str, Any]
    pid: int
    reached: int
    opened: int
    folder: Path
    first_at: float | None = None
    code: int | None = None

    def look(self) -> bool:
        """Do what is due; whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        if self.code is not None:
            return True
        held = bool(select.select([self.reached], [], [], 0)[0])
        if self.first_at is None:
            if held:
                if self.case["phase"] != _SAVE:  # there it has come in the step before
                    self._send("first")
                self.first_at = time.monotonic()
        elif held and time.monotonic() - self.first_at >= self.case["gap"]:
            os.read(self.reached, 1)
            self._send("second")
            with suppress(BrokenPipeError):  # it may have ended of the second
                os.write(self.opened, b".")
        return False

    def _send(self, which: str) -> None:
        os.kill(self.pid, signal.Signals[f"SIG{self.case[which]}"])

    def result(self) -> dict[str, Any]:
        run = Run(self.folder / "runs/mine")
        status = run.status()
        saved = [each.step for each in engine.runs.checkpoint.list_checkpoints(run)]
        said = (self.folder / "said").read_text()
        for descriptor in (self.reached, self.opened):
            os.close(descriptor)
        return {
            **self.case,
            "code": self.code,
            "held": self.first_at is not None,
            "state": status.state,
            "reason": status.reason,
            "step": status.step,
            "saved": max(saved),
            "said": said,
            "locked": run.is_locked(),
        }


def start(case: dict[str, Any], folder: Path, template: Path) -> Copy | None:
    """A copy of this process, or None in that copy."""
    import shutil

    shutil.copytree(template, folder)
    (in_reached, reached), (opened, in_opened) = os.pipe(), os.pipe()
    if pid := os.fork():
        os.close(reached)
        os.close(opened)
        return Copy(case, pid, in_reached, in_opened, folder)
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, number in ((os.open(os.devnull, os.O_RDONLY), 0), (said, 1), (said, 2)):
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, "r"),
        os.fdopen(1, "w", buffering=1),
        os.fdopen(2, "w", buffering=1),
    )
    ending.GRACE = case.get("grace", ending.GRACE)
    PHASES[case["phase"]](Gate(reached, opened))
    if case["phase"] == _SAVE:
        # The first one is sent by the copy to itself, in the step before.
        update = engine.train.Trainer.update

        def signalled(trainer: engine.train.Trainer, loss: torch.Tensor) -> None:
            if trainer.step == HELD - 2:
                os.kill(os.getpid(), signal.Signals[f"SIG{case['first']}"])
            update(trainer, loss)

        engine.train.Trainer.update = signalled
    return None


def run_all(folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """What became of each; None in a copy, which trains then."""
    template = folder / "template"
    make_run(template)
    gc.freeze()  # or each copy would copy all that is loaded, to look through it
    waiting, running, results = list(enumerate(cases)), [], []
    while waiting or running:
        while waiting and len(running) < _AT_ONCE:
            number, case = waiting.pop(0)
            copy = start(case, folder / str(number), template)
            if copy is None:
                sys.argv = ["ddpm-tui", "resume", "mine", "--device", "cpu"]
                sys.argv += ["--runs-dir", str(folder / str(number) / "runs")]
                return None
            running.append(copy)
        for copy in [each for each in running if each.look()]:
            running.remove(copy)
            results.append(copy.result())
        time.sleep(0.005)
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine.train._EVAL_IMAGES = 2
    found = run_all(Path(sys.argv[1]), json.load(sys.stdin))
    if found is None:
        main()
    else:
        json.dump(found, sys.stdout)
