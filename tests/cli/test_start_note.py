"""Commands that sample from noise note a start far below T − 1, once, and the others do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import run_cli

LATE = ["--set", "sampling.timestep_spacing=linspace"]


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("sample tiny --steps 1 --num 1 --timestep-spacing linspace", "--timestep-spacing"),
        ("take tiny --steps 1 --num 1 --timestep-spacing linspace", "--timestep-spacing"),
        ("edit interpolate tiny --steps 1 --seeds 1,2 --sampler ddim", "--set sampling.timestep"),
        ("sample tiny --steps 1 --num 1", ""),
        ("edit start tiny --steps 1 --from-test 3 --strength 1", ""),
    ],
)
def test_the_note(trained: Path, tmp_path: Path, command: str, advice: str) -> None:
    words = command.split() + LATE * command.startswith("edit")
    done = run_cli(*words, "--runs-dir", str(trained), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("starts at t = 0 of 11") == bool(advice), done.stderr
    assert advice in done.stderr
