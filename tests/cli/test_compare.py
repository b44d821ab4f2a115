"""`ddpm-tui compare`: figures and differences as text and as JSON, from the folders alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.config import make_config
from engine.runs.folder import Status, create_run
from tests.cli.conftest import Cli, run_cli


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for name, lr, loss in (("one", 0.001, 0.5), ("two", 0.002, 0.25)):
        config = make_config(dataset_size=10_000, training={"lr": lr})
        run = create_run(folder, config, name=name)
        run.write_status(Status("finished", "", 10, 10, loss=loss))
    return folder


def test_figures_and_differences_stand_in_columns(cli: Cli, runs: Path) -> None:
    done = cli("compare", "one", "two")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["SCORES"] == ["one", "two"]
    assert rows["loss"] == ["0.5000", "0.2500*"]
    assert rows["training.lr"] == ["0.001", "0.002"]
    assert "one is not evaluated: ddpm-tui evaluate one" in done.stdout
    assert "* is the best of its row" in done.stdout


def test_the_json_is_by_key_and_run(cli: Cli, runs: Path) -> None:
    done = cli("compare", "two", "one", "two", "--json")
    values = json.loads(done.stdout)
    assert values["runs"] == ["two", "one"], "each once, in the order given"
    assert values["figures"]["loss"] == {"one": 0.5, "two": 0.25}
    assert values["config"] == {"training.lr": {"one": 0.001, "two": 0.002}}
    assert values["best"]["loss"] == ["two"]


def test_equal_configs_a_single_run_and_a_wrong_name_are_said(cli: Cli, runs: Path) -> None:
    config = runs / "one" / "config.toml"
    (runs / "two" / "config.toml").write_text(config.read_text())
    assert "The runs have the same config." in cli("compare", "one", "two").stdout
    assert "nothing to differ from" in cli("compare", "one").stdout
    wrong = cli("compare", "one", "three")
    assert wrong.returncode == 1
    assert "There is no run 'three'" in wrong.stderr
    assert cli("compare").returncode == 2


def test_an_unreadable_config_reads_the_same_as_in_show(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    shutil.copytree(tmp_path / "runs/tiny", tmp_path / "runs/odd")
    config = tmp_path / "runs/odd/config.toml"
    config.write_text(config.read_text(), encoding="utf-16")
    shown = run_cli("show", "odd", cwd=tmp_path)
    assert shown.returncode == 1
    why = shown.stderr.removeprefix("ddpm-tui: ").strip()
    assert "is not UTF-8 text" in why
    compared = run_cli("compare", "tiny", "odd", cwd=tmp_path)
    assert f"odd: {why}" in compared.stdout
