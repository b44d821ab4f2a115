"""What a trainer that died left half made, and what is not to be taken for it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.runs import io
from engine.runs.folder import Run, Status, create_run
from engine.runs.keeping import delete, empty_trash
from engine.runs.summary import summary
from engine.runs.sweeping import sweep

_TWO_HOURS = 7200.0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "runs", RunConfig(), name="mine")


def put(path: Path, age: float = 0.0) -> Path:
    """A file; in a folder of the same age if that is half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half of it")
    for each in (path, path.parent) if path.parent.name.startswith(".") else (path,):
        os.utime(each, (time.time() - age, time.time() - age))
    return path


def test_what_only_a_trainer_makes_is_swept_at_once(run: Run) -> None:
    left = [
        put(run.path / ".status.json.0a1b2c3d.tmp"),
        put(run.path / ".metrics.jsonl.0a1b2c3d.tmp"),
        put(run.samples_path / ".step-00000100.png.0a1b2c3d.tmp"),
        put(run.samples_path / ".step-00000100-raw.png.0a1b2c3d.tmp"),
        put(run.checkpoints_path / ".step-00000100.0a1b2c3d.tmp" / "model.safetensors"),
    ]
    sweep(run)
    assert not any(path.exists() for path in left)
    assert list(run.checkpoints_path.iterdir()) == []


def test_what_others_make_is_swept_when_nobody_has_touched_it_for_an_hour(run: Run) -> None:
    runs_dir = run.path.parent
    places = [
        lambda hex_: runs_dir / f".run7.{hex_}.tmp" / "config.toml",
        lambda hex_: runs_dir / f".index.jsonl.{hex_}.tmp",
        lambda hex_: run.path / f".run.json.{hex_}.tmp",
        lambda hex_: run.samples_path / f".seed0-step5.npy.{hex_}.tmp",
        lambda hex_: run.samples_path / "favourites" / f".a.png.{hex_}.tmp",
        lambda hex_: run.exports_path / f".mine-step5.{hex_}.tmp" / "README.md",
    ]
    old = [put(place("00000000"), _TWO_HOURS) for place in places]
    new = [put(place("11111111"), 60) for place in places]
    # A folder that was begun long ago, in which somebody still writes.
    alive = put(run.exports_path / ".big.22222222.tmp" / "begun", _TWO_HOURS)
    put(alive.with_name("newest"))
    os.utime(alive.parent, (0, 0))
    sweep(run)
    assert not any(path.exists() for path in old)
    assert list(run.path.parent.rglob("*.00000000.*")) == []
    assert all(path.exists() for path in new)
    assert alive.exists()


def test_what_a_user_put_there_stays(run: Run) -> None:
    runs_dir = run.path.parent
    elsewhere = put(runs_dir.parent / "elsewhere" / ".status.json.0a1b2c3d.tmp", _TWO_HOURS)
    (run.path / "link").symlink_to(elsewhere.parent)
    kept = [
        elsewhere,
        put(run.path / ".status.json.tmp", _TWO_HOURS),
        put(run.path / ".notes.swp", _TWO_HOURS),
        put(run.path / "status.json.0a1b2c3d.tmp", _TWO_HOURS),
        put(runs_dir / "half-made" / "config.toml", _TWO_HOURS),
        put(runs_dir / "another" / ".status.json.0a1b2c3d.tmp", _TWO_HOURS),
        put(run.checkpoints_path / "step-00000004.damaged" / "model.safetensors", _TWO_HOURS),
    ]
    (runs_dir / "empty").mkdir()
    sweep(run)
    assert all(path.exists() for path in kept)
    assert (runs_dir / "empty").is_dir()


def test_what_was_moved_aside_goes_back_where_nothing_took_its_place(run: Run) -> None:
    put(run.checkpoints_path / ".step-00000004.0a1b2c3d.old" / "model.safetensors")
    put(run.checkpoints_path / ".step-00000006.0a1b2c3d.old" / "model.safetensors")
    put(run.checkpoints_path / "step-00000006" / "newer")
    sweep(run)
    assert {
        str(path.relative_to(run.checkpoints_path)) for path in run.checkpoints_path.rglob("*")
    } == {
        *("step-00000004", "step-00000004/model.safetensors"),
        *("step-00000006", "step-00000006/newer"),
    }


def test_emptying_the_trash_finishes_what_was_half_removed(run: Run) -> None:
    runs_dir = run.path.parent
    delete(run)
    half = put(runs_dir / ".trash" / ".other-20260101-000000.0a1b2c3d.tmp" / "run.json")
    assert empty_trash(runs_dir) == 1
    assert not half.exists()
    assert list((runs_dir / ".trash").iterdir()) == []


# --- Words that a crash cut short ---


def test_a_torn_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('whole\n{"step": 1, "lo')
    io.append_line(path, "next")
    assert path.read_text() == 'whole\n{"step": 1, "lo\nnext\n'


@pytest.mark.parametrize("left", [None, b"", b"\0" * 300, b'{"state": "runn'])
def test_a_run_whose_status_was_lost_is_listed_by_what_else_is_known(run: Run, left) -> None:
    (run.checkpoints_path / "step-00000040").mkdir()
    path = run.path / "status.json"
    path.unlink() if left is None else path.write_bytes(left)
    status = run.status()
    assert (status.state, status.step, status.total_steps) == ("stopped", 40, 1500)
    assert status.reason == "its status was lost"
    assert summary(run)["state"] == "stopped"
    with run.lock():
        assert run.status().state == "running"
        run.write_status(Status(state="running", step=41))
        assert run.status().step == 41
