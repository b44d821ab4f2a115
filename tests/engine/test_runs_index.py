"""A listing that is made again every two seconds reads only what changed, and is never stale."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.config import make_config
from engine.errors import RunError
from engine.runs import index, io, keeping
from engine.runs.folder import Run, Status, create_run, list_runs
from engine.runs.index import RunIndex
from engine.runs.summary import summary
from tests.engine.made_up_runs import make_run, make_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        create_run(tmp_path / "runs", make_config(dataset_size=10_000), name=name)
    return tmp_path / "runs"


def fresh(runs: Path) -> list[dict]:
    return [summary(run) for run in list_runs(runs)]


def test_the_rows_are_those_of_the_folders_whatever_happened_to_them(runs: Path) -> None:
    listing = RunIndex(runs)
    assert listing.rows() == fresh(runs)
    one, two, three = (
        next(r for r in list_runs(runs) if r.name == n) for n in ("one", "two", "three")
    )
    one.write_status(Status(state="finished", step=7, total_steps=7))
    assert listing.rows() == fresh(runs)
    config = two.config_path.read_text()
    two.config_path.write_text(config.replace('preset = "default"', 'preset = "article"'))
    (three.path / "status.json").write_text("{")
    assert listing.rows() == fresh(runs)
    shutil.rmtree(one.path)
    create_run(runs, make_config(dataset_size=10_000), name="four")
    assert listing.rows() == fresh(runs)
    assert {row["name"] for row in listing.rows()} == {"two", "three", "four"}


def test_only_what_changed_is_read_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = RunIndex(runs)
    listing.rows()
    read: list[str] = []

    def watched(run):
        read.append(run.name)
        return summary(run)

    monkeypatch.setattr(index, "summary", watched)
    listing.rows()
    assert read == []
    next(r for r in list_runs(runs) if r.name == "two").write_status(Status(state="stopped"))
    listing.rows()
    assert read == ["two"]


def test_a_run_that_was_training_is_asked_again_whether_it_still_is(runs: Path) -> None:
    run = list_runs(runs)[0]
    run.write_status(Status(state="running", total_steps=9))
    listing = RunIndex(runs)
    with run.lock():
        states = {row["name"]: row["state"] for row in listing.rows()}
        assert states[run.name] == "running"
    states = {row["name"]: row["state"] for row in listing.rows()}
    assert states[run.name] == "stopped", "its trainer has gone, and no file says so"


# --- What is kept beside the runs ---

_opened: list[str] = []
_listening = False


def _hear(event: str, arguments: tuple) -> None:
    # A number is of a file that is open already.
    if _listening and event == "open" and not isinstance(arguments[0], int):
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)  # it can be deaf, but never be taken away


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Every file that is opened meanwhile, by whatever function."""
    global _listening
    _opened.clear()
    _listening = True
    try:
        yield _opened
    finally:
        _listening = False


@pytest.mark.parametrize("count", [250, pytest.param(10_000, marks=pytest.mark.slow)])
def test_only_the_first_listing_opens_the_files_of_the_runs(tmp_path: Path, count: int) -> None:
    runs = make_runs(tmp_path / "runs", count)
    with opened_files() as opened:
        first = RunIndex(runs).rows()
    assert len(opened) >= 3 * count
    again = RunIndex(runs)
    with opened_files() as opened:
        rows = again.rows()
    assert opened == [str(runs / ".index.jsonl")]
    assert rows == first
    assert [row["name"] for row in rows[:2]] == [f"run{count}", f"run{count - 1}"]
    with opened_files() as opened:
        assert again.rows() is rows, "where nothing happened a view has nothing to do"
    assert opened == []


