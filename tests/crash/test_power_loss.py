"""The machine dies after every call to the disk, and what was not synced is lost.

    DDPM_TUI_CRASHES=all pytest -s tests/crash/test_power_loss.py -m slow

trains on after every one; otherwise after some.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from engine.runs import io, keeping
from engine.runs.checkpoint import list_checkpoints, newest_verified
from engine.runs.folder import Run, create_run, list_runs
from engine.runs.index import RunIndex
from engine.runs.metrics import Metrics
from engine.runs.scores import list_scores
from engine.runs.summary import summary
from engine.train import Trainer
from tests.crash.disks import Crashes, RecordingDisk, Tree, lay_out
from tests.crash.life import (
    STEPS,
    Life,
    Promise,
    favourites_of,
    is_exported,
    is_taken,
    small_config,
    weights,
)
from tests.crash.test_every_call_fails import litter

_DAY = 86_400.0
ALL = os.environ.get("DDPM_TUI_CRASHES") == "all"


@pytest.fixture(autouse=True)
def _another_boot(recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that finds what is left has been started since: no process of before lives."""
    monkeypatch.setattr("engine.runs.processes.kernel", lambda: "started again")


@pytest.fixture(scope="module")
def recorded(memory: Path, quick_trainings: None) -> tuple[Crashes, list[tuple[int, Promise]]]:
    """What a disk was told in the life of a run, and what was promised after which call."""
    disk, promises = RecordingDisk(), [(0, Promise())]
    root = memory / "recorded"
    root.mkdir()
    life = Life(root / "runs", on_promise=lambda it: promises.append((len(disk.log), it)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "disk", disk)
        for deed in life.deeds():
            deed()
    return Crashes(root, disk.log), promises


def recover(root: Path, promise: Promise, undisturbed: dict[str, str]) -> None:
    """A day later, somebody looks at what is left, and goes on."""
    runs_dir = root / "runs"
    runs = list_runs(runs_dir)
    rows = [summary(run) for run in runs]
    assert rows == RunIndex(runs_dir).rows()
    assert all(row["state"] != "unreadable" for row in rows), rows
    trash = keeping.list_trash(runs_dir)
    assert len(runs) + len(trash) <= 1
    if runs or trash:
        run = runs[0] if runs else keeping.restore(trash[0])
    else:
        assert not promise.made
        run = create_run(runs_dir, Life(runs_dir).config)
    go_on(run, promise, undisturbed)
    assert litter(runs_dir) == []
    assert {path.name for path in runs_dir.iterdir()} <= {run.name, ".highest", ".trash"}


def go_on(run: Run, promise: Promise, undisturbed: dict[str, str]) -> None:
    assert run.config() == small_config()
    assert set(promise.tags) <= set(run.info()["tags"])
    assert favourites_of(run) >= promise.favourites
    assert not promise.taken or is_taken(run)
    assert len(list_scores(run)) >= promise.measured
    assert not promise.exported or is_exported(run)
    for checkpoint in list_checkpoints(run):
        checkpoint.verify()
    events = Trainer(run, device="cpu")
    found, problems = newest_verified(run)
    assert not problems
    assert (found.step if found else 0) >= promise.checkpoint
    if found is not None:
        rows = list(Metrics(run.metrics_path).read_all().columns["step"])
        assert rows[: found.step] == list(range(1, found.step + 1))
    list(events)
    assert weights(run) == undisturbed
    assert list(Metrics(run.metrics_path).read_all().columns["step"]) == list(range(1, STEPS + 1))
    assert all(line.startswith("{") for line in run.metrics_path.read_text().splitlines())
    assert (run.status().state, run.status().step) == ("finished", STEPS)


def crash(
    recorded: tuple[Crashes, list[tuple[int, Promise]]],
    memory: Path,
    undisturbed: dict[str, str],
    stride: int,
) -> None:
    crashes, promises = recorded
    survived: Counter[str] = Counter()
    calls = 0
    seen: set[tuple[frozenset[tuple[str, bytes | None]], Promise]] = set()
    for calls, lost, tree in crashes:
        promise = max((p for p in promises if p[0] <= calls), key=lambda p: p[0])[1]
        known = frozenset(tree.items()), promise
        if known in seen:
            survived["the same as before"] += 1
            continue
        seen.add(known)
        if len(seen) % stride:
            continue
        try:
            _survive(memory / "crashed", tree, promise, undisturbed)
        except BaseException as wrong:
            wrong.add_note(f"after {calls} calls, without {lost}: {sorted(tree)}")
            raise
        survived[f"without {lost}"] += 1
    print(f"\n{calls} calls, every {stride}. state that they can leave; survived: {dict(survived)}")


def _survive(root: Path, tree: Tree, promise: Promise, undisturbed: dict[str, str]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    lay_out(tree, root, _DAY)
    recover(root, promise, undisturbed)


def test_a_machine_that_dies_loses_nothing_up_to_the_last_checkpoint(
    recorded, memory, undisturbed
) -> None:
    crash(recorded, memory, undisturbed, stride=40)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_machine_may_die_at_any_call(recorded, memory, undisturbed) -> None:
    crash(recorded, memory, undisturbed, stride=1 if ALL else 3)
