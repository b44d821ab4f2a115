"""The run folder: numbers, names, locks and states, asked of real files and real processes."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import ConfigError, EngineError, RunError
from engine.runs import io, publishing
from engine.runs.folder import Run, Status, create_run, list_runs, open_run
from engine.runs.summary import summary

CONFIG = RunConfig()
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs_dir: Path) -> Run:
    return create_run(runs_dir, CONFIG)


@contextmanager
def process(code: str, *args: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Python in a process of its own; its standard input is how a test tells it to go on."""
    started = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wait_for(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"the process ended before it said {word!r}")


# --- creating ---


def test_a_new_run_says_what_it_is(runs_dir: Path) -> None:
    run = create_run(runs_dir, CONFIG, command=["ddpm-tui", "train"])
    assert run.name == "run1"
    assert run.config() == CONFIG
    info = run.info()
    assert (info["schema_version"], info["name"], info["tags"]) == (1, "run1", [])
    assert time.time() - 60 < info["created"] <= time.time()
    environment = io.read_json(run.path / "env.json")
    assert environment["command"] == ["ddpm-tui", "train"]
    assert {"torch", "ddpm-tui"} <= set(environment["packages"])
    status = run.status()
    assert (status.state, status.step, status.total_steps) == ("created", 0, 1500)
    assert run.samples_path.is_dir()
    assert run.checkpoints_path.is_dir()


def test_numbers_count_up_and_are_not_given_twice(runs_dir: Path) -> None:
    assert [create_run(runs_dir, CONFIG).name for _ in range(3)] == ["run1", "run2", "run3"]
    shutil.rmtree(runs_dir / "run3")
    shutil.rmtree(runs_dir / "run2")
    assert create_run(runs_dir, CONFIG).name == "run4"


def test_numbers_go_on_after_the_highest_folder_there_is(runs_dir: Path) -> None:
    (runs_dir / "run41").mkdir(parents=True)
    (runs_dir / "run9x").mkdir()
    (runs_dir / "run50.txt").touch()
    create_run(runs_dir, CONFIG, name="run60")
    create_run(runs_dir, CONFIG, name="mine")
    assert create_run(runs_dir, CONFIG).name == "run61"


def test_a_number_that_somebody_took_meanwhile_is_passed_over(runs_dir: Path) -> None:
    # Ten digits are no number of ours, so the listing does not see it, but mkdir does.
    (runs_dir / "run999999999").mkdir(parents=True)
    (runs_dir / "run1000000000").mkdir()
    assert create_run(runs_dir, CONFIG).name == "run1000000001"


@pytest.mark.parametrize("text", ["", "garbage\n", "7\n", "7\ngarb\x00", "3\n7\n5\n"])
def test_numbers_survive_a_spoilt_memory_of_them(runs_dir: Path, text: str) -> None:
    create_run(runs_dir, CONFIG)
    (runs_dir / ".highest").write_text(text)
    assert create_run(runs_dir, CONFIG).name == ("run8" if "7" in text else "run2")


CREATE = """
import sys
from pathlib import Path
from engine.config import RunConfig
from engine.runs.folder import create_run
config = RunConfig()
print("ready", flush=True)
sys.stdin.readline()
print(*(create_run(Path(sys.argv[1]), config).name for _ in range(15)))
"""


def test_processes_that_create_at_once_never_share_a_number(runs_dir: Path) -> None:
    with (
        process(CREATE, runs_dir) as one,
        process(CREATE, runs_dir) as two,
        process(CREATE, runs_dir) as three,
    ):
        children = (one, two, three)
        for child in children:
            wait_for(child, "ready")
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        names = [name for child in children for name in child.stdout.readline().split()]
    assert sorted(names) == sorted(f"run{i}" for i in range(1, 46))
    assert {run.name for run in list_runs(runs_dir)} == set(names)
    for name in names:
        shutil.rmtree(runs_dir / name)
    assert create_run(runs_dir, CONFIG).name == "run46"


