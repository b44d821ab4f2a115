"""Run folders for a workbench on a real terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tui.conftest import train


@pytest.fixture(scope="session")
def _few_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("few") / "runs"
    train(runs, "tiny")
    train(runs, "classes", class_conditional=True)
    broken = runs / "broken"
    broken.mkdir()
    (broken / "run.json").write_text('{"schema_version": 1}')
    (broken / "status.json").write_text("\x1b[2J not json")
    return runs


@pytest.fixture
def few_runs(_few_runs: Path, tmp_path: Path) -> Path:
    """The folder `runs` in `tmp_path`: `tiny`, `classes` (told the classes), and a broken one."""
    return Path(shutil.copytree(_few_runs, tmp_path / "runs"))
