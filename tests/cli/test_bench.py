"""`ddpm-tui bench`, as a person and a script meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddpm_tui.cli import main
from ddpm_tui.headless.benching import bench_report
from engine.bench.suite import BenchReport, Efficiency, SamplingSpeed, StepPhases, TrainingSpeed
from engine.bench.timing import Spread
from engine.config import RunConfig, make_config
from tests.cli.conftest import Cli
from tests.cli.test_light_start import PROBE


def tiny_configs(_dataset: str, dataset_size: int) -> dict[str, RunConfig]:
    tiny = {
        "data": {"dataset": "fashion-mnist-10k", "batch_size": 4},
        "diffusion": {"num_train_timesteps": 8},
        "model": {"block_out_channels": (8, 16), "attention_levels": ()},
        "training": {"steps": 1000, "checkpoint_every": 1000, "preview_every": 0},
    }
    return {"tiny": make_config(dataset_size=dataset_size, **tiny)}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks, products and a temporary folder of a size for tests."""
    monkeypatch.setattr("engine.bench.ours.standard_configs", tiny_configs)
    monkeypatch.setattr("engine.bench.peak.SIZES", {"cpu": (64,)})
    monkeypatch.setattr("engine.bench.suite.PICTURES", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """The command in this process, so that its networks can be small ones."""
    monkeypatch.setattr(sys, "argv", ["ddpm-tui", "bench", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


SHORT = ("--rounds", "1", "--seconds", "0.01", "--device", "cpu")


@pytest.mark.slow
def test_json_has_every_figure(tiny, monkeypatch, capsys) -> None:
    assert call(monkeypatch, *SHORT, "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    facts = json.loads(said.out)
    assert list(facts) == [
        *("device", "torch", "dataset", "origin", "images", "rounds", "seconds", "full"),
        *("training", "sampling", "phases", "efficiency"),
    ]
    assert (facts["rounds"], facts["seconds"], facts["full"]) == (1, 0.01, False)
    theirs, ours = facts["training"]
    assert (theirs["loop"], ours["loop"]) == ("article", "ours")
    assert ours["network"] == "tiny"
    assert set(ours["images_per_second"]) == {"median", "min", "max"}
    assert theirs["times_article"] == {"median": 1, "min": 1, "max": 1}
    for row in facts["sampling"]:
        assert 1 <= row["steps_timed"] <= row["steps"] == 8
        assert row["seconds"]["median"] > 0
    [phases], [used] = facts["phases"], facts["efficiency"]
    assert set(phases["phases"]) == {
        *("data", "forward", "backward", "optimizer", "ema", "logging")
    }
    assert used["flops_per_step"] > 0
    assert used["share"] > 0
    assert list(tiny.iterdir()) == []


@pytest.mark.slow
def test_a_table_goes_to_stdout_and_progress_to_stderr(tiny, monkeypatch, capsys) -> None:
    assert call(monkeypatch, *SHORT, "--full") == 0
    said = capsys.readouterr()
    # On a busy machine lines of progress follow.
    assert said.err.startswith("loading torch and the data\n")
    assert "tiny     ours" in said.out
    assert "8 of 8" in said.out
    assert "scaled" not in said.out, "--full scales nothing"
    assert list(tiny.iterdir()) == []


# --- the table ---


def spread(value: float) -> Spread:
    return Spread(value, 0.9 * value, 1.1 * value)


STEP = {
    "data": 0.1234,
    "forward": 9.876,
    "backward": 100,
    "optimizer": 1,
    "ema": 12,
    "logging": 0,
}

REPORT = BenchReport(
    "cpu (2 threads)",
    "2.14.1",
    "fashion-mnist",
    "/data",
    60_000,
    5,
    2.0,
    False,
    [
        TrainingSpeed("article", "article", 128, "fp32", 9, spread(1234.5), Spread(1, 1, 1)),
        TrainingSpeed("article", "ours", 128, "bf16", 9, spread(2345.6), Spread(1.9, 1.8, 2)),
    ],
    [
        SamplingSpeed("article", "article", "ddpm", 100, 1000, 50, spread(123.4), Spread(1, 1, 1)),
        SamplingSpeed("article", "ours", "ddim", 100, 50, 50, spread(12.34), Spread(10, 9, 11)),
    ],
    [StepPhases("article", 10, spread(123.4), STEP)],
    [Efficiency("article", "bf16", 19_100_000_000, 18.1e9, 1234e9, 2048, 0.01467)],
)


def test_the_table_rounds_and_says_what_is_scaled() -> None:
    table = bench_report(REPORT)
    assert max(map(len, table.splitlines())) <= 80
    rows = [line.split() for line in table.splitlines()]
    assert ["article", "ours", "128", "bf16", "2,350", "2,110–2,580", "1.90"] in rows
    scaled = "article article ddpm 50 of 1,000 ~ 120 110–140 1.00"
    assert scaled.split() in rows
    assert ["article", "ours", "ddim", "50", "of", "50", "12.3", "11.1–13.6", "10.00"] in rows
    assert "~ scaled up from the steps timed" in table
    assert ["article", "0.123", "9.88", "100", "1", "12", "0", "123", "111–136"] in rows
    assert ["article", "bf16", "19.1", "18.1", "1,230", "2,048", "1.5", "%"] in rows


def test_the_table_is_silent_on_scaling_where_nothing_is_scaled() -> None:
    whole = [replace(row, steps_timed=row.steps) for row in REPORT.sampling]
    table = bench_report(replace(REPORT, sampling=whole))
    assert "~" not in table


# --- how it ends ---


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["ddpm-tui-bench-*", "ddpm-tui-bench-*/*/train.log"])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, moment: str) -> None:
    """The real networks, interrupted while they load and while they train."""
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "ddpm_tui", "bench", "--device", "cpu"]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as which these tests may run, ignores Ctrl+C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as benchmark:
        until = time.monotonic() + 120
        while not any(tmp_path.glob(moment)):
            assert benchmark.poll() is None, benchmark.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        benchmark.send_signal(signal.SIGINT)
        out, err = benchmark.communicate(timeout=60)
    assert benchmark.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--rounds", "0"), 2, "--rounds"),
        (("--seconds", "0"), 2, "--seconds"),
        (("--device", "cuda:99"), 1, "cuda:99"),
        (("--data-dir", "nowhere"), 1, "nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    cli: Cli, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = cli("bench", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_is_there_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=("bench", "--help"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Usage: ")
    for option in ("--rounds", "--seconds", "--full", "--device", "--data-dir", "--json"):
        assert option in done.stdout
    assert done.stderr.splitlines()[-1] == "heavy: []", done.stderr
