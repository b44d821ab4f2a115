"""Links in a runs folder: read where that does no harm, never written or removed through."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import CheckpointError, EngineError, RunError
from engine.export import export_run
from engine.images import write_gif, write_png
from engine.obeying import obeying
from engine.runs import keeping
from engine.runs.checkpoint import (
    MANIFEST,
    find_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    save_checkpoint,
)
from engine.runs.folder import Run, create_run, list_runs, open_run
from engine.runs.index import RunIndex
from engine.runs.requests import Requests, ask
from engine.runs.summary import summary
from engine.takes.favourites import add_favourite, list_favourites, remove_favourite
from engine.takes.recipe import Recipe
from engine.takes.sources import save_mask
from engine.train import Trainer


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Files of a person, which have nothing to do with any run."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter").write_text("dear")
    (folder / "step-00000001").mkdir()
    (folder / "step-00000001/diary").write_text("today")
    return folder


@pytest.fixture
def run(tmp_path: Path, tiny_config) -> Run:
    return create_run(tmp_path / "runs", tiny_config(), name="tiny", command=["ddpm-tui"])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def train(run: Run) -> None:
    for _ in obeying(Trainer(run, device="cpu"), Requests(run)):
        pass


# --- A run that is a link -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> Path:
    runs = tmp_path_factory.mktemp("trained")
    train(create_run(runs, tiny_config(), name="tiny", command=["ddpm-tui"]))
    return runs / "tiny"


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(_trained, tmp_path / "runs/tiny")))


@pytest.fixture
def linked(trained: Run, tmp_path: Path) -> Run:
    """A run that was trained, and is elsewhere."""
    away = tmp_path / "large-disk"
    away.mkdir()
    shutil.move(trained.path, away / "tiny")
    trained.path.symlink_to(away / "tiny")
    return trained


def test_a_runs_folder_may_be_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    found = open_run(tmp_path / "link", "tiny")
    found.log("written")
    keeping.change_tags(found, ["base"])
    train(found)
    assert summary(run)["tags"] == ["base"]


def test_a_run_that_is_a_link_is_read(linked: Run, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert [each.name for each in list_runs(runs)] == ["tiny"]
    assert [row["name"] for row in RunIndex(runs).rows()] == ["tiny"]
    assert find_checkpoint(open_run(runs, "tiny")).step == 6


DEEDS: dict[str, Callable[[Run], object]] = {
    "train": train,
    "tag": lambda run: keeping.change_tags(run, ["base"]),
    "note": lambda run: keeping.write_note(run, "x"),
    "archive": lambda run: keeping.set_archived(run, True),
    "mask": lambda run: save_mask(run, np.ones((2, 2), bool)),
    "export": lambda run: export_run(run, find_checkpoint(run)),
    "favourite": lambda run: add_favourite(run, Recipe("tiny", 6, run.config().sampling), 0),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_is_written_into_a_run_that_is_a_link(
    linked: Run, tmp_path: Path, deed: str
) -> None:
    away = tmp_path / "large-disk/tiny"
    write_png(away / "samples/a-step6.png", np.zeros((1, 1, 4, 4), np.uint8))
    write_gif(away / "samples/a-step6.gif", [np.zeros((1, 1, 4, 4), np.uint8)])
    before = contents(away)
    with pytest.raises(RunError, match=r"is a link to .*large-disk") as caught:
        DEEDS[deed](linked)
    assert str(tmp_path / "large-disk") in caught.value.hint
    assert contents(away) == before


def test_of_a_run_that_is_a_link_only_the_link_is_renamed_and_deleted(
    linked: Run, tmp_path: Path
) -> None:
    runs, away = tmp_path / "runs", tmp_path / "large-disk/tiny"
    before = contents(away)
    renamed = keeping.rename(linked, "other")
    assert (renamed.name, renamed.path.resolve()) == ("other", away)
    trashed = keeping.delete(renamed)
    assert list_runs(runs) == []
    back = keeping.restore(trashed)
    assert (back.name, back.path.resolve()) == ("other", away)
    keeping.delete(back)
    assert keeping.empty_trash(runs) == 1
    assert list(runs.glob(".trash/*")) == []
    assert contents(away) == before


def test_a_relative_link_leads_to_the_same_from_the_trash(linked: Run, tmp_path: Path) -> None:
    linked.path.unlink()
    linked.path.symlink_to("../large-disk/tiny")
    trashed = keeping.delete(linked)
    assert trashed.path.resolve() == tmp_path / "large-disk/tiny"


# --- Links inside of a run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["samples", "checkpoints", "requests", "train.log", "metrics.jsonl", ".lock"]
)
def test_a_training_writes_through_no_link(run: Run, elsewhere: Path, name: str) -> None:
    path = run.path / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    before = contents(elsewhere)
    path.symlink_to(elsewhere if "." not in name else elsewhere / "letter")
    # Of a checkpoint that does not verify there is more to say.
    said = "does not verify" if name == "checkpoints" else "is a link"
    with pytest.raises(RunError, match=said):
        train(run)
    assert contents(elsewhere) == before


def test_a_log_that_is_a_link_is_not_appended_to(run: Run, elsewhere: Path) -> None:
    run.log_path.symlink_to(elsewhere / "letter")
    with pytest.raises(RunError, match="link"):
        run.log("written")
    assert (elsewhere / "letter").read_text() == "dear"


def test_requests_are_not_taken_out_of_another_folder(run: Run, elsewhere: Path) -> None:
    (run.path / "requests").symlink_to(elsewhere)
    assert Requests(run).next() is None
    with run_locked(run), pytest.raises(RunError, match="is a link"):
        ask(run, "stop")
    assert (elsewhere / "letter").exists()


class run_locked:
    """Somebody trains the run."""

    def __init__(self, run: Run) -> None:
        self.path = run.path / ".lock"

    def __enter__(self) -> None:
        import fcntl

        self.file = self.path.open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


@pytest.mark.parametrize("name", ["status.json", "run.json", "config.toml", "samples/x.png"])
def test_a_file_that_is_replaced_takes_the_place_of_a_link(
    run: Run, elsewhere: Path, name: str
) -> None:
    from engine.runs import io

    path = run.path / name
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere / "letter")
    io.write_atomic(path, b"new")
    assert not path.is_symlink()
    assert (elsewhere / "letter").read_text() == "dear"


def test_a_thumbnail_is_not_removed_through_a_link(run: Run, elsewhere: Path) -> None:
    kept = add_favourite(
        run, Recipe("tiny", 6, run.config().sampling), 0, np.zeros((1, 4, 4), np.uint8)
    )
    assert kept.thumbnail is not None
    folder = kept.thumbnail.parent
    (elsewhere / kept.thumbnail.name).write_text("mine")
    shutil.rmtree(folder)
    folder.symlink_to(elsewhere)
    with pytest.raises(RunError, match="is a link"):
        remove_favourite(run, list_favourites(run)[0])
    assert (elsewhere / kept.thumbnail.name).read_text() == "mine"


@pytest.mark.parametrize("name", ["samples/a-step6.png", "samples/a-step6.gif", "config.toml"])
def test_an_export_hands_on_nothing_but_the_runs_own(
    trained: Run, elsewhere: Path, tmp_path: Path, name: str
) -> None:
    run = trained
    write_png(run.samples_path / "a-step6.png", np.zeros((1, 1, 4, 4), np.uint8))
    write_gif(run.samples_path / "a-step6.gif", [np.zeros((1, 1, 4, 4), np.uint8)])
    path = run.path / name
    shutil.copy(path, elsewhere / "secret")
    path.unlink()
    path.symlink_to(elsewhere / "secret")
    with pytest.raises(RunError, match="is a link"):
        export_run(run, find_checkpoint(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_trash_of_somebody_else_is_not_emptied(run: Run, elsewhere: Path) -> None:
    (elsewhere / "run1-20260101-000000").mkdir()
    (run.path.parent / keeping.TRASH).symlink_to(elsewhere)
    for deed in (keeping.empty_trash, keeping.list_trash):
        with pytest.raises(RunError, match="is a link"):
            deed(run.path.parent)
    with pytest.raises(RunError, match="is a link"):
        keeping.delete(run)
    assert (elsewhere / "run1-20260101-000000").exists()
    assert run.path.exists()


def test_what_links_in_a_deleted_run_lead_to_stays(run: Run, elsewhere: Path) -> None:
    (run.samples_path / "link").symlink_to(elsewhere)
    (run.checkpoints_path / "step-00000001").symlink_to(elsewhere / "step-00000001")
    before = contents(elsewhere)
    keeping.delete(run)
    keeping.empty_trash(run.path.parent)
    assert contents(elsewhere) == before


def test_a_checkpoint_that_is_a_link_is_not_pruned_through(run: Run, elsewhere: Path) -> None:
    (run.checkpoints_path / "step-00000001").symlink_to(elsewhere / "step-00000001")
    before = contents(elsewhere)
    saved = save_checkpoint(run, 6, {}, {})
    prune_checkpoints(run, 1, saved)
    assert contents(elsewhere) == before


# --- Names that are paths -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/dev/zero", "a/b", "..", "", "MANIFEST"])
def test_a_manifest_names_no_path(trained: Run, name: str) -> None:
    checkpoint = list_checkpoints(trained)[-1]
    manifest = json.loads((checkpoint.path / MANIFEST).read_text())
    manifest["sha256"][name] = "0" * 64
    (checkpoint.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="is no file of a checkpoint"):
        checkpoint.verify()


@pytest.mark.parametrize("file", ["run.json", "status.json", "config.toml", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
@pytest.mark.timeout(20)
def test_what_is_no_file_is_not_waited_for(run: Run, file: str, kind: str) -> None:
    path = run.path / file
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
    if file == "metrics.jsonl":
        from engine.runs.curves import CurveReader
        from engine.runs.metrics import Metrics, tail_losses

        assert len(Metrics(path).read_all()) == 0
        assert CurveReader(path).poll() is False
        assert tail_losses(path) == []
    elif file == "status.json":
        # What the run has come to is known without it.
        assert summary(run)["state"] == "stopped"
        assert run.status().reason == "its status was lost"
    else:
        assert summary(run)["state"] == "unreadable"
        with pytest.raises(EngineError):
            _ = run.config() if file == "config.toml" else run.info()
