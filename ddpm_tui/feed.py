"""Watches a run folder from a thread and hands out immutable snapshots of it.

The same path serves a run of this process, of another process and of another machine. A look costs
what is new: files that did not change are not read again, and rows of metrics are read once. The
newest snapshot waits in a mailbox, so a terminal that stalls finds one and not a queue of them.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from ddpm_tui.worker import Mailbox
from engine.errors import EngineError
from engine.images import Pixels, read_png
from engine.runs.checkpoint import Checkpoint, list_checkpoints
from engine.runs.curves import CurveReader, Curves
from engine.runs.devices import DEVICES, read_devices
from engine.runs.folder import Run, Status
from engine.runs.outside import is_number, open_file
from engine.runs.previews import Previews, list_previews, preview_path
from engine.runs.scores import Score, list_scores
from engine.telemetry import Telemetry

if TYPE_CHECKING:
    from engine.events import Weights

# How often the folder is looked at, in seconds.
INTERVAL = 0.5
# A file of millions of rows is read in slices of these seconds, with pauses for whoever trains.
_SLICE, _BREATH = 0.08, 0.04
_LOG_LINES = 1000
_LOG_BYTES = 1 << 17
_GRIDS_KEPT = 8
# The time stamp of a folder moves in ticks: what happens in the same one is seen by looking again.
_SETTLED = 2.0


@dataclass(frozen=True, eq=False)
class Grid:
    """The pictures of one step, uint8 (N, C, H, W); None where there are none to read."""

    step: int
    ema: Pixels | None
    raw: Pixels | None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a run folder said at one moment.

    Attributes:
        curves: the metrics, as far as they have been read.
        read: the share of metrics.jsonl that has been; less than 1 while a long one is read.
        previews: the steps that have a sample grid.
        grid: the one that was asked for, or the newest.
        checkpoints: steps of the checkpoints, oldest first.
        held_out: (step, loss of the EMA weights on held-out images) of the checkpoints.
        scores: the evaluations, by step.
        log: the last lines of train.log.
        devices: of the machine of the trainer, as it told of them last.
    """

    run: Run
    status: Status
    config: dict[str, Any]
    curves: Curves = field(default_factory=Curves)
    read: float = 1.0
    previews: Previews = field(default_factory=Previews)
    grid: Grid | None = None
    checkpoints: tuple[int, ...] = ()
    held_out: tuple[tuple[int, float], ...] = ()
    scores: tuple[Score, ...] = ()
    log: tuple[str, ...] = ()
    devices: Telemetry | None = None

    def says_the_same(self, other: Snapshot) -> bool:
        """Whether nothing changed; parts that were not read anew are the same objects."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(one is two or (type(one) is not Curves and one == two) for one, two in pairs)


class RunChanged(Message):
    """A snapshot of the run waits in the feed's mailbox."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run


class RunUnread(Message):
    """The run cannot be shown yet, and why; the feed goes on trying."""

    def __init__(self, run: Run, error: EngineError) -> None:
        super().__init__()
        self.run = run
        self.error = error