def test_a_listing_without_time_has_the_newest_and_goes_on_where_it_was(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", 250)
    listing = RunIndex(runs)
    assert [row["name"] for row in listing.rows(0)] == ["run250"]
    assert listing.unread == 249
    assert [row["name"] for row in listing.rows(0)] == ["run250"], "there is something to see"
    assert listing.rows() == fresh(runs)
    assert listing.unread == 0
    (runs / "run7" / "status.json").write_text('{"state": "failed", "reason": "so"}')
    assert len(listing.rows(0)) == 250, "what is known is not forgotten"
    assert listing.rows() == fresh(runs)


def test_what_happened_while_nobody_looked_is_seen(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", 250)
    RunIndex(runs).rows()
    assert (runs / ".index.jsonl").is_file()
    (runs / "run7" / "status.json").write_text('{"state": "failed", "reason": "so"}')
    shutil.rmtree(runs / "run8")
    make_run(runs, "new", 999)
    keeping.rename(Run(runs / "run9"), "nine")
    assert RunIndex(runs).rows() == fresh(runs)
    moved = runs.rename(tmp_path / "moved")
    assert RunIndex(moved).rows() == fresh(moved), "also which folder they are in"


FIRST_LINE = "ddpm-tui index 1"
INDEX_DAMAGES = {
    "empty": b"",
    "no lines": FIRST_LINE.encode(),
    "cut": f'{FIRST_LINE}\n"run1"\t[[[1,2,3]'.encode(),
    "not text": b"\xff\xfe",
    "another version": b'ddpm-tui index 2\n"run1"\t[[],{}]',
    "no row": f'{FIRST_LINE}\n"run1"\t[[],7]'.encode(),
    "no pair": f'{FIRST_LINE}\n"run1"\t[1,2,3]\n"run2"\t{{}}\n"run3"\t5'.encode(),
    "half a row": f'{FIRST_LINE}\n"run1"\t[[],{{"name":"run1","state":"x"}}]'.encode(),
    "deep": f'{FIRST_LINE}\n"run1"\t{"[" * 100_000}'.encode(),
}


@pytest.mark.parametrize("damage", INDEX_DAMAGES)
def test_a_damaged_index_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    runs = make_runs(tmp_path / "runs", 3)
    (runs / ".index.jsonl").write_bytes(INDEX_DAMAGES[damage])
    assert RunIndex(runs).rows() == fresh(runs)


def test_a_row_whose_values_are_of_another_type_is_not_taken_from_the_index(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", 250)
    RunIndex(runs).rows()
    index = runs / ".index.jsonl"
    kept = index.read_text()
    assert '"step":' in kept
    index.write_text(re.sub(r'"step":\d+', r'"step":"\\u001b[2J"', kept))
    assert RunIndex(runs).rows() == fresh(runs)


def test_the_newest_are_there_before_the_index_is_read_through(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", 250)
    RunIndex(runs).rows()
    listing = RunIndex(runs)
    with opened_files() as opened:
        (newest,) = listing.rows(0)
    assert opened == [str(runs / ".index.jsonl")]
    assert newest == fresh(runs)[0]
    assert listing.unread == 249


def test_runs_that_one_may_not_write_to_are_listed(tmp_path: Path, monkeypatch) -> None:
    runs = make_runs(tmp_path / "runs", 250)

    def refuse(*_args, **_options):
        raise RunError("Cannot write")

    monkeypatch.setattr(io, "write_atomic", refuse)
    assert len(RunIndex(runs).rows()) == 250
    assert not (runs / ".index.jsonl").exists()


def test_a_few_runs_are_not_worth_an_index(runs: Path) -> None:
    RunIndex(runs).rows()
    assert not (runs / ".index.jsonl").exists()


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("status.json", {"state": "failed", "reason": ["no text"]}),
        ("status.json", {"step": "7"}),
        ("status.json", {"step": True}),
        ("status.json", {"elapsed": 1e999}),
        ("status.json", {"loss": 10**400}),
        ("run.json", {"created": "yesterday"}),
        ("run.json", {"tags": "base"}),
        ("run.json", {"tags": [1]}),
        ("run.json", {"archived": "yes"}),
        ("run.json", {"notes": None}),
    ],
)
def test_a_value_of_another_type_makes_a_run_unreadable(
    tmp_path: Path, file: str, values: dict
) -> None:
    path = make_run(tmp_path, "odd")
    found = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(found | values))
    row = summary(Run(path))
    assert row["state"] == "unreadable"
    (key,) = [key for key in values if key in row["reason"]] or ["state"]
    assert key in row["reason"]


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert RunIndex(tmp_path / "nowhere").rows() == []
