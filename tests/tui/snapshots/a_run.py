"""A runs folder that is the same everywhere: nothing in it was computed by a network."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from engine.config import make_config
from engine.data.dataset import load
from engine.images import write_png
from engine.runs import io
from engine.runs.folder import Run, Status, create_run
from engine.runs.metrics import TIMESTEP_BUCKETS, append_row
from engine.runs.previews import preview_path

NOW = 1_767_355_200.0  # 2026-01-02 12:00 UTC, by which the ages of the runs are told
_HOUR = 3600.0


def make_runs(runs_dir: Path) -> None:
    """`aurora` has finished with all that a run can have; `breeze` was stopped, `cinder` failed."""
    _run(runs_dir, "cinder", "failed", 40, 400, reason="the loss is not a number at step 40")
    _run(runs_dir, "breeze", "stopped", 130, 1_000)
    aurora = _run(runs_dir, "aurora", "finished", 500, 500)
    for step in (100, 300, 500):
        _checkpoint(aurora, step)
    _previews(aurora)


def _run(runs_dir: Path, name: str, state: str, step: int, total: int, *, reason: str = "") -> Run:
    config = make_config(
        dataset_size=10_000, data={"dataset": "fashion-mnist-10k"}, training={"steps": total}
    )
    run = create_run(runs_dir, config, name=name, command=["ddpm-tui", "train", "--name", name])
    loss = 1.0
    for at in range(10, step + 1, 10):
        loss = 0.03 + 0.9 * math.exp(-at / 90) + 0.01 * math.sin(at)
        append_row(
            run.metrics_path,
            {
                "step": at,
                "loss": loss,
                "lr": 3e-4 * min(1, at / 50),
                "grad_norm": 0.4 + 2 / at,
                "images_per_second": 210.0 + at % 7,
                "elapsed": at * 0.6,
                "skipped": 0,
                "loss_by_t": [
                    round(loss * (1.6 - 1.2 * k / TIMESTEP_BUCKETS), 4)
                    for k in range(TIMESTEP_BUCKETS)
                ],
            },
        )
    _write(
        run,
        Status(
            state, reason, step, total, loss=loss, eval_loss=loss * 1.1, images_per_second=212.0,
            elapsed=step * 0.6, device="cpu (2 threads)", host="box", pid=1,
        ),
    )  # fmt: skip
    run.log_path.write_text(
        "".join(
            f"2026-01-02 03:{at // 60:02}:{at % 60:02}  {words}\n"
            for at, words in ((0, f"training {name} on cpu"), (61, "preview at step 100"))
        )
    )
    return run


def _write(run: Run, status: Status) -> None:
    """The status and the run at fixed times, which also put the runs in a fixed order."""
    hours = {"aurora": 2.5, "breeze": 5.5, "cinder": 50.5}[run.name]
    then = NOW - hours * _HOUR
    io.write_json(run.path / "status.json", asdict(replace(status, updated=then)))
    described = json.loads((run.path / "run.json").read_text())
    io.write_json(run.path / "run.json", {**described, "created": then})
    os.utime(run.path / "run.json", (then, then))


def _checkpoint(run: Run, step: int) -> None:
    """As much of one as is listed; there are no weights."""
    folder = run.checkpoints_path / f"step-{step:08d}"
    folder.mkdir()
    state = {"step": step, "eval_loss": 0.03 + 0.9 * math.exp(-step / 90), "elapsed": step * 0.6,
             "image_shape": [1, 28, 28], "class_names": [], "parameters": 1}  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "MANIFEST.json").write_text('{"sha256": {}}')


def _previews(run: Run) -> None:
    """Real pictures, in less and less noise."""
    clean = load("fashion-mnist-10k").images[:16].numpy().astype(int)
    noise = np.random.default_rng(0).integers(0, 256, clean.shape)
    for step, share in ((100, 0.7), (300, 0.3), (500, 0.0)):
        mixed = (clean * (1 - share) + noise * share).round().astype(np.uint8)
        write_png(preview_path(run, step, "ema"), mixed)
