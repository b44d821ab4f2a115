"""A listing that is made again every two seconds reads only what changed, and is never stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.config import make_config
from engine.runs import index
from engine.runs.folder import Status, create_run, list_runs
from engine.runs.index import RunIndex
from engine.runs.summary import summary


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


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert RunIndex(tmp_path / "nowhere").rows() == []
