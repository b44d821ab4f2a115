"""Run folders of other versions of the program: older ones open, newer ones are refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from engine.events import CheckpointSaved, Finished
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import SCHEMA_VERSION, Run, create_run, open_run
from engine.runs.summary import summary
from engine.train import Trainer
from tests.cli.conftest import run_cli
from tests.crash.life import small_config

# All that look into a run; rename and delete only move its folder, whatever is in it.
VERBS = [
    ("resume", "run1"),
    ("sample", "run1"),
    ("evaluate", "run1"),
    ("export", "run1"),
    ("show", "run1"),
    ("inspect", "run1"),
    ("take", "run1"),
    ("tag", "run1", "good"),
    ("note", "run1", "mine"),
    ("edit", "start", "run1", "--from-test", "3"),
    ("compare", "run1", "run1"),
]


@pytest.fixture
def stopped(memory: Path, quick_trainings: None, tmp_path: Path) -> Run:
    run = create_run(tmp_path / "runs", small_config())
    for event in Trainer(run, device="cpu"):
        if isinstance(event, CheckpointSaved):
            break
    return run


def test_a_folder_without_what_later_versions_added_is_trained_on(stopped: Run) -> None:
    """Tags, skipped steps, the loss by timestep, rollbacks and the scaler came later."""
    info = {key: stopped.info()[key] for key in ("schema_version", "name", "created")}
    created = (stopped.path / "run.json").stat().st_mtime_ns
    (stopped.path / "run.json").write_text(json.dumps(info))
    os.utime(stopped.path / "run.json", ns=(created, created))
    rows = [json.loads(line) for line in stopped.metrics_path.read_text().splitlines()]
    for row in rows:
        del row["loss_by_t"], row["skipped"]
    stopped.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [checkpoint] = list_checkpoints(stopped)
    state = checkpoint.state()
    for later in ("rollbacks", "scaler", "parameters"):
        del state[later]
    (checkpoint.path / "state.json").write_text(json.dumps(state))
    manifest = json.loads((checkpoint.path / "MANIFEST.json").read_text())
    content = (checkpoint.path / "state.json").read_bytes()
    manifest["sha256"]["state.json"] = hashlib.sha256(content).hexdigest()
    (checkpoint.path / "MANIFEST.json").write_text(json.dumps(manifest))

    opened = open_run(stopped.path.parent, "run1")
    assert summary(opened)["state"] == "stopped"
    assert list(Trainer(opened, device="cpu"))[-1] == Finished(5)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_folder_of_a_newer_version_is_refused_by_every_verb(stopped: Run, verb) -> None:
    path = stopped.path / "run.json"
    path.write_text(json.dumps({**stopped.info(), "schema_version": 7}))
    before = {each: each.stat().st_mtime_ns for each in stopped.path.rglob("*")}
    done = run_cli(*verb, cwd=stopped.path.parents[1])
    assert done.returncode == 1, done.stdout
    assert "run-folder version 7" in done.stderr
    assert f"this program knows up to {SCHEMA_VERSION}" in done.stderr
    assert "Open it with a newer ddpm-tui" in done.stderr
    assert "Traceback" not in done.stderr
    assert {each: each.stat().st_mtime_ns for each in stopped.path.rglob("*")} == before