class _Unchanged:
    """Remembers how files and folders looked, to not read them again."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int, int] | None] = {}

    def __call__(self, path: Path) -> bool:
        try:
            now = path.stat()
        except OSError:
            looks = None
        else:
            looks = (now.st_ino, now.st_size, now.st_mtime_ns)
        same = path in self._seen and self._seen[path] == looks
        self._seen[path] = looks
        if same and looks is not None and stat.S_ISDIR(now.st_mode):
            return abs(time.time() - now.st_mtime) > _SETTLED
        return same


class RunFeed:
    """A thread that watches one run and posts `RunChanged` when something changed.

    Attributes:
        snapshots: the newest snapshot, until somebody takes it.
    """

    def __init__(self, run: Run, post: Callable[[Message], object]) -> None:
        self.run = run
        self.snapshots: Mailbox[Snapshot] = Mailbox()
        self._post = post
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._wanted: int | None = None
        self._unchanged = _Unchanged()
        self._metrics = CurveReader(run.metrics_path)
        self._state: Snapshot | None = None
        self._told = ""
        self._grids: dict[int, Grid] = {}
        self._held_out: dict[tuple[int, int], float | None] = {}
        self._thread = threading.Thread(target=self._main, name=f"watch {run.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._wake.set()

    def look_at(self, step: int | None) -> None:
        """Bring the grid of a step with the snapshots from now on; None is the newest."""
        self._wanted = step
        self._wake.set()

    def _main(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            try:
                changed = self.look()
            except (EngineError, OSError) as error:
                # The folder is being made, or was deleted under us: look again later.
                self._tell(error)
                self._wake.wait(INTERVAL)
                continue
            if changed is not None and self.snapshots.put(changed):
                self._post(RunChanged(self.run))
            if self.behind:
                self._ended.wait(_BREATH)
            else:
                self._wake.wait(INTERVAL)

    def _tell(self, error: EngineError | OSError) -> None:
        """Say once why there is nothing to see of the run."""
        told = str(error)
        if isinstance(error, EngineError) and self._state is None and told != self._told:
            self._told = told
            self._post(RunUnread(self.run, error))

    @property
    def behind(self) -> bool:
        """Whether the last look did not come to the end of the metrics."""
        return self._metrics.behind

    def look(self) -> Snapshot | None:
        """Look at the folder once, for whoever has a thread of their own instead of `start`.

        Returns:
            What it says now; None where that is what it said the last time.

        Raises:
            EngineError, OSError: the folder is being made, or was deleted.
        """
        state = self._read_folder()
        if self._state is not None and state.says_the_same(self._state):
            return None
        self._state = state
        return state

    def _read_folder(self) -> Snapshot:
        run, before = self.run, self._state
        same = self._unchanged
        if before is None:
            before = Snapshot(run, Status(), run.config().model_dump())
        self._metrics.poll(_SLICE)
        # A trainer that is gone leaves its last word behind; only its lock tells.
        lives = before.status.state in ("running", "paused")
        status = before.status
        if not same(run.path / "status.json") or lives or self._state is None:
            status = run.status()
        checkpoints, held_out = before.checkpoints, before.held_out
        if not same(run.checkpoints_path):
            found = list_checkpoints(run)
            checkpoints = tuple(each.step for each in found)
            held_out = self._read_held_out(found)
        previews = before.previews
        if not same(run.samples_path):
            previews = _if_new(list_previews(run), previews)
        return Snapshot(
            run=run,
            status=status,
            config=before.config,
            curves=self._metrics.curves,
            read=self._metrics.read / self._metrics.size if self.behind else 1.0,
            previews=previews,
            grid=self._grid(previews),
            checkpoints=checkpoints,
            held_out=held_out,
            scores=before.scores if same(run.path / "evaluations") else list_scores(run),
            log=before.log if same(run.log_path) else _tail(run.log_path),
            devices=before.devices if same(run.path / DEVICES) else read_devices(run),
        )

    def _grid(self, previews: Previews) -> Grid | None:
        wanted = self._wanted
        if wanted is None or wanted not in previews.ema:
            wanted = previews.ema[-1] if previews.ema else None
        if wanted is None:
            return None
        kept = self._grids.get(wanted)
        # The raw weights' picture comes a moment after the other; a preview by key replaces both.
        files = [preview_path(self.run, wanted, weights) for weights in _WEIGHTS]
        same = [self._unchanged(file) for file in files]
        if kept is None or not all(same):
            kept = self._grids[wanted] = Grid(wanted, *(_read(file) for file in files))
            while len(self._grids) > _GRIDS_KEPT:
                del self._grids[next(step for step in self._grids if step != wanted)]
        return kept

    def _read_held_out(self, found: list[Checkpoint]) -> tuple[tuple[int, float], ...]:
        """Each checkpoint's own word, read once."""
        read = {}
        for each in found:
            try:
                key = (each.step, each.path.stat().st_mtime_ns)
                loss = self._held_out[key] if key in self._held_out else _eval_loss(each)
            except (OSError, EngineError):
                continue  # just pruned
            read[key] = loss
        self._held_out = read
        return tuple((step, loss) for (step, _), loss in read.items() if loss is not None)


_WEIGHTS: tuple[Weights, Weights] = ("ema", "raw")


def _if_new(new: Previews, old: Previews) -> Previews:
    return old if new == old else new


def _eval_loss(checkpoint: Checkpoint) -> float | None:
    loss = checkpoint.state().get("eval_loss")
    return float(loss) if is_number(loss) else None


def _read(path: Path) -> Pixels | None:
    try:
        return read_png(path)[0]
    except EngineError:
        return None


def _tail(path: Path) -> tuple[str, ...]:
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(lines[1 if size > _LOG_BYTES else 0 :][-_LOG_LINES:])
