"""Watches a run folder from a thread and posts immutable snapshots of it.

The same path serves a run of this process, of another process and of another machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from textual.message import Message

from engine.errors import EngineError
from engine.images import Pixels, read_png
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, Status
from engine.runs.metrics import Metrics

Floats = npt.NDArray[np.float64]

# How often the folder is looked at, in seconds.
INTERVAL = 0.5
# Points of the smoothed curve, and columns of the raw one: the screen has no more.
_SMOOTH_POINTS = 300
_RAW_POINTS = 2000
_LOG_LINES = 200


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a run folder said at one moment.

    Attributes:
        steps, losses: the raw curve, at most a few thousand points, extremes kept.
        smooth_steps, smooth_losses: the mean of the loss over even stretches.
        last: the newest row of the metrics.
        grid: the newest finished sample grid, uint8 (N, C, H, W), and its step.
        checkpoints: steps of the checkpoints, oldest first.
        log: the last lines of train.log.
    """

    run: Run
    status: Status
    config: dict[str, Any]
    steps: Floats
    losses: Floats
    smooth_steps: Floats
    smooth_losses: Floats
    last: dict[str, float] = field(default_factory=dict)
    grid: Pixels | None = None
    grid_step: int = -1
    checkpoints: tuple[int, ...] = ()
    log: tuple[str, ...] = ()


class RunChanged(Message):
    """A new snapshot of the watched run."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


def bucket_means(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """The mean of y over `points` even stretches of the rows; NaN where a stretch has no value."""
    if len(x) == 0:
        return x, y
    edges = np.unique(np.linspace(0, len(x), min(points, len(x)) + 1).astype(np.int64))
    starts = edges[:-1]
    finite = np.isfinite(y)
    sums = np.add.reduceat(np.where(finite, y, 0.0), starts)
    counts = np.add.reduceat(finite.astype(np.float64), starts)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return x[edges[1:] - 1], means


def smooth_curve(x: Floats, y: Floats, points: int = _SMOOTH_POINTS) -> tuple[Floats, Floats]:
    """Means over stretches, then a running mean over neighbouring stretches."""
    x, y = bucket_means(x, y, points)
    width = max(3, len(y) // 16) | 1
    if len(y) == 0:
        return x, y
    finite = np.isfinite(y)
    kernel = np.ones(min(width, len(y)))
    sums = np.convolve(np.where(finite, y, 0.0), kernel, mode="same")
    counts = np.convolve(finite.astype(np.float64), kernel, mode="same")
    with np.errstate(invalid="ignore"):
        return x, sums / counts


class RunFeed:
    """A thread that watches one run and posts `RunChanged` when something changed."""

    def __init__(self, run: Run, post: Callable[[Message], object]) -> None:
        self.run = run
        self._post = post
        self._ended = threading.Event()
        self._metrics = Metrics(run.metrics_path)
        self._grid: Pixels | None = None
        self._grid_step = -1
        self._seen: tuple[Any, ...] | None = None
        self._thread = threading.Thread(target=self._main, name=f"watch {run.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def _main(self) -> None:
        from ddpm_tui.widgets.chart import decimate

        config: dict[str, Any] = {}
        while not self._ended.is_set():
            try:
                config = config or self.run.config_values()
                while self._metrics.poll():
                    pass
                status = self.run.status()
                checkpoints = tuple(c.step for c in list_checkpoints(self.run))
                self._read_grid()
            except (EngineError, OSError):
                # The folder is being made, or was deleted under us: look again later.
                self._ended.wait(INTERVAL)
                continue
            seen = (len(self._metrics), status, checkpoints, self._grid_step)
            if seen != self._seen:
                self._seen = seen
                columns = {n: np.array(c) for n, c in self._metrics.columns.items()}
                raw_x, raw_y = decimate(columns["step"], columns["loss"], _RAW_POINTS // 2)
                smooth_x, smooth_y = smooth_curve(columns["step"], columns["loss"])
                self._post(
                    RunChanged(
                        Snapshot(
                            run=self.run,
                            status=status,
                            config=config,
                            steps=raw_x,
                            losses=raw_y,
                            smooth_steps=smooth_x,
                            smooth_losses=smooth_y,
                            last={n: float(c[-1]) for n, c in columns.items() if len(c)},
                            grid=self._grid,
                            grid_step=self._grid_step,
                            checkpoints=checkpoints,
                            log=_tail(self.run.log_path),
                        )
                    )
                )
            self._ended.wait(INTERVAL)

    def _read_grid(self) -> None:
        newest = max(self.run.samples_path.glob("step-*.png"), default=None)
        if newest is None:
            return
        step = int(newest.stem.removeprefix("step-"))
        if step != self._grid_step:
            self._grid, _ = read_png(newest)
            self._grid_step = step


def _tail(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 32_768))
            return tuple(file.read().decode(errors="replace").splitlines()[-_LOG_LINES:])
    except OSError:
        return ()