@pytest.mark.parametrize(
    "name",
    ["../run1", "a/b", "/etc", "..", ".hidden", "-rf", "a b", "run\n1", "run1\n", "é", "x" * 65],
)
def test_a_name_that_is_no_plain_word_is_refused(runs_dir: Path, name: str) -> None:
    create_run(runs_dir, CONFIG)
    for attempt in (
        lambda: create_run(runs_dir, CONFIG, name=name),
        lambda: open_run(runs_dir, name),
    ):
        with pytest.raises(ConfigError, match="is not a run name"):
            attempt()
    assert [run.name for run in list_runs(runs_dir)] == ["run1"]
    assert [path.name for path in runs_dir.parent.iterdir()] == ["runs"]


def test_a_refused_name_leaves_no_folder_behind(runs_dir: Path) -> None:
    with pytest.raises(ConfigError):
        create_run(runs_dir, CONFIG, name="../elsewhere")
    assert not runs_dir.exists()


@pytest.mark.parametrize("name", ["a", "Fashion_0.3-b", "2024-01-01", "x" * 64])
def test_a_plain_name_is_taken_as_it_is(runs_dir: Path, name: str) -> None:
    assert create_run(runs_dir, CONFIG, name=name).name == name
    assert open_run(runs_dir, name).config() == CONFIG


def test_a_name_is_given_once(runs_dir: Path) -> None:
    create_run(runs_dir, CONFIG, name="mine")
    with pytest.raises(RunError, match="already a run 'mine'"):
        create_run(runs_dir, CONFIG, name="mine")


# --- where nothing can be written ---


@pytest.mark.parametrize("name", [None, "mine"])
@pytest.mark.parametrize("place", ["a file", "below a file", "/proc"])
def test_a_folder_that_cannot_be_written_is_a_run_error(tmp_path: Path, place, name) -> None:
    """Permissions would not do here: they do not bind root."""
    file = tmp_path / "file"
    file.write_text("not a folder")
    runs_dir = {"a file": file, "below a file": file / "runs", "/proc": Path("/proc/runs")}[place]
    with pytest.raises(RunError, match=r"Cannot .*"):
        create_run(runs_dir, CONFIG, name=name)
    assert file.read_text() == "not a folder"


