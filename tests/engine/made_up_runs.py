"""Run folders that nobody trained: what a listing reads of a run, and no more."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_CONFIG = 'preset = "default"\n[data]\ndataset = "mnist"\n[model]\nname = "dit"\n'
_START = 1_700_000_000


def make_run(runs_dir: Path, name: str, number: int = 0, **values: Any) -> Path:
    """A finished run.

    Args:
        number: a later one is newer by a minute.
        values: of status.json, or tags, notes and archived of run.json.
    """
    path = runs_dir / name
    path.mkdir(parents=True)
    created = _START + 60 * number
    info = {"schema_version": 1, "name": name, "created": created}
    info |= {key: values.pop(key) for key in ("tags", "notes", "archived") if key in values}
    status = {"state": "finished", "step": 10, "total_steps": 10, "loss": 0.5, "updated": created}
    (path / "config.toml").write_text(_CONFIG)
    (path / "status.json").write_text(json.dumps(status | values))
    (path / "run.json").write_text(json.dumps(info))
    os.utime(path / "run.json", (created, created))
    return path


def make_runs(runs_dir: Path, count: int) -> Path:
    """Runs `run1`, `run2`, … of which the last is the newest."""
    for number in range(1, count + 1):
        make_run(runs_dir, f"run{number}", number, loss=number / count)
    return runs_dir
