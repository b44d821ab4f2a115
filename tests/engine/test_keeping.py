"""Names, tags, notes, the archive and the trash, on real folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import ConfigError, RunError
from engine.runs import keeping
from engine.runs.folder import Run, create_run, list_runs
from engine.runs.index import RunIndex
from tests.engine.made_up_runs import make_run


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs_dir: Path) -> Run:
    return Run(make_run(runs_dir, "one"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


# --- What is said of a run ---


def test_tags_are_given_and_taken_away(run: Run) -> None:
    assert keeping.change_tags(run, ["base", "lr3"]) == ["base", "lr3"]
    assert keeping.change_tags(run, ["good"], ["base", "never"]) == ["good", "lr3"]
    assert keeping.tags_of(run) == run.info()["tags"] == ["good", "lr3"]


@pytest.mark.parametrize("tag", ["", " ", "a b", "-x", "\x1b[31mred", "a" * 33, "[bold]", "a,b"])
def test_what_is_no_tag_is_refused(run: Run, tag: str) -> None:
    with pytest.raises(ConfigError, match="is not a tag"):
        keeping.change_tags(run, ["good", tag])
    assert keeping.tags_of(run) == []


@pytest.mark.parametrize("found", [None, "text", 7, ["ok", 7, None], {"a": 1}])
def test_tags_from_elsewhere_are_taken_as_far_as_they_are_tags(run: Run, found: object) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps({**run.info(), "tags": found}))
    assert keeping.tags_of(run) == (["ok"] if isinstance(found, list) else [])
    assert "new" in keeping.change_tags(run, ["new"])


def test_a_note_is_kept_to_the_letter_and_taken_away(run: Run) -> None:
    text = "lr 3e-3: too high?\n\x1b[31m[bold] ünïcode \N{GREEK SMALL LETTER EPSILON}"
    keeping.write_note(run, text)
    assert keeping.note_of(run) == text
    with pytest.raises(ConfigError, match=r"2,001 characters"):
        keeping.write_note(run, "x" * 2001)
    keeping.write_note(run, "")
    assert keeping.note_of(run) == ""


def test_what_other_programs_wrote_is_kept_and_the_order_of_the_runs_too(runs_dir: Path) -> None:
    old, new = (Run(make_run(runs_dir, name, i)) for i, name in enumerate(("old", "new")))
    before = {**old.info(), "sweep": {"id": 7}}
    stamp = (old.path / "run.json").stat()
    (old.path / "run.json").write_text(json.dumps(before))
    os.utime(old.path / "run.json", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    keeping.change_tags(old, ["x"])
    keeping.write_note(old, "y")
    keeping.set_archived(old, True)
    assert old.info() == {**before, "tags": ["x"], "notes": "y", "archived": True}
    assert list_runs(runs_dir) == [new, old], "a tag does not make a run newer"


def test_a_run_of_a_newer_program_is_not_written_to(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps({"schema_version": 99}))
    before = path.read_bytes()
    for edit in (
        lambda: keeping.change_tags(run, ["x"]),
        lambda: keeping.write_note(run, "x"),
        lambda: keeping.set_archived(run, True),
    ):
        with pytest.raises(RunError, match="version"):
            edit()
    assert path.read_bytes() == before


def test_an_edit_is_seen_by_a_listing_that_knew_the_run(run: Run, runs_dir: Path) -> None:
    listing = RunIndex(runs_dir)
    listing.rows()
    # An inode may be used again, and then time, size and inode of run.json are as they were.
    for tag in ("aa", "bb", "cc", "dd"):
        keeping.change_tags(run, [tag], keeping.tags_of(run))
        assert [row["tags"] for row in listing.rows()] == [[tag]]


# --- Names ---


def test_a_run_gets_another_name_with_all_that_is_in_it(run: Run, runs_dir: Path) -> None:
    keeping.change_tags(run, ["base"])
    before = files(run.path)
    renamed = keeping.rename(run, "two")
    assert renamed == Run(runs_dir / "two")
    assert not run.path.exists()
    info = renamed.info()
    assert (info["name"], info["tags"]) == ("two", ["base"])
    after = files(renamed.path)
    assert {**after, "run.json": b""} == {**before, "run.json": b""}


@pytest.mark.parametrize("name", ["", "../two", "a/b", ".hidden", "two words", "x" * 65])
def test_a_name_that_is_none_is_refused(run: Run, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a run name"):
        keeping.rename(run, name)
    assert run.path.is_dir()


def test_a_name_is_not_taken_from_another(run: Run, runs_dir: Path) -> None:
    make_run(runs_dir, "two")
    (runs_dir / "empty").mkdir()
    (runs_dir / "file").write_text("mine")
    for name in ("two", "empty", "file"):
        with pytest.raises(RunError, match="already a run"):
            keeping.rename(run, name)
    assert run.path.is_dir()
    assert (runs_dir / "file").read_text() == "mine"


def test_a_number_is_not_given_again_after_a_rename(runs_dir: Path) -> None:
    keeping.rename(create_run(runs_dir, RunConfig()), "best")
    assert create_run(runs_dir, RunConfig()).name == "run2"


def test_a_folder_whose_name_nobody_would_give_can_be_renamed_and_deleted(runs_dir: Path) -> None:
    odd = Run(make_run(runs_dir, "\x1b[31m two words"))
    assert keeping.restore(keeping.delete(odd)) == odd
    assert keeping.rename(odd, "plain").info()["name"] == "plain"


# --- The trash ---


def test_a_deleted_run_is_in_the_trash_and_comes_back_as_it_was(run: Run, runs_dir: Path) -> None:
    before = files(run.path)
    trashed = keeping.delete(run)
    assert trashed.path.parent == runs_dir / ".trash"
    assert list_runs(runs_dir) == []
    assert RunIndex(runs_dir).rows() == []
    (found,) = keeping.list_trash(runs_dir)
    assert (found.path, found.name) == (trashed.path, "one")
    assert abs(found.deleted - trashed.deleted) < 1.5
    assert keeping.restore(found) == run
    assert files(run.path) == before
    assert keeping.list_trash(runs_dir) == []


def test_a_damaged_run_can_be_deleted_and_brought_back(run: Run) -> None:
    (run.path / "run.json").write_text("{")
    assert keeping.restore(keeping.delete(run)) == run
    assert (run.path / "run.json").read_text() == "{"


def test_runs_of_one_name_lie_beside_each_other_in_the_trash(runs_dir: Path) -> None:
    trashed = [keeping.delete(Run(make_run(runs_dir, "one", loss=i))) for i in range(3)]
    assert len({t.path for t in trashed}) == 3
    assert [t.path for t in keeping.list_trash(runs_dir)] == [t.path for t in reversed(trashed)]


def test_a_run_comes_back_only_where_its_name_is_free(run: Run, runs_dir: Path) -> None:
    trashed = keeping.delete(run)
    other = Run(make_run(runs_dir, "one", loss=9.0))
    with pytest.raises(RunError, match="already a run 'one'"):
        keeping.restore(trashed)
    assert other.status().loss == 9.0
    assert trashed.path.is_dir()
    keeping.rename(other, "two")
    keeping.restore(trashed)
    assert run.status().loss == 0.5


def test_the_trash_is_emptied_on_request_and_nothing_else_with_it(run: Run, runs_dir: Path) -> None:
    keeping.delete(Run(make_run(runs_dir, "two")))
    keeping.delete(Run(make_run(runs_dir, "three")))
    (runs_dir / ".trash" / "not ours").mkdir()
    assert keeping.empty_trash(runs_dir) == 2
    assert [path.name for path in (runs_dir / ".trash").iterdir()] == ["not ours"]
    assert list_runs(runs_dir) == [run]
    assert keeping.empty_trash(runs_dir) == 0
    assert keeping.empty_trash(runs_dir / "nowhere") == 0


# --- While it is trained ---

HOLD = """
import sys
from pathlib import Path
from engine.runs.folder import Run
with Run(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_run_that_is_trained_elsewhere_keeps_its_name_and_place(run: Run, runs_dir: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=-1, stdout=-1, text=True
    ) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="is being trained"):
            keeping.rename(run, "two")
        with pytest.raises(RunError, match="is being trained"):
            keeping.delete(run)
        keeping.change_tags(run, ["live"])
        keeping.write_note(run, "so far so good")
        assert list_runs(runs_dir) == [run]
        assert keeping.list_trash(runs_dir) == []
        trainer.communicate("go on\n")
    assert keeping.rename(run, "two").info()["tags"] == ["live"]
