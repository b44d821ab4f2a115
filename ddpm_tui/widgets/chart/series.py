"""One curve of a chart: what a view hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """One curve. `x` and `y` have the same length; NaN and infinities in `y` are gaps.

    Args:
        color: a colour of the theme ("primary", "accent", "warning" …) or any CSS colour.
        dim: blend the colour into the background, for raw data behind a smoothed curve.
        marks: points without a line between them, for what is measured now and then.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    color: str = "primary"
    dim: bool = False
    marks: bool = False
