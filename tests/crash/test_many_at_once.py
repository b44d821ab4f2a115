"""Many processes at one runs folder: each ends well, whoever comes first.

The figures at the top are those of a quick check; `DDPM_TUI_MANY=5` makes all of them five times
as large.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.config import RunConfig, make_config
from engine.errors import RunError
from engine.runs import keeping
from engine.runs.checkpoint import find_checkpoint, list_checkpoints, newest_verified
from engine.runs.curves import CurveReader
from engine.runs.folder import Run, Status, create_run, list_runs, open_run
from engine.runs.index import INDEX, RunIndex
from engine.runs.metrics import Metrics, tail_losses
from engine.runs.requests import Requests, ask
from engine.runs.summary import summary
from tests.cli.conftest import run_cli
from tests.crash.at_once import Outcome, at_once
from tests.engine.conftest import TINY
from tests.engine.made_up_runs import make_run

if TYPE_CHECKING:
    from engine.train import Trainer

MANY = int(os.environ.get("DDPM_TUI_MANY", "1"))
CREATORS = 50
COMMANDS = 10
DUELS = 8 * MANY
DELETIONS = 8 * MANY
READ_STEPS = 20 * MANY

pytestmark = pytest.mark.slow


def config(**training: object) -> RunConfig:
    tables = {**TINY, "training": {**TINY["training"], **training}}
    return make_config(dataset_size=10_000, **tables)


def worked(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.error]


# --- Creating ------------------------------------------------------------------------------------


def create(runs_dir: Path, name: str | None, times: int = 1) -> list[str]:
    settings = config()
    return [create_run(runs_dir, settings, name=name).name for _ in range(times)]


def complete(run: Run) -> bool:
    return (
        run.info()["name"] == run.name
        and run.status().state == "created"
        and run.config() == config()
        and run.checkpoints_path.is_dir()
        and run.samples_path.is_dir()
    )


def test_fifty_processes_create_runs_in_the_same_instant(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    outcomes = at_once([(create, (runs_dir, None, 2 * MANY))] * CREATORS)
    names = [name for outcome in outcomes for name in outcome.value or []]
    assert len(names) == len(set(names)) == CREATORS * 2 * MANY, outcomes
    runs = list_runs(runs_dir)
    assert {run.name for run in runs} == set(names)
    assert all(map(complete, runs))
    assert {path.name for path in runs_dir.iterdir()} == {*names, ".highest"}
    assert create(runs_dir, None)[0] not in names


def test_one_of_fifty_gets_a_name(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    outcomes = at_once([(create, (runs_dir, "mine"))] * CREATORS)
    assert len(worked(outcomes)) == 1
    assert {outcome.error for outcome in outcomes} == {"", "RunError"}
    assert complete(Run(runs_dir / "mine"))
    assert [path.name for path in runs_dir.iterdir()] == ["mine"]


def test_ten_commands_train_in_the_same_second(tmp_path: Path) -> None:
    command = (
        *("train", "--dataset", "fashion-mnist-10k", "--model", "article", "--steps", "4"),
        *("--batch-size", "4", "--num-train-timesteps", "8", "--json"),
        *("--set", "training.preview_every=0"),
    )
    with ThreadPoolExecutor(COMMANDS) as pool:
        trainings = [pool.submit(run_cli, *command, cwd=tmp_path) for _ in range(COMMANDS)]
    done = [training.result() for training in trainings]
    assert [each.returncode for each in done] == [0] * COMMANDS, done
    names = {json.loads(each.stdout.splitlines()[0])["name"] for each in done}
    runs = list_runs(tmp_path / "runs")
    assert names == {run.name for run in runs}
    assert len(names) == COMMANDS
    assert {run.status().state for run in runs} == {"finished"}
    assert all(newest_verified(run)[0].step == 4 for run in runs)


# --- One run, two trainers -----------------------------------------------------------------------


def prepared(run: Run) -> Trainer:
    """A trainer whose checkpoints cost no more than a few steps, as those of all tests."""
    from engine import train

    train._EVAL_IMAGES = 32
    return train.Trainer(run, device="cpu")


def train(run: Run, stop_file: Path | None = None) -> list[int]:
    """The steps that were taken, to the end or until there is a file."""
    from engine.events import Stepped

    steps = []
    events = iter(prepared(run))
    for event in events:
        if isinstance(event, Stepped):
            steps.append(event.step)
        if stop_file is not None and stop_file.exists():
            break
    events.close()
    return steps


def duel(runs: list[Run], meet: Path) -> list[tuple[str, int]]:
    """Train each run against another process, which does the same. Who loses tells the other."""
    outcomes = []
    for number, run in enumerate(runs):
        stop = meet / f"{number}-stop"
        (meet / f"{number}-{os.getpid()}").touch()
        while len(list(meet.glob(f"{number}-[0-9]*"))) < 2:
            pass
        try:
            outcomes.append(("trained", train(run, stop)[0]))
        except RunError as error:
            outcomes.append((error.message, 0))
            stop.touch()
    return outcomes


def test_of_two_trainers_that_start_together_one_trains(tmp_path: Path) -> None:
    settings = config(steps=1_000_000, checkpoint_every=1_000_000, log_every=1)
    runs = [create_run(tmp_path / "runs", settings) for _ in range(DUELS)]
    meet = tmp_path / "meet"
    meet.mkdir()
    outcomes = at_once([(duel, (runs, meet))] * 2, seconds=60 * MANY)
    assert not any(outcome.error for outcome in outcomes), outcomes
    for run, *pair in zip(runs, *(outcome.value for outcome in outcomes), strict=True):
        lost = (f"{run.name} is being trained by another process", 0)
        assert sorted(pair) == sorted([("trained", 1), lost])
        assert run.status().state == "stopped"
        assert not run.is_locked()
        steps = [int(step) for step in Metrics(run.metrics_path).read_all().columns["step"]]
        assert steps == list(range(1, len(steps) + 1))
        assert run.log_path.read_text().count("training from step 0") == 1
    won = [sum(outcome[1] for outcome in process.value) for process in outcomes]
    print(f"{DUELS} duels, won by one {won[0]}, by the other {won[1]}, by both 0")


# --- Readers beside a writer ---------------------------------------------------------------------


def look_until(run: Run, state: str) -> dict[str, int]:
    """Ask everything that viewers ask, as fast as it goes, until the run is in a state."""
    metrics, curves = Metrics(run.metrics_path), CurveReader(run.metrics_path)
    index = RunIndex(run.path.parent)
    seen: Counter[str] = Counter()
    while True:
        status = run.status()
        assert status.state in ("created", "running", state), status
        metrics.poll()
        curves.poll()
        steps = [int(step) for step in metrics.columns["step"]]
        assert steps == list(range(1, len(steps) + 1))
        assert all(loss > 0 for loss in tail_losses(run.metrics_path))
        assert [found.name for found in list_runs(run.path.parent)] == [run.name]
        assert index.rows()[0]["state"] in ("created", "running", state)
        assert summary(run)["name"] == run.name
        saved = list_checkpoints(run)
        if saved:
            for which in ("best", "last"):
                find_checkpoint(run, which)
                seen["checkpoints verified"] += 1
        seen["looks"] += 1
        seen["rows"] = len(steps)
        if status.state == state:
            return dict(seen)


def test_readers_beside_a_writer_never_see_half_of_anything(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", config(steps=READ_STEPS, checkpoint_every=6, log_every=1))
    readers = [(look_until, (run, "finished"))] * 2
    trainer, *looked = at_once([(train, (run,)), *readers])
    assert trainer.value == list(range(1, READ_STEPS + 1)), trainer
    assert not any(outcome.error for outcome in looked), looked
    assert all(outcome.value["rows"] >= READ_STEPS - 1 for outcome in looked)
    print("readers:", [outcome.value for outcome in looked])


def ask_whether_owned(run: Run, until: Path) -> int:
    """As fast as it goes."""
    for asked in itertools.count():
        run.is_locked()
        if until.exists():
            return asked
    raise AssertionError


def own_again_and_again(run: Run, seconds: float, done: Path) -> tuple[float, int]:
    """The longest wait for the lock, and how often it was taken."""
    longest, taken = 0.0, 0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            with run.lock():
                longest = max(longest, time.monotonic() - began)
                taken += 1
    finally:
        done.touch()
    return longest, taken


def test_those_who_ask_whether_a_run_is_trained_keep_nobody_from_training_it(
    tmp_path: Path,
) -> None:
    run = create_run(tmp_path / "runs", config())
    with run.lock():
        pass
    done = tmp_path / "done"
    asking = [(ask_whether_owned, (run, done))] * 12
    owner, *askers = at_once([(own_again_and_again, (run, 2 * MANY, done)), *asking])
    assert not owner.error, owner
    longest, taken = owner.value
    questions = sum(asker.value for asker in askers)
    assert taken > 10
    print(f"owned {taken:,} times beside {questions:,} questions, longest wait {longest:.3f} s")


# --- A run that is in use ------------------------------------------------------------------------


def await_file(path: Path) -> None:
    """Without a pause: the instant matters."""
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, path


def train_when_told(runs: list[Run], meet: Path) -> list[str]:
    """Prepare to train each run, and begin in the instant in which another process moves it."""
    outcomes = []
    for number, run in enumerate(runs):
        trainer = prepared(run)
        (meet / f"{number}-trainer").touch()
        await_file(meet / f"{number}-mover")
        try:
            outcomes.append(type(list(trainer)[-1]).__name__)
        except RunError as error:
            outcomes.append(f"{error.message}. {error.hint}")
    return outcomes


def move_when_told(runs: list[Run], meet: Path) -> list[str]:
    outcomes = []
    for number, run in enumerate(runs):
        await_file(meet / f"{number}-trainer")
        (meet / f"{number}-mover").touch()
        time.sleep(number % 10 * 0.0002)
        try:
            if number % 2:
                keeping.delete(run)
            else:
                keeping.rename(run, f"{run.name}-moved")
            outcomes.append("moved")
        except RunError as error:
            outcomes.append(error.message)
    return outcomes


def test_a_run_is_either_trained_or_moved_away(tmp_path: Path) -> None:
    runs_dir, meet = tmp_path / "runs", tmp_path / "meet"
    meet.mkdir()
    runs = [create_run(runs_dir, config(steps=3)) for _ in range(DELETIONS)]
    trained, moved = at_once([(train_when_told, (runs, meet)), (move_when_told, (runs, meet))])
    assert not trained.error, trained
    assert not moved.error, moved
    seen: Counter[str] = Counter()
    for run, training, moving in zip(runs, trained.value, moved.value, strict=True):
        if training == "Finished" and moving == "moved":
            # One after the other, in time.
            seen["both, one after the other"] += 1
        elif training == "Finished":
            assert moving.startswith(f"{run.name} is being trained"), moving
            assert run.status().state == "finished"
            seen["trained"] += 1
        else:
            assert moving == "moved", (training, moving)
            # A trainer that comes between the two steps of a move finds the run nowhere.
            became = ("was deleted", f"was renamed to {run.name}-moved", "is no longer in")
            assert training.startswith(tuple(f"{run.name} {each}" for each in became)), training
            seen["moved"] += 1
        assert run.path.exists() == (moving != "moved")
    print(f"{DELETIONS} runs:", dict(seen))


def test_the_name_of_a_deleted_run_belongs_to_whoever_has_it_now(
    tmp_path: Path,
) -> None:
    """A trainer that was about to begin does not write into a new run of the same name."""
    runs_dir = tmp_path / "runs"
    run = create_run(runs_dir, config(steps=3), name="mine")
    events = iter(prepared(run))
    keeping.delete(run)
    again = create_run(runs_dir, config(steps=5), name="mine")
    with pytest.raises(RunError, match="mine is another run by now"):
        list(events)
    assert again.status().state == "created"
    assert not again.metrics_path.exists()


def keep_moving(runs_dir: Path, names: list[str]) -> Counter[str]:
    """Delete, restore, rename and empty, all of it as fast as it goes; what a person is told."""
    told: Counter[str] = Counter()
    for turn, name in enumerate(names * 3):
        try:
            match (turn + os.getpid()) % 4:
                case 0:
                    keeping.delete(open_run(runs_dir, name))
                case 1:
                    keeping.restore(keeping.list_trash(runs_dir)[0])
                case 2:
                    keeping.rename(open_run(runs_dir, name), f"{name}x")
                case _:
                    keeping.empty_trash(runs_dir)
            told["done"] += 1
        except RunError:
            told["refused"] += 1
        except IndexError:
            told["nothing to restore"] += 1
    return told


def test_trash_restore_rename_and_empty_beside_each_other(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    settings = config()
    for number in range(60):
        create_run(runs_dir, settings, name=f"n{number}")
    names = [f"n{number}" for number in range(60)]
    outcomes = at_once([(keep_moving, (runs_dir, names))] * 4)
    assert not any(outcome.error for outcome in outcomes), outcomes
    # What is left is whole, wherever it is.
    left = [*list_runs(runs_dir), *(Run(t.path) for t in keeping.list_trash(runs_dir))]
    for run in left:
        assert run.config() == settings
        assert run.status() == Status(**{**vars(run.status()), "state": "created"})
        assert run.checkpoints_path.is_dir()
    assert {path for path in runs_dir.iterdir() if path.name[0] != "."} == {
        run.path for run in list_runs(runs_dir)
    }
    assert set((runs_dir / ".trash").iterdir()) == {
        trashed.path for trashed in keeping.list_trash(runs_dir)
    }
    print(sum((outcome.value for outcome in outcomes), Counter()), f"{len(left)} left")


def tag_often(run: Run, number: int) -> None:
    for turn in range(10):
        keeping.change_tags(run, [f"t{number}-{turn}"])


def test_what_many_say_of_a_run_at_once_is_all_kept(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", config())
    outcomes = at_once(
        [*((tag_often, (run, number)) for number in range(6)), (keeping.write_note, (run, "good"))]
    )
    assert not any(outcome.error for outcome in outcomes), outcomes
    assert len(keeping.tags_of(run)) == 60
    assert keeping.note_of(run) == "good"


# --- Requests and the index ----------------------------------------------------------------------


def ask_often(run: Run, times: int) -> int:
    for _ in range(times):
        ask(run, "checkpoint")
    return times


def take_until(run: Run, count: int) -> int:
    requests = Requests(run)
    taken, end = 0, time.monotonic() + 60
    while taken < count and time.monotonic() < end:
        taken += requests.next() is not None
    return taken


def test_every_request_of_many_askers_is_taken_once(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", config())
    with run.lock():
        taker, *askers = at_once([(take_until, (run, 200)), *[(ask_often, (run, 20))] * 10])
    assert not any(outcome.error for outcome in askers), askers
    assert taker.value == 200
    assert not list((run.path / "requests").iterdir())


def list_often(runs_dir: Path, number: int) -> int:
    listed = 0
    for turn in range(20):
        # A listing of one's own, that has to write the index as soon as enough has changed.
        rows = RunIndex(runs_dir).rows()
        assert len({row["name"] for row in rows}) == len(rows) == 260
        assert all(row["state"] == "created" for row in rows)
        listed += 1
        if turn % 5 == number:
            (runs_dir / INDEX).unlink(missing_ok=True)
    return listed


def test_workbenches_that_write_the_index_at_once_leave_a_whole_one(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    for number in range(260):
        make_run(runs_dir, f"n{number}", state="created")
    outcomes = at_once([(list_often, (runs_dir, number)) for number in range(4)])
    assert not any(outcome.error for outcome in outcomes), outcomes
    assert not list(runs_dir.glob(".*.tmp"))
    assert len(RunIndex(runs_dir).rows()) == 260
