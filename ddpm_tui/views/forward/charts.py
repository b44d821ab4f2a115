"""The curves beside the images: those of two schedules, or the errors of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from textual.app import ComposeResult
from textual.containers import Vertical

from ddpm_tui.views.forward.schedules import Pair, Reading, curve
from ddpm_tui.widgets.chart import LineChart, Series

if TYPE_CHECKING:
    from engine.denoising import DenoisingError

_FPS = 8

# Name of a curve of a schedule -> title of its chart.
SCHEDULE_CURVES = {
    "betas": "β_t · the noise of step t",
    "alphas_cumprod": "ᾱ_t · the image's share",
    "snr": "SNR · ᾱ_t / (1 − ᾱ_t)",
}
ERROR_CURVES = {"x0": "MSE of x̂_0 over t", "eps": "MSE of ε over t"}
# All but this one span decades, and of β the last ones of the cosine would flatten all others.
_EVEN = "alphas_cumprod"
_COLORS = {"a": "primary", "b": "success"}


class Charts(Vertical):
    """A chart for each curve; where only one fits, `choose` says which."""

    DEFAULT_CSS = """
    Charts LineChart {
        border-top: solid $foreground 25%; border-title-color: $foreground 80%; display: none;
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._names = tuple(SCHEDULE_CURVES)
        self._chosen = {tuple(SCHEDULE_CURVES): "alphas_cumprod", tuple(ERROR_CURVES): "x0"}
        self._alone = False

    def compose(self) -> ComposeResult:
        for name, title in (SCHEDULE_CURVES | ERROR_CURVES).items():
            chart = LineChart(
                message="Loading …", log_y=name != _EVEN, max_fps=_FPS, id=name, classes="pane"
            )
            chart.border_title = title
            yield chart

    def on_mount(self) -> None:
        self._arrange()

    def offer(self, names: Sequence[str]) -> None:
        """Which curves there are to show: those of the schedules or those of the errors."""
        self._names = tuple(names)
        self._arrange()

    def show_alone(self, alone: bool) -> None:
        """Whether only one fits."""
        self._alone = alone
        self._arrange()

    def next(self) -> None:
        """Choose the next curve, where only one fits."""
        at = self._names.index(self._chosen[self._names])
        self._chosen[self._names] = self._names[(at + 1) % len(self._names)]
        self._arrange()

    def _arrange(self) -> None:
        chosen = self._chosen[self._names]
        for chart in self.query(LineChart):
            chart.display = chart.id in self._names and (not self._alone or chart.id == chosen)

    def draw_schedules(self, pair: Pair, t: int) -> None:
        """The curves of A and B, with a mark on each where the pictures are."""
        last_a, last_b = pair.a.timesteps - 1, pair.b.timesteps - 1
        # Over A's t: where T differs, B's way is drawn as long as A's.
        across = {"a": np.arange(last_a + 1), "b": np.linspace(0, last_a, last_b + 1)}
        for name in SCHEDULE_CURVES:
            series = [
                Series(f"{which.upper()} {named.name}", across[which], curve(named, name), color)
                for (which, color), named in zip(_COLORS.items(), (pair.a, pair.b), strict=True)
            ]
            if t >= 0:
                t_b = pair.t_of_b(t)
                marks = ((pair.a, float(t), "a"), (pair.b, max(t_b, 0.0), "b"))
                for named, at, which in marks:
                    x = at if which == "a" else at * last_a / last_b
                    y = _value(Reading.at(named, at), name)
                    series.append(
                        Series(
                            "t",
                            np.array([x]),
                            np.array([y]),
                            _COLORS[which],
                            marks=True,
                        )
                    )
            chart = self.query_one(f"#{name}", LineChart)
            chart.set_series(series)
            chart.cursor = None if t < 0 else t

    def draw_errors(self, errors: Sequence[DenoisingError], of: int, t: int) -> None:
        """The errors by timestep, beside what needs no network; `of` timesteps in the end."""
        ordered = sorted(errors, key=lambda error: error.t)
        across = np.array([error.t for error in ordered])
        for name, title in ERROR_CURVES.items():
            kinds = (
                ("mean", f"{name}_of_mean", "warning"),
                ("x_t", f"{name}_of_x_t", "secondary"),
                ("network", name, "primary"),
            )
            chart = self.query_one(f"#{name}", LineChart)
            chart.set_series(
                [
                    Series(
                        label, across, np.array([getattr(error, key) for error in ordered]), color
                    )
                    for label, key, color in kinds
                ]
            )
            chart.cursor = None if t < 0 else t
            measured = f" · {len(errors)} of {of} t" if len(errors) < of else ""
            if chart.border_title != title + measured:
                chart.border_title = title + measured
            chart.message = "The network is being asked …"

    def move_cursor(self, t: int) -> None:
        """Say where we are, on the curves that there are."""
        for chart in self.query(LineChart):
            chart.cursor = None if t < 0 else t


def _value(reading: Reading, name: str) -> float:
    return {
        "betas": reading.beta,
        "alphas_cumprod": reading.alpha_cumprod,
        "snr": reading.snr,
    }[name]
