"""What two pages show beside their rows: the schedule's curves, the embeddings' heat maps."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Resize

from ddpm_tui.inspection import embedding
from ddpm_tui.inspection.study import Floats, Maths, Study
from ddpm_tui.widgets.chart import LineChart, Series
from ddpm_tui.widgets.heat import HeatStrip

_WAITING = "Loading torch and working it out …"
_FPS = 8


class ScheduleCurves(Vertical):
    """What is left of the image and how much noise there is, with the marker at t."""

    def compose(self) -> ComposeResult:
        for name, title in (("shares", "√ᾱ_t and √(1 − ᾱ_t)"), ("snr", "ln SNR")):
            chart = LineChart(message=_WAITING, max_fps=_FPS, id=name)
            chart.border_title = title
            yield chart

    def show(self, maths: Maths) -> None:
        """Draw a schedule."""
        t = np.arange(maths.timesteps)
        self.query_one("#shares", LineChart).set_series(
            [
                Series("image", t, np.sqrt(maths.alphas_cumprod), "primary"),
                Series("noise", t, np.sqrt(1 - maths.alphas_cumprod), "warning"),
            ]
        )
        with np.errstate(divide="ignore"):
            log_snr = np.log(maths.snr)
        self.query_one("#snr", LineChart).set_series([Series("ln SNR", t, log_snr, "success")])

    def mark(self, t: int | None) -> None:
        """Put the marker at a timestep."""
        for chart in self.query(LineChart):
            chart.cursor = t


class EmbeddingMap(HeatStrip):
    """An embedding, columns across: a row of the screen is a timestep, and none is averaged."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(_WAITING, id=id)
        self._table: Floats | None = None

    def show_table(self, table: Floats) -> None:
        """Show an embedding (T, dim)."""
        self._table = table
        self._show()

    def on_resize(self, event: Resize) -> None:
        self._show()
        super().on_resize(event)

    def _show(self) -> None:
        lines = self.size.height - 1  # one is for the axis
        if self._table is None or lines < 1:
            return
        total, dim = self._table.shape
        at = embedding.sampled(total, lines)
        self.show(self._table[at], [f"{t:,}" for t in at], (0, dim - 1))


class EmbeddingMaps(Vertical):
    """The embedding in use beside the other one, and how alike the timesteps are in each."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="maps"):
            yield EmbeddingMap(id="mine")
            yield EmbeddingMap(id="theirs")
        yield LineChart(message=_WAITING, max_fps=_FPS, id="likeness")

    def show(self, study: Study, maths: Maths) -> None:
        """Draw both embeddings."""
        t, middle = np.arange(maths.timesteps), maths.timesteps // 2
        series = []
        for id, name, table, count, color in zip(
            ("mine", "theirs"),
            embedding.names(study),
            (maths.embedding, maths.other_embedding),
            (maths.varying, maths.other_varying),
            ("primary", "warning"),
            strict=True,
        ):
            pane = self.query_one(f"#{id}", EmbeddingMap)
            pane.show_table(table)
            pane.border_title = f"{name}: {count} of {table.shape[1]} vary"
            series.append(Series(name, t, embedding.similarity(table, middle), color))
        likeness = self.query_one("#likeness", LineChart)
        likeness.border_title = f"likeness to t = {middle:,} (cosine of the embeddings)"
        likeness.set_series(series)
