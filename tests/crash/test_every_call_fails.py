"""Every call to the disk fails once, in its turn: nothing is lost, and doing it again is enough.

    DDPM_TUI_FAULTS=each pytest -s tests/crash/test_every_call_fails.py -m slow

is every call with one kind of failure, in turns; DDPM_TUI_FAULTS=all is every call with every kind;
otherwise it is some of the calls.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from engine.errors import EngineError, NoRoomError
from engine.events import Notice
from engine.runs import io
from engine.runs.checkpoint import newest_verified
from engine.runs.folder import list_runs
from engine.runs.index import RunIndex
from engine.runs.metrics import Metrics
from engine.runs.scores import list_scores
from engine.runs.summary import summary
from engine.runs.sweeping import sweep
from tests.crash.disks import FailingDisk
from tests.crash.life import STEPS, Life, favourites_of, is_exported, is_taken, weights

KINDS = [
    (error, lasting)
    for lasting in (False, True)
    for error in (errno.ENOSPC, errno.EIO, errno.EDQUOT)
]
WANTED = os.environ.get("DDPM_TUI_FAULTS", "some")
_ATTEMPTS = count()


def live(memory: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A life on a disk that fails; whoever is told of an error mends the disk and tries again."""
    monkeypatch.setattr(io, "disk", disk)
    runs_dir = memory / f"attempt{next(_ATTEMPTS)}" / "runs"
    life = Life(runs_dir, on_wait=disk.heal)
    for deed in life.deeds():
        try:
            deed()
        except EngineError as error:
            assert disk.failed, "nothing had failed"
            assert error.hint, error
            training = deed in (life.train_a_while, life.train_to_the_end)
            assert not (training and isinstance(error, NoRoomError)), "a training waits for room"
            disk.heal()
            life.look()
            _look_around(life)
            deed()
    disk.heal()
    return life


def _look_around(life: Life) -> None:
    """After an error: what was promised is there, and every listing works."""
    rows = [summary(run) for run in list_runs(life.runs_dir)]
    assert rows == RunIndex(life.runs_dir).rows()
    assert all(row["state"] != "unreadable" for row in rows), rows
    if life.promise.made and rows:
        found, problems = newest_verified(life.run)
        assert not problems
        assert (found.step if found else 0) >= life.promise.checkpoint


def check(life: Life, undisturbed: dict[str, str]) -> None:
    run = life.run
    assert [row["name"] for row in map(summary, list_runs(life.runs_dir))] == ["renamed"]
    assert weights(run) == undisturbed
    steps = Metrics(run.metrics_path).read_all().columns["step"]
    assert list(steps) == list(range(1, STEPS + 1))
    assert all(line.startswith("{") for line in run.metrics_path.read_text().splitlines())
    status = run.status()
    assert (status.state, status.reason, status.step) == ("finished", "", STEPS)
    assert run.info()["tags"] == ["kept"]
    assert favourites_of(run) == 1
    assert is_taken(run)
    assert len(list_scores(run)) == 1
    assert is_exported(run)


def litter(runs_dir: Path) -> list[str]:
    return [path.name for path in runs_dir.rglob(".*") if path.suffix in (".tmp", ".old")]


def enumerate_faults(
    memory: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    # All that is half made is old enough to be swept, and nobody else is here.
    monkeypatch.setattr("engine.runs.litter.Litter.is_abandoned", lambda _: True)
    healthy = FailingDisk()
    check(live(memory, healthy, monkeypatch), undisturbed)
    survived: Counter[str] = Counter()
    for at in range(1, healthy.calls + 1, stride):
        kinds = KINDS if WANTED == "all" else [KINDS[at // stride % len(KINDS)]]
        for error, lasting in kinds:
            disk = FailingDisk(at, error, lasting=lasting)
            what = f"call {at}, {errno.errorcode[error]}{', lasting' * lasting}"
            try:
                life = live(memory, disk, monkeypatch)
                assert disk.failed
                check(life, undisturbed)
                sweep(life.run)
                assert litter(life.runs_dir) == []
                waits = [e for e in life.events if isinstance(e, Notice)]
                assert not waits or error != errno.EIO, waits
            except BaseException as wrong:
                wrong.add_note(f"{what}: {disk.failed}")
                raise
            survived[f"{errno.errorcode[error]}{', lasting' * lasting}"] += 1
            shutil.rmtree(life.runs_dir.parent)
    print(f"\n{healthy.calls} calls, every {stride}.; survived: {dict(survived)}")


def test_a_call_that_fails_costs_nothing_but_another_try(
    memory, undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    enumerate_faults(memory, undisturbed, monkeypatch, stride=29)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_call_may_fail(memory, undisturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    stride = 5 if WANTED == "some" else 1
    enumerate_faults(memory, undisturbed, monkeypatch, stride)
