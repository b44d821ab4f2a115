"""Who owns a run where the file system has no locks: real processes whose `flock` fails."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.runs import heartbeat, keeping
from engine.runs.folder import Run, create_run
from engine.runs.heartbeat import STALE, Heartbeat, OwnedError, is_beating, time_there
from tests.crash.at_once import at_once
from tests.engine.no_flock import without_flock

ROOT = Path(__file__).parents[2]
Start = Callable[[str], "subprocess.Popen[str]"]

QUICKLY = """
import sys
from pathlib import Path
from engine.runs import heartbeat
from engine.runs.folder import Run
heartbeat.BEAT, heartbeat.STALE = 0.1, 0.6
run = Run(Path(sys.argv[1]))
"""
HOLD = (
    QUICKLY
    + """
with run.lock() as owned:
    print(owned.note or "by flock", flush=True)
    sys.stdin.readline()
"""
)
TRAIN = (
    QUICKLY
    + """
from engine.train import Trainer
try:
    for event in Trainer(run, device="cpu"):
        print(type(event).__name__, flush=True)
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""
)


@pytest.fixture(scope="module", params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_flock(request: pytest.FixtureRequest, tmp_path_factory) -> dict[str, str]:
    return without_flock(tmp_path_factory.mktemp("no-flock"), request.param)


@pytest.fixture
def run(tmp_path: Path, tiny_config) -> Run:
    settings = tiny_config(training={"steps": 100_000, "log_every": 1})
    return create_run(tmp_path / "runs", settings, name="one")


@contextmanager
def holding(run: Run, env: dict[str, str], program: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, str(run.path)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdin=-1, stdout=-1, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_heartbeat_owns_where_there_are_no_locks(run: Run, no_flock: dict[str, str]) -> None:
    with holding(run, no_flock) as owner:
        assert "no locks on this file system" in said(owner)
        assert run.is_locked()
        with holding(run, no_flock) as other:
            assert said(other) == ""
            assert other.wait() == 1
        # Nor does one get it for whom locks work on the same folder.
        with pytest.raises(RunError, match="is being trained by another process"), run.lock():
            pytest.fail("two owners")
        with pytest.raises(RunError, match="is being trained"):
            keeping.delete(run)
        owner.communicate("go on\n")
        assert owner.returncode == 0
    assert not run.is_locked()
    with holding(run, no_flock) as next_one:
        assert "no locks" in said(next_one)


def test_a_heartbeat_ends_with_its_process(run: Run, tmp_path: Path) -> None:
    env = without_flock(tmp_path)
    with holding(run, env) as owner:
        said(owner)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert not run.is_locked()
        with run.lock():
            pass


def test_where_locks_work_there_is_no_other_file(run: Run) -> None:
    with run.lock() as owned:
        assert owned.note == ""
        assert not list(run.path.glob(".owner-*"))


# --- The files -----------------------------------------------------------------------------------


def owned_elsewhere(folder: Path, age: float, number: int = 1) -> Path:
    """A file of an owner on another machine, touched so many seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f".owner-{number:06}"
    file.write_text(json.dumps({"host": "far", "pid": 1, "kernel": "another"}))
    touched = time.time() - age
    os.utime(file, (touched, touched))
    return file


def test_an_owner_elsewhere_has_missed_six_beats_before_it_is_nobody(tmp_path: Path) -> None:
    owned_elsewhere(tmp_path, STALE - 5)
    assert is_beating(tmp_path)
    with pytest.raises(OwnedError):
        Heartbeat(tmp_path)
    old = owned_elsewhere(tmp_path, STALE + 1)
    assert not is_beating(tmp_path)
    with closing(Heartbeat(tmp_path)) as beat:
        assert is_beating(tmp_path)
        assert beat.still_beats()
        assert not old.exists()
    assert not is_beating(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".owner-000002"]


def test_a_half_written_file_owns(tmp_path: Path) -> None:
    (tmp_path / ".owner-000007").touch()
    with pytest.raises(OwnedError):
        Heartbeat(tmp_path)


def test_a_folder_that_is_renamed_stays_owned(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    beat = Heartbeat(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert is_beating(tmp_path / "b")
    beat.close()
    assert not is_beating(tmp_path / "b")


def test_who_is_taken_over_finds_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    with closing(Heartbeat(tmp_path)) as beat:
        newer = owned_elsewhere(tmp_path, 0, number=2)
        end = time.monotonic() + 5
        while beat.still_beats():
            assert time.monotonic() < end
            time.sleep(0.01)
        assert beat.lost
    assert is_beating(tmp_path)
    assert newer.exists()


def test_the_clock_is_that_of_the_file_system_and_leaves_nothing(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    tick = 0.02  # the file system's clock is the kernel's coarse one
    before = time.time()
    assert before - tick <= time_there(folder) <= time.time() + tick
    os.close(folder)
    assert not list(tmp_path.iterdir())


def take_each(folders: list[Path], start: float, done: Path, together: int) -> list[bool]:
    """Try to own each folder at its own moment, and let go of none before all have tried."""
    taken = []
    for number, folder in enumerate(folders):
        while time.time() < start + 0.03 * number:
            pass
        try:
            Heartbeat(folder)
        except OwnedError:
            taken.append(False)
        else:
            taken.append(True)
    (done / str(os.getpid())).touch()
    while len(list(done.iterdir())) < together:  # an owner that ends is nobody for the others
        time.sleep(0.01)
    return taken


@pytest.mark.slow
def test_of_many_who_find_an_owner_gone_one_takes_over(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(60)]
    for folder in folders:
        owned_elsewhere(folder, STALE + 1)
    done = tmp_path / "done"
    done.mkdir()
    outcomes = at_once([(take_each, (folders, time.time() + 4, done, 5))] * 5)
    assert not any(outcome.error for outcome in outcomes), outcomes
    owners = [sum(turn) for turn in zip(*(outcome.value for outcome in outcomes), strict=True)]
    assert owners == [1] * len(folders)


# --- A trainer -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trainer_that_slept_too_long_writes_nothing_more(run: Run, tmp_path: Path) -> None:
    env = without_flock(tmp_path)
    with holding(run, env, TRAIN) as trainer:
        while said(trainer) != "Logged":
            pass
        assert "no locks on this file system" in run.log_path.read_text()
        trainer.send_signal(signal.SIGSTOP)
        time.sleep(1)
        with holding(run, env) as other:
            assert "no locks" in said(other)
            before = run.metrics_path.read_bytes(), (run.path / "status.json").read_bytes()
            trainer.send_signal(signal.SIGCONT)
            assert trainer.stdout is not None
            last = trainer.stdout.read().splitlines()[-1]
            assert last.startswith("LockLostError Another process has taken one over"), last
            assert run.is_locked()
            after = run.metrics_path.read_bytes(), (run.path / "status.json").read_bytes()
            assert after == before
