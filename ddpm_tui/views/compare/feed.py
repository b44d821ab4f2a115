"""Watches several run folders from one thread; each is looked at as the Train view does."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from textual.message import Message

from ddpm_tui.feed import RunFeed, Snapshot
from ddpm_tui.worker import Mailbox
from engine.compare.standing import Comparison, Standing, compare, read_standing
from engine.errors import EngineError
from engine.runs.folder import Run

# How often the folders are looked at, in seconds.
INTERVAL = 0.5
# Between the slices in which long metrics are read, for whoever trains.
_BREATH = 0.04


@dataclass(frozen=True, eq=False)
class Sides:
    """What the folders said at one moment. Immutable: threads may share it.

    Attributes:
        snapshots: one a run; None for one that could not be read yet.
        comparison: their figures beside one another.
        grids: the steps that have a sample grid in any of the runs, ascending.
        at: the step whose grids were asked for; None follows the newest.
    """

    snapshots: tuple[Snapshot | None, ...]
    comparison: Comparison
    grids: tuple[int, ...]
    at: int | None


class SidesChanged(Message):
    """What the folders say now waits in the feed's mailbox."""


def grid_steps(steps: Sequence[Sequence[int]], at: int | None) -> list[int | None]:
    """Which sample grid of each run to show; None where a run has none.

    Args:
        steps: the steps that have one, ascending, of each run.
        at: where one looks: each run's newest up to there, or its first. None is the newest step
            at which all of them have one, else each run's newest.
    """
    having = [set(each) for each in steps if each]
    shared = set.intersection(*having) if having else set()
    if at is None and shared:
        at = max(shared)
    if at is None:
        return [each[-1] if each else None for each in steps]
    return [each[max(bisect_right(each, at) - 1, 0)] if each else None for each in steps]


@dataclass
class _Side:
    """A run, and what is known of it by now."""

    run: Run
    feed: RunFeed
    standing: Standing
    snapshot: Snapshot | None = None
    here: bool = field(default=True)


class CompareFeed:
    """A thread that posts `SidesChanged` when something changed in any of the folders.

    One thread for all: eight that wake twice a second would only wait for each other.

    Attributes:
        sides: the newest, until somebody takes it.
    """

    def __init__(self, runs: Sequence[Run], post: Callable[[Message], object]) -> None:
        self.sides: Mailbox[Sides] = Mailbox()
        self._post = post
        self._runs = tuple(runs)
        self._at: int | None = None
        self._ended, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._main, name="compare runs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._wake.set()

    def look_at(self, step: int | None) -> None:
        """Bring the grids of a step from now on; None follows the newest."""
        self._at = step
        self._wake.set()

    def _main(self) -> None:
        sides = [_Side(run, RunFeed(run, self._post), read_standing(run)) for run in self._runs]
        told: int | None = None
        first = True
        while not self._ended.is_set():
            self._wake.clear()
            at = self._at
            changed = [self._look(side) for side in sides]
            # The grids are chosen by what all the folders have, so after a look at all of them.
            if self._choose_grids(sides, at):
                changed += [self._look(side) for side in sides]
            if any(changed) or at != told or first:
                told, first = at, False
                self._tell(sides, at)
            if any(side.feed.behind for side in sides if side.here):
                self._ended.wait(_BREATH)
            else:
                self._wake.wait(INTERVAL)

    def _look(self, side: _Side) -> bool:
        """Whether a run says something new."""
        was_here = side.here
        try:
            side.here = (side.run.path / "run.json").exists()
            snapshot = side.feed.look() if side.here else None
        except (EngineError, OSError):
            snapshot = None
        if snapshot is None and side.here == was_here:
            return False
        if snapshot is not None:
            side.snapshot = snapshot
        if side.here:
            side.standing = read_standing(side.run)
        else:
            # What was known of it stays to be compared with.
            gone = read_standing(side.run).status
            side.standing = replace(
                side.standing,
                status=replace(side.standing.status, state=gone.state, reason=gone.reason),
            )
        return True

    def _choose_grids(self, sides: Sequence[_Side], at: int | None) -> bool:
        """Whether a feed has to bring another grid than it has."""
        steps = [side.snapshot.previews.ema if side.snapshot else () for side in sides]
        wanted = grid_steps(steps, at)
        missing = False
        for side, step in zip(sides, wanted, strict=True):
            side.feed.look_at(step)
            grid = side.snapshot.grid if side.snapshot else None
            missing |= side.here and step is not None and (grid is None or grid.step != step)
        return missing

    def _tell(self, sides: Sequence[_Side], at: int | None) -> None:
        snapshots = tuple(side.snapshot for side in sides)
        grids = sorted({step for each in snapshots if each for step in each.previews.ema})
        found = Sides(snapshots, compare([side.standing for side in sides]), tuple(grids), at)
        if self.sides.put(found):
            self._post(SidesChanged())
