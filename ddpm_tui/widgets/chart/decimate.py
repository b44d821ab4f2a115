"""As many points as a chart has room for, whatever came in.

A redraw costs the same for a thousand points and for a million, apart from three passes over them:
are they in order, and what are the extremes of every column. Curves of a run come bounded already
(`engine.runs.curves`), so nothing is kept from one redraw to the next.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def decimate(
    x: ArrayLike, y: ArrayLike, columns: int, *, above: float = -math.inf
) -> tuple[Floats, Floats]:
    """At most two points per column, its lowest and its highest, in the order of `x`.

    What a chart of that many columns shows stays the same: no peak is lost, the first and the
    last point stay, and there are at most 2 × `columns` + 2 points however many came in. Points
    whose x is not finite are dropped; a y that cannot be shown becomes NaN, a gap, and survives
    where it fills a whole column.

    Args:
        x: (n,), in any order; sorted first if need be.
        y: (n,).
        columns: equal intervals between the first x and the last.
        above: a y can be shown when it is finite and greater than this.
    """
    # Converted to float only in the end: that takes 2 ms for a million integers.
    across: NDArray[Any] = np.ravel(x)
    up: NDArray[Any] = np.ravel(y)
    length = min(across.size, up.size)
    across, up = across[:length], up[:length]
    if not _ascends(across):
        finite = np.isfinite(across)
        across, up = across[finite], up[finite]
        order = np.argsort(across, kind="stable")
        across, up = across[order], up[order]
    if across.size > 2 * columns + 2:
        keep = _extremes(across, up, max(columns, 1), above)
        across, up = across[keep], up[keep]
    up = up.astype(np.float64)
    return across.astype(np.float64), np.where(_shown(up, above), up, np.nan)


def _ascends(x: NDArray[Any]) -> bool:
    """Whether all of it is finite and in order."""
    if not x.size:
        return True
    # No comparison with NaN is true, and infinities in order are at the ends.
    return bool(np.isfinite(x[[0, -1]]).all() and (x[1:] >= x[:-1]).all())


def _shown(y: NDArray[Any], above: float) -> NDArray[np.bool_]:
    shown: NDArray[np.bool_] = np.isfinite(y) & (y > above)
    return shown


def _extremes(x: NDArray[Any], y: NDArray[Any], columns: int, above: float) -> list[int]:
    """Indices of the lowest and the highest y of every column that can be shown, of the first and
    the last point, and of one point of each column that has none."""
    low, high = float(x[0]), float(x[-1])
    edges = np.linspace(low / columns, high / columns, columns + 1)[1:-1] * columns  # no overflow
    bounds = [0, *np.searchsorted(x, edges, side="left").tolist(), x.size]
    keep = {0, x.size - 1}
    for start, stop in itertools.pairwise(bounds):
        if start == stop:
            continue
        column = y[start:stop]
        lowest, highest = int(column.argmin()), int(column.argmax())
        # Both stop at the first NaN, so where these two can be shown, all of the column can.
        if not (above < column[lowest] and column[highest] < math.inf):
            known = np.flatnonzero(_shown(column, above))
            if known.size:
                lowest = int(known[column[known].argmin()])
                highest = int(known[column[known].argmax()])
        keep |= {start + lowest, start + highest}
    return sorted(keep)
