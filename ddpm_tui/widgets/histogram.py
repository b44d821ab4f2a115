"""A histogram with the standard normal curve beside it: how far x_t is from noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_RANGE = 3.0
_CURVE = "·"


def densities(values: NDArray[np.float32], bins: int) -> NDArray[np.float64]:
    """The density of `values` in equal bins of [−3, 3]; what lies beyond counts as the outermost.

    Returns:
        (bins,), whose mean times 6 is 1.
    """
    clipped = np.clip(np.ravel(values), -_RANGE, _RANGE)
    counts, _ = np.histogram(clipped, bins=bins, range=(-_RANGE, _RANGE))
    return np.asarray(counts / max(clipped.size, 1) * bins / (2 * _RANGE), dtype=np.float64)


def normal_densities(bins: int) -> NDArray[np.float64]:
    """The standard normal density in the middle of each bin, (bins,)."""
    middle = (np.arange(bins) + 0.5) * 2 * _RANGE / bins - _RANGE
    return np.asarray(np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), dtype=np.float64)


class Histogram(Widget):
    """Bars of the values' densities; dots are the standard normal's."""

    DEFAULT_CSS = """
    Histogram { height: 1fr; width: 1fr; }
    Histogram > .histogram--bar { color: $primary; }
    Histogram > .histogram--curve { color: $warning; }
    Histogram > .histogram--axis { color: $foreground 60%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "histogram--bar",
        "histogram--curve",
        "histogram--axis",
    }

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values: NDArray[np.float32] | None = None

    def show(self, values: NDArray[np.float32] | None) -> None:
        """Draw the distribution of these values; None empties it."""
        self._values = values
        self.refresh()

    def render(self) -> RenderResult:
        width, height = self.content_size
        text = Text(no_wrap=True, overflow="crop")
        if self._values is None or width < 8 or height < 2:
            return text
        rows = height - 1
        bars, curve = densities(self._values, width), normal_densities(width)
        # A picture has most of its pixels in few bins: the curve has to stay visible.
        top = max(float(np.quantile(bars, 0.95)), 1.2 * float(curve.max()))
        filled = np.minimum(np.rint(bars / top * rows * 8), rows * 8).astype(int)
        dots = np.minimum(curve / top * rows, rows - 0.01).astype(int)
        styles = {
            part: self.get_component_rich_style(f"histogram--{part}", partial=True)
            for part in ("bar", "curve", "axis")
        }
        for row in range(rows - 1, -1, -1):
            for column in range(width):
                eighths = min(max(int(filled[column]) - 8 * row, 0), 8)
                if int(dots[column]) == row and eighths == 0:
                    text.append(_CURVE, styles["curve"])
                else:
                    text.append(_EIGHTHS[eighths], styles["bar"])
            text.append("\n")
        text.append("−3".ljust((width - 1) // 2) + "0" + "3".rjust(width // 2), styles["axis"])
        return text
