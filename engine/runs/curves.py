"""metrics.jsonl for viewers: curves whose cost is that of the screen, not that of the rows.

Rows are folded into buckets: a bucket of level k holds 4^k rows with their lowest and highest
value, their sum and how many of them were numbers. Each level keeps its newest 4,096 buckets, so
the newest rows are there one by one, older ones more coarsely, and the whole run with at least a
thousand points. A million rows take 8 MB, every four times as many 1.3 MB more.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.runs.metrics import TIMESTEP_BUCKETS, number, parse_rows
from engine.runs.outside import open_file

Floats = npt.NDArray[np.float64]

COLUMNS = ("loss", "lr", "grad_norm", "images_per_second", "skipped", "elapsed")
_FOLD = 4
_KEPT = 4096
# Bytes that are parsed and folded at once: the levels are joined and copied for each.
_SLICE = 1 << 20
_LARGEST = 1e32
# The smoothed curve is a mean over this share of what is looked at.
_SMOOTHED_SHARE = 1 / 20


class _Buckets(NamedTuple):
    """Neighbouring buckets of rows. Arrays are never written to, so threads may share them.

    first, last (n,): the steps they reach over. rows (n,): how many rows.
    low, high, total, known (n, columns): over the rows whose value is a number.
    t_total, t_count (n, TIMESTEP_BUCKETS): of the loss by timestep.
    """

    first: npt.NDArray[Any]
    last: npt.NDArray[Any]
    rows: npt.NDArray[Any]
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]
    total: npt.NDArray[Any]
    known: npt.NDArray[Any]
    t_total: npt.NDArray[Any]
    t_count: npt.NDArray[Any]

    @classmethod
    def of_rows(cls, steps: Floats, values: Floats, by_t: Floats) -> _Buckets:
        """A bucket a row."""
        known, t_known = np.isfinite(values), np.isfinite(by_t)
        values = np.where(known, values, np.nan)
        return cls(
            steps,
            steps,
            np.ones(len(steps)),
            values,
            values,
            np.where(known, values, 0.0),
            known.astype(np.float64),
            np.where(t_known, by_t, 0.0).astype(np.float32),
            t_known.astype(np.float32),
        )

    def part(self, start: int, stop: int | None = None) -> _Buckets:
        return _Buckets(*(each[start:stop] for each in self))

    def copy(self) -> _Buckets:
        """Of its own memory, so that what it was cut out of can go."""
        return _Buckets(*(each.copy() for each in self))

    def fold(self, starts: npt.NDArray[np.int64]) -> _Buckets:
        """One bucket from each start to the next."""
        return _Buckets(
            self.first[starts],
            np.maximum.reduceat(self.last, starts),
            np.add.reduceat(self.rows, starts),
            np.fmin.reduceat(self.low, starts, axis=0),
            np.fmax.reduceat(self.high, starts, axis=0),
            np.add.reduceat(self.total, starts, axis=0),
            np.add.reduceat(self.known, starts, axis=0),
            np.add.reduceat(self.t_total, starts, axis=0),
            np.add.reduceat(self.t_count, starts, axis=0),
        )


def _joined(parts: Sequence[_Buckets]) -> _Buckets:
    return _Buckets(*(np.concatenate(each) for each in zip(*parts, strict=True)))


_NOTHING = _Buckets.of_rows(
    np.empty(0), np.empty((0, len(COLUMNS))), np.empty((0, TIMESTEP_BUCKETS))
)


@dataclass(frozen=True, eq=False)
class Curve:
    """A column as a screen needs it; all arrays are (n,), n at most the points asked for.

    Attributes:
        x: the last step of each stretch of rows.
        low, high: the lowest and the highest value in it; NaN where none is finite.
        smooth: the mean over a twentieth of what is looked at, half of it before the point and
            half after it, so that the curve does not lag, or over what there is of that at the
            ends of the run; NaN where nothing is finite.
        gap: whether a value in the stretch is not finite.
    """

    x: Floats
    low: Floats
    high: Floats
    smooth: Floats
    gap: npt.NDArray[np.bool_]

    def raw(self) -> tuple[Floats, Floats]:
        """x and y of a line through the extremes, which NaN interrupts at every gap."""
        line = np.stack([self.low, self.high, np.where(self.gap, np.nan, self.high)], axis=1)
        # A NaN is not below anything: a stretch without any number is a gap alone.
        distinct = np.stack([np.isfinite(self.low), self.low < self.high, self.gap], axis=1).ravel()
        return np.repeat(self.x, 3)[distinct], line.ravel()[distinct]


@dataclass(frozen=True, eq=False)
class Curves:
    """All columns of a metrics.jsonl at one moment. Immutable: threads may share it.

    Attributes:
        rows: how many rows there are.
        skipped: training steps without effect, in all of them.
        last: the newest row: `step`, the columns, NaN where it has no finite number.
    """

    rows: int = 0
    skipped: int = 0
    last: dict[str, float] = field(default_factory=dict)
    _levels: tuple[_Buckets, ...] = (_NOTHING,)
    _counts: tuple[int, ...] = (0,)

    @property
    def steps(self) -> tuple[float, float] | None:
        """The first and the last logged step; None where there is none."""
        return (float(self._levels[-1].first[0]), self.last["step"]) if self.rows else None

    @property
    def knows_timesteps(self) -> bool:
        """Whether the rows tell the loss by timestep; older programs did not write it."""
        return any(bool(level.t_count.any()) for level in self._levels)

    @property
    def nbytes(self) -> int:
        """Memory of the buckets."""
        return sum(each.nbytes for level in self._levels for each in level)

    def window(
        self, column: str, first: float = -math.inf, last: float = math.inf, points: int = 500
    ) -> Curve:
        """A column from a step to a step.

        Args:
            column: one of `COLUMNS`.
            points: the most that are of use, such as twice the width of the chart.
        """
        c = COLUMNS.index(column)
        buckets, start, stop = self._between(first, last)
        size = stop - start
        if size <= 0:
            nothing = np.empty(0)
            return Curve(nothing, nothing, nothing, nothing, np.empty(0, dtype=bool))
        edges = _even(size, points)
        shown = buckets.part(start, stop).fold(edges[:-1])
        total, count = _running(buckets.total[:, c]), _running(buckets.known[:, c])
        half = max(1, round(size * _SMOOTHED_SHARE / 2))
        middle = start + (edges[:-1] + edges[1:] - 1) // 2
        left = np.maximum(middle - half, 0)
        smooth = _mean(total, count, left, np.minimum(middle + half + 1, len(buckets.last)))
        return Curve(
            shown.last,
            shown.low[:, c],
            shown.high[:, c],
            smooth,
            shown.known[:, c] < shown.rows,
        )

    def loss_by_t(
        self, first: float = -math.inf, last: float = math.inf, columns: int = 100
    ) -> Floats:
        """The loss by timestep over time.

        Returns:
            (TIMESTEP_BUCKETS, n), n at most `columns` even stretches of steps; row 0 is the
            least noisy; NaN where nothing was drawn.
        """
        buckets, start, stop = self._between(first, last)
        if stop <= start:
            return np.empty((TIMESTEP_BUCKETS, 0))
        ends = buckets.last[start:stop]
        columns = min(columns, stop - start)
        if columns == 1:
            edges = np.array([0, stop - start])
        else:
            step = (ends[-1] - ends[0]) / (columns - 1)
            limits = ends[0] + step * (np.arange(columns + 1) - 0.5)
            edges = np.searchsorted(ends, limits)
            edges[-1] = stop - start
        left = np.minimum(edges[:-1], stop - start - 1)
        right = np.maximum(edges[1:], left + 1)
        total = _running(buckets.t_total[start:stop].astype(np.float64))
        count = _running(buckets.t_count[start:stop].astype(np.float64))
        return _mean(total, count, left, right).T

    def _between(self, first: float, last: float) -> tuple[_Buckets, int, int]:
        """The finest buckets that reach back to a step, and which of them lie in between."""
        level = 0
        while len(self._levels[level].last) < self._counts[level] and (
            first < self._levels[level].first[0]
        ):
            level += 1
        parts = [self._levels[level]]
        for finer in range(level - 1, -1, -1):
            # The newest few that do not fill a bucket of the next level yet.
            rest = self._counts[finer] - _FOLD * self._counts[finer + 1]
            parts.append(self._levels[finer].part(len(self._levels[finer].last) - rest))
        buckets = _joined(parts) if level else parts[0]
        start = int(np.searchsorted(buckets.last, first, "left"))
        return buckets, start, int(np.searchsorted(buckets.first, last, "right"))

    def with_rows(self, steps: Floats, values: Floats, by_t: Floats) -> Curves:
        """These curves and more rows.

        Args:
            steps: (n,), n ≥ 1, ascending, all above those that are there.
            values: (n, columns) in the order of `COLUMNS`, NaN for a gap.
            by_t: (n, TIMESTEP_BUCKETS).
        """
        new = _Buckets.of_rows(steps, values, by_t)
        levels, counts = list(self._levels), list(self._counts)
        level = 0
        while len(new.last):
            joined = _joined([levels[level], new])
            counts[level] += len(new.last)
            levels[level] = joined.part(max(0, len(joined.last) - _KEPT)).copy()
            if counts[level] <= _KEPT and level + 1 == len(levels):
                break
            if level + 1 == len(levels):
                levels.append(_NOTHING)
                counts.append(0)
            # Everything of this level that the next one does not have yet; it is all in `joined`:
            # a level begins before the one below it drops anything.
            waiting = joined.part(len(joined.last) - (counts[level] - _FOLD * counts[level + 1]))
            whole = len(waiting.last) // _FOLD * _FOLD
            starts = np.arange(0, whole, _FOLD)
            new = waiting.part(0, whole).fold(starts) if whole else _NOTHING
            level += 1
        newest = {"step": float(steps[-1]), **dict(zip(COLUMNS, values[-1].tolist(), strict=True))}
        skipped = self.skipped + int(np.nansum(values[:, COLUMNS.index("skipped")]))
        return Curves(self.rows + len(steps), skipped, newest, tuple(levels), tuple(counts))


def _even(size: int, parts: int) -> npt.NDArray[np.int64]:
    """The edges of at most `parts` even stretches of 0 … size."""
    return np.unique(np.linspace(0, size, min(parts, size) + 1).astype(np.int64))


def _running(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums of the first 0, 1, … n along the first axis."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def _mean(
    total: npt.NDArray[Any],
    count: npt.NDArray[Any],
    start: npt.NDArray[Any],
    stop: npt.NDArray[Any],
) -> Floats:
    known = count[stop] - count[start]
    sums = total[stop] - total[start]
    means: Floats = np.divide(sums, known, out=np.full(sums.shape, np.nan), where=known > 0)
    return means


class CurveReader:
    """Follows a metrics.jsonl. For one thread; what it hands out is for all.

    Args:
        only_loss: whether nothing but the loss is of interest. A long file is read several times
            faster then, and the other columns are gaps.

    Attributes:
        curves: what has been read so far.
        behind: whether there was more to read when the time of the last poll was up.
        size: bytes of the file at the last poll.
        read: how many of them have been read.
    """

    def __init__(self, path: Path, *, only_loss: bool = False) -> None:
        self.path = path
        self._only_loss = only_loss
        self.curves = Curves()
        self.behind = False
        self.size = self.read = 0
        self._file: tuple[int, int] = (0, 0)

    def poll(self, seconds: float = 0.1) -> bool:
        """Read what was appended, for about `seconds` at most; call again while `behind`.

        A file that was replaced (a resume drops the rows that it will write anew) is read from its
        beginning. Lines that are no rows are passed over, and so are rows whose step is not above
        the one before. A last line without its end waits for the next poll.

        Returns:
            Whether `curves` changed.
        """
        until = time.perf_counter() + seconds
        before = self.curves
        self.behind = False
        try:
            with open_file(self.path) as file:
                stat = os.fstat(file.fileno())
                if (stat.st_dev, stat.st_ino) != self._file or stat.st_size < self.read:
                    self._file, self.read = (stat.st_dev, stat.st_ino), 0
                    if self.curves.rows:
                        self.curves = Curves()
                self.size = stat.st_size
                file.seek(self.read)
                while self.read < self.size:
                    if self.behind and time.perf_counter() >= until:
                        break
                    chunk = file.read(_SLICE)
                    end = chunk.rfind(b"\n") + 1
                    if not end:
                        if len(chunk) < _SLICE:
                            self.behind = False
                            break
                        end = len(chunk)  # no row is as long as this
                    self._add(chunk[:end])
                    self.read += end
                    file.seek(self.read)
                    self.behind = self.read < self.size
        except OSError:
            return False
        return self.curves is not before

    def _add(self, lines: bytes) -> None:
        if self._only_loss and self._add_losses(lines):
            return
        newest = self.curves.last.get("step", -math.inf)
        rows: list[dict[str, Any]] = []
        for row in parse_rows(lines.splitlines(keepends=True)):
            if row is not None and newest < row["step"]:
                newest = row["step"]
                rows.append(row)
        if rows:
            steps = np.array([row["step"] for row in rows], dtype=np.float64)
            by_t = _numbers([_timesteps(row.get("loss_by_t")) for row in rows])
            self.curves = self.curves.with_rows(steps, _numbers(_values(rows)), by_t)

    def _add_losses(self, lines: bytes) -> bool:
        """Add the losses if every line is a row as a training writes it; whether it is so."""
        found = _STEP_AND_LOSS.findall(lines)
        if not found or len(found) != lines.count(b"\n"):
            return False
        rows = np.array([(float(step), float(loss or "nan")) for step, loss in found])
        steps = rows[:, 0]
        if not steps[0] > self.curves.last.get("step", -math.inf) or (np.diff(steps) <= 0).any():
            return False
        values = np.full((len(rows), len(COLUMNS)), np.nan)
        values[:, COLUMNS.index("loss")] = _within_bounds(rows[:, 1])
        self.curves = self.curves.with_rows(
            steps, values, np.full((len(rows), len(_UNKNOWN)), np.nan)
        )
        return True


# A whole row as `append_row` writes it. What is cut off or written twice has no such end, or a
# brace inside.
_STEP_AND_LOSS = re.compile(
    rb'^\{"step":(\d{1,12}),"loss":(?:null|(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?))'
    rb'(?:,[-+0-9.eE",:\[\]a-z_]*)?\}$',
    re.MULTILINE,
)
_UNKNOWN = [None] * TIMESTEP_BUCKETS
_of_a_whole_row = itemgetter(*COLUMNS)


def _values(rows: Sequence[dict[str, Any]]) -> list[Sequence[Any]]:
    """Of each of `COLUMNS`, None where a row does not have it."""
    try:
        return list(map(_of_a_whole_row, rows))
    except KeyError:
        return [[row.get(column) for column in COLUMNS] for row in rows]


def _timesteps(values: object) -> list[Any]:
    return values if isinstance(values, list) and len(values) == len(_UNKNOWN) else _UNKNOWN


def _numbers(values: Sequence[Sequence[Any]]) -> Floats:
    """Numbers that a million like them can be added to; NaN for anything else."""
    try:
        if not _PLAIN.issuperset(map(type, chain.from_iterable(values))):
            raise ValueError
        found = np.array(values, dtype=np.float64)  # NaN for None
    except (ValueError, OverflowError):
        found = np.array([[number(value) for value in row] for row in values])
    return _within_bounds(found)


def _within_bounds(found: Floats) -> Floats:
    return np.where(np.abs(found) <= _LARGEST, found, np.nan)


# What the rows of a training have.
_PLAIN = {float, int, type(None)}