@pytest.mark.parametrize("failing", ["write_atomic", "write_json"])
def test_a_run_that_could_not_be_made_leaves_its_name_free(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, failing
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RunError("The disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(io, failing, full)
        with pytest.raises(RunError, match="full"):
            create_run(runs_dir, CONFIG, name="mine")
    assert not (runs_dir / "mine").exists()
    assert create_run(runs_dir, CONFIG, name="mine").name == "mine"


def test_a_folder_that_could_not_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("here")
    rename = Path.rename

    def second_fails(path: Path, to: Path) -> Path:
        if to == target and path.suffix == ".tmp":
            raise OSError(5, "input/output error")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", second_fails)
    with (
        pytest.raises(RunError, match="input/output"),
        publishing.published_folder(target) as folder,
    ):
        (folder / "new").write_text("there")
    assert (target / "old").read_text() == "here"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_every_write_to_a_run_that_is_gone_is_a_run_error(run: Run) -> None:
    shutil.rmtree(run.path)
    run.path.write_text("a file in its place")
    for attempt in (
        lambda: run.write_status(Status()),
        lambda: run.log("hello"),
        lambda: run.lock().__enter__(),
        run.config,
        run.info,
        run.status,
    ):
        with pytest.raises(RunError):
            attempt()


# --- opening and listing ---


def test_a_run_that_is_not_there_is_told_with_those_that_are(runs_dir: Path) -> None:
    with pytest.raises(RunError, match="holds no runs yet"):
        open_run(runs_dir, "run1")
    for _ in range(10):
        create_run(runs_dir, CONFIG)
    with pytest.raises(RunError, match=r"run10, .* and 2 more"):
        open_run(runs_dir, "run11")


def test_runs_are_listed_newest_first(runs_dir: Path) -> None:
    names = [create_run(runs_dir, CONFIG, name=name).name for name in ("b", "c", "a")]
    for age, name in enumerate(names):
        os.utime(runs_dir / name / "run.json", (10**9 + age, 10**9 + age))
    assert [run.name for run in list_runs(runs_dir)] == ["a", "c", "b"]


def test_only_finished_folders_are_listed(runs_dir: Path, run: Run) -> None:
    (runs_dir / "half-made").mkdir()
    (runs_dir / "notes.txt").touch()
    (runs_dir / ".trash").mkdir()
    (runs_dir / ".trash" / "run.json").write_text("{}")
    assert list_runs(runs_dir) == [run]


def test_a_folder_that_is_not_there_holds_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []


def test_a_file_holds_no_runs_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot read"):
        list_runs(tmp_path / "file")


def test_a_summary_is_a_row(run: Run) -> None:
    run.write_status(Status(state="finished", step=7, total_steps=9, loss=0.5, eval_loss=0.25))
    row = summary(run)
    assert (row["name"], row["state"], row["step"], row["total_steps"]) == (
        ("run1", "finished", 7, 9)
    )
    assert (row["loss"], row["eval_loss"]) == (0.5, 0.25)
    assert (row["dataset"], row["model"], row["preset"]) == (
        ("fashion-mnist-10k", "unet", "default")
    )
    assert row["path"] == str(run.path)
    json.dumps(row, allow_nan=False)


def _remove(path: Path) -> None:
    path.unlink()


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": _remove,
    "a folder": _make_folder,
    "empty": _write(b""),
    "binary": _write(b"\xff\xfe\x00\x80"),
    "cut": _write(b'{"state": "run'),
    "a list": _write(b"[1, 2]"),
    "deep": _write(b"a = " + b"[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["run.json", "config.toml"])
def test_a_damaged_run_is_unreadable_and_no_more(run: Run, file, damage) -> None:
    create_run(run.path.parent, CONFIG)
    DAMAGES[damage](run.path / file)
    row = summary(run)
    assert (row["name"], row["path"]) == ("run1", str(run.path))
    assert all(summary(other)["name"] for other in list_runs(run.path.parent))
    if (file, damage) == ("config.toml", "empty"):
        assert run.config() == CONFIG, "what is not in the file has its default"
        assert (row["state"], row["preset"]) == ("created", CONFIG.preset)
        assert (row["dataset"], row["model"]) == (CONFIG.data.dataset, CONFIG.model.name)
        return
    assert row["state"] == "unreadable"
    assert row["reason"]
    ask = {"run.json": run.info, "config.toml": run.config}[file]
    with pytest.raises(EngineError):
        ask()


@pytest.mark.parametrize("version", [2, 99, "1", None])
def test_a_run_of_a_newer_program_is_refused(run: Run, version) -> None:
    io.write_json(run.path / "run.json", {**run.info(), "schema_version": version})
    with pytest.raises(RunError, match="version") as error:
        open_run(run.path.parent, run.name)
    assert "newer ddpm-tui" in str(error.value)
    assert summary(run)["state"] == "unreadable"


def test_a_status_of_a_newer_program_is_read_as_far_as_it_is_known(run: Run) -> None:
    io.write_json(run.path / "status.json", {"state": "finished", "step": 3, "mood": "good"})
    assert run.status() == Status(state="finished", step=3)


# --- who trains it ---


def test_a_status_is_stamped_with_who_wrote_it_and_when(run: Run) -> None:
    before = time.time()
    run.write_status(Status(state="finished", loss=None))
    status = run.status()
    assert before <= status.updated <= time.time()
    assert status.pid == os.getpid()
    assert status.host


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_run_lives_as_long_as_its_lock_is_held(run: Run, state) -> None:
    with run.lock():
        run.write_status(Status(state=state, step=3))
        assert run.is_locked()
        assert run.status().state == state
    assert not run.is_locked()
    status = run.status()
    assert (status.state, status.step) == ("stopped", 3)
    assert "ended without a word" in status.reason


@pytest.mark.parametrize("state", ["created", "finished", "failed", "stopped"])
def test_a_last_word_stands_without_a_lock(run: Run, state) -> None:
    run.write_status(Status(state=state, reason="so it was"))
    assert (run.status().state, run.status().reason) == (state, "so it was")


def test_a_run_has_one_trainer_at_a_time(run: Run) -> None:
    with run.lock():
        with pytest.raises(RunError, match="being trained by another process"), run.lock():
            pytest.fail("two trainers")
        assert run.is_locked()
    with run.lock():
        pass


def test_the_lock_is_given_back_after_an_error(run: Run) -> None:
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    assert not run.is_locked()


HOLD = """
import sys
from pathlib import Path
from engine.runs.folder import Run, Status
run = Run(Path(sys.argv[1]))
with run.lock():
    run.write_status(Status(state="running"))
    print("locked", flush=True)
    sys.stdin.readline()
    run.write_status(Status(state="finished"))
"""


def test_a_lock_of_another_process_binds_here(run: Run) -> None:
    with process(HOLD, run.path) as child:
        wait_for(child, "locked")
        assert run.is_locked()
        assert run.status().state == "running"
        assert run.status().pid == child.pid
        with pytest.raises(RunError, match="being trained by another process"), run.lock():
            pytest.fail("two trainers")
        child.communicate("go on\n")
    assert run.status().state == "finished"
    with run.lock():
        pass


TRAIN = """
import sys
from pathlib import Path
from engine.runs.folder import Run
from engine.train import Trainer
for event in Trainer(Run(Path(sys.argv[1])), device="cpu"):
    print(type(event).__name__, flush=True)
"""


def test_a_killed_trainer_ended_without_a_word(runs_dir: Path, tiny_config) -> None:
    config = tiny_config(training={"steps": 100_000, "checkpoint_every": 1})
    run = create_run(runs_dir, config)
    with process(TRAIN, run.path) as trainer:
        wait_for(trainer, "CheckpointSaved")
        assert run.status().state == "running"
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
        status = run.status()
    assert status.state == summary(run)["state"] == "stopped"
    assert "ended without a word" in status.reason
    assert status.step >= 1
    assert not run.is_locked()


def test_readers_do_not_take_each_other_for_a_trainer(run: Run) -> None:
    with run.lock():
        run.write_status(Status(state="running"))
    with (run.path / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # somebody else's question, in the midst of it
        assert not run.is_locked()
        assert run.status().state == "stopped"


FINISH_OFTEN = """
import sys, time
from pathlib import Path
from engine.runs.folder import Run, Status
run = Run(Path(sys.argv[1]))
for _ in range(8):
    with run.lock():
        run.write_status(Status(state="running"))
        time.sleep(0.005)
        run.write_status(Status(state="finished"))
    time.sleep(0.1)
"""


def test_a_trainer_that_says_its_last_word_is_never_seen_without_it(run: Run) -> None:
    seen: Counter[str] = Counter()
    with process(FINISH_OFTEN, run.path) as child:
        while child.poll() is None:
            seen[run.status().state] += 1
        assert child.returncode == 0
    assert {"running", "finished"} <= set(seen) <= {"created", "running", "finished"}


def test_the_log_is_lines_with_a_time(run: Run) -> None:
    run.log("first")
    run.log("second")
    first, second = run.log_path.read_text().splitlines()
    assert first.endswith("  first")
    assert second.endswith("  second")
    time.strptime(first[:19], "%Y-%m-%d %H:%M:%S")


def test_a_checkout_that_is_not_installed_can_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    run = create_run(tmp_path, CONFIG)
    packages = json.loads((run.path / "env.json").read_text())["packages"]
    assert packages["ddpm-tui"] == "(not installed)"
