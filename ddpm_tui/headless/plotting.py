"""The loss of a run as text, for a shell: a still plot, drawn by plotext."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotext

from ddpm_tui.headless.progress import progress
from ddpm_tui.ticks import format_tick, format_ticks, linear_ticks, log_ticks
from engine.runs.curves import CurveReader, Floats

NOTHING = "No loss has been logged yet."
_RAW, _SMOOTHED = 244, 39  # of the 256 colours: grey, blue
_MARGIN = 0.03
_QUICK = 0.5  # seconds that nobody minds to wait without a word
_LIMITS = -250, 250  # so that powers of ten stay numbers


def loss_plot(metrics: Path, width: int, height: int, *, color: bool) -> str:
    """The loss over the steps, raw and smoothed, on a logarithmic axis.

    Args:
        metrics: a metrics.jsonl; it need not exist yet.
        width: columns, 20 or more.
        height: lines, 6 or more, the title among them.
        color: with escape sequences; without them the curves differ by their glyphs.
    """
    reader = CurveReader(metrics, only_loss=True)
    reader.poll(_QUICK)
    if reader.behind:
        with progress(f"reading {metrics.name}", _kib(reader.size)) as bar:
            while reader.behind:
                bar.update(_kib(reader.read), "KiB", _kib(reader.size))
                reader.poll(_QUICK)
    curve = reader.curves.window("loss", points=2 * width)
    if not (curve.high > 0).any():
        return NOTHING
    raw, smooth = _logarithm(*curve.raw()), _logarithm(curve.x, curve.smooth)

    # Without this plotext asks for the size of the terminal and draws no larger than that.
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    # It is the same one every time, with all curves that were ever drawn.
    figure.clear()
    figure.plot_size(width, height - 1)
    figure.theme("colorless")
    _scale(figure, curve.x, raw[1], width, height)
    for (x, y), glyph, paint in ((raw, "hd", _RAW), (smooth, "braille", _SMOOTHED)):
        marker = plotext.marker(glyph, pixel=plotext.pixel(paint))
        figure.draw(figure.signal(x, y, marker=marker).lines())
    drawn = figure.build().string(colorless=not color).rstrip("\n")
    return f"loss by step: ▄▄ each, ── smoothed\n{drawn}"


def _kib(size: int) -> int:
    return size >> 10


def _logarithm(x: Floats, y: Floats) -> tuple[list[float], list[float]]:
    """The points that a logarithmic axis can take."""
    usable = np.isfinite(y) & (y > 0)
    return x[usable].tolist(), np.log10(y[usable]).clip(*_LIMITS).tolist()


def _scale(figure: Any, steps: Floats, logarithms: list[float], width: int, height: int) -> None:
    """Limits and ticks; plotext's own ticks of a logarithmic axis are not round."""
    first, last = float(steps[0]), float(steps[-1])
    room = _MARGIN * (max(logarithms) - min(logarithms)) or 0.5
    low, high = min(logarithms) - room, max(logarithms) + room
    across, up = linear_ticks(first, last, width // 12), log_ticks(10**low, 10**high, height // 3)
    figure.ruler(0, 0).lim(first, last if last > first else first + 1)
    figure.ruler(0, 0).ticks(across, format_ticks(across))
    figure.ruler(1, 0).lim(low, high)
    figure.ruler(1, 0).ticks(np.log10(up).tolist(), [format_tick(tick) for tick in up])
