"""`ddpm-tui show --plot`: the loss of a run, drawn in the shell."""

from __future__ import annotations

import json
import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_tui.headless.plotting import NOTHING, loss_plot
from tests.cli.conftest import run_cli


def written(folder: Path, losses: list[float]) -> Path:
    path = folder / "metrics.jsonl"
    rows = (json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses, 1))
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def test_a_falling_loss_falls_between_round_ticks(tmp_path: Path) -> None:
    metrics = written(tmp_path, [math.exp(-step / 300) for step in range(1500)])
    title, *lines = loss_plot(metrics, 80, 16, color=False).split("\n")
    assert title == "loss by step: ▄▄ each, ── smoothed"
    assert {len(line) for line in lines} == {80}
    assert len(lines) == 15
    labels = [line.split("┤")[0].strip() for line in lines if "┤" in line]
    assert labels == ["1", "0.3", "0.1", "0.03", "0.01"]
    assert lines[-1].split() == ["250", "500", "750", "1k", "1.25k", "1.5k"]
    heights = [min(y for y, line in enumerate(lines) if line[x] > "▀") for x in range(6, 72, 12)]
    assert heights == sorted(heights)
    assert heights[-1] - heights[0] >= 8


def test_only_what_is_finite_is_drawn(tmp_path: Path) -> None:
    metrics = written(tmp_path, [math.nan, 0.5, math.inf, 0.25, 0.0, -1.0, math.nan])
    assert "┤" in loss_plot(metrics, 40, 10, color=False)
    assert loss_plot(written(tmp_path, [math.nan] * 9), 40, 10, color=False) == NOTHING
    assert loss_plot(tmp_path / "none", 40, 10, color=False) == NOTHING


@pytest.mark.parametrize("losses", [[0.5], [0.5, 0.5], [1e-300, 1e300]])
def test_any_losses_and_the_smallest_size_are_drawn(tmp_path: Path, losses) -> None:
    for width, height in ((20, 6), (100, 16)):
        lines = loss_plot(written(tmp_path, losses), width, height, color=False).split("\n")
        assert [len(line) for line in lines[1:]] == [width] * (height - 1)


def test_show_plots_when_it_is_asked_to(trained: Path, tmp_path: Path) -> None:
    show = ("show", "tiny", "--runs-dir", str(trained))
    piped = run_cli(*show, cwd=tmp_path)
    assert "loss by step" not in piped.stdout
    asked = run_cli(*show, "--plot", cwd=tmp_path)
    report, plot = asked.stdout.split("\nloss by step")
    assert report == piped.stdout
    assert "┤" in plot
    assert "\x1b" not in plot


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_show_plots_on_a_terminal_in_its_width(trained: Path, environment) -> None:
    inner, outer = pty.openpty()
    os.set_inheritable(outer, True)
    with os.fdopen(inner, "rb") as screen:
        done = subprocess.Popen(
            [sys.executable, "-m", "ddpm_tui", "show", "tiny", "--runs-dir", str(trained)],
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "61", **environment},
            stdin=subprocess.DEVNULL,
            stdout=outer,
        )
        os.close(outer)
        seen = b""
        try:
            while part := screen.read1():
                seen += part
        except OSError:
            pass  # Linux says so when the other end is closed
        assert done.wait() == 0
    plot = seen.decode().split("loss by step")[1]
    assert ("\x1b[" in plot) == (not environment)
    if environment:
        assert len(plot.split("\r\n")[1]) == 61
