"""A curve in one line of text, for lists and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float] | NDArray[np.floating], width: int) -> str:
    """The curve of `values` as a string of block characters, oldest value on the left.

    More values than `width` are averaged into `width` groups; fewer make a shorter string.
    NaN and infinities are gaps, shown as spaces. The lowest average is ▁ and the highest █; a
    constant curve lies in the middle.

    Args:
        values: any length, in any unit.
        width: the longest string wanted, in cells.
    """
    y = np.asarray(values, dtype=np.float64).ravel()
    if width <= 0 or y.size == 0:
        return ""
    y = np.where(np.isfinite(y), y, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.array([_mean(group) for group in np.array_split(y, min(width, y.size))])
        known = np.isfinite(means)
        if not known.any():
            return " " * means.size
        # Halved before they are subtracted: ±1e308 must not overflow.
        low, high = means[known].min() / 2, means[known].max() / 2
        level = (means / 2 - low) / (high - low) if high > low else np.full_like(means, 0.5)
    steps = np.rint(np.where(known, level, 0.0) * (len(BLOCKS) - 1)).astype(int)
    return "".join(BLOCKS[step] if shown else " " for step, shown in zip(steps, known, strict=True))


def _mean(group: NDArray[np.float64]) -> float:
    finite = group[~np.isnan(group)]
    return float((finite / finite.size).sum()) if finite.size else float("nan")
