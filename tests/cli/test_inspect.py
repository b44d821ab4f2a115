"""`ddpm-tui inspect`: the network of a run as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from engine.config import from_toml
from engine.models import build_model
from tests.cli.conftest import run_cli


def test_the_tree_of_a_run_names_every_module(trained: Path) -> None:
    done = run_cli("inspect", "tiny", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    config = from_toml((trained / "tiny" / "config.toml").read_text())
    model = build_model(config, (1, 28, 28), 10)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert f"UNet, {total:,} parameters" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert sum("conv1" in row for row in rows) == sum(
        name.endswith("conv1") for name, _ in model.named_modules()
    )
    assert "not called" not in done.stdout


def test_json_has_every_part_with_its_share_of_the_time(trained: Path) -> None:
    done = run_cli("inspect", "tiny", "--json", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    whole, *parts = facts["parts"]
    leaves = [part for part in parts if not part["has_parts"]]
    assert sum(part["parameters"] for part in leaves) == whole["parameters"]
    assert whole["time"] == 1
    assert all(0 <= part["time"] <= 1 for part in parts)
    assert facts["timing"]["passes"] >= 1


def test_a_run_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = run_cli("inspect", "nothing", cwd=tmp_path)
    assert done.returncode == 1
    assert "There is no run 'nothing'" in done.stderr
    assert "Traceback" not in done.stderr
