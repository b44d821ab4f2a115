"""The views by name, each imported when it is opened: the first paint waits for one alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.screen import Screen


def _runs() -> Screen[Any]:
    from ddpm_tui.views.runs import RunsView

    return RunsView()


def _train() -> Screen[Any]:
    from ddpm_tui.views.train import TrainView

    return TrainView()


def _sample() -> Screen[Any]:
    from ddpm_tui.views.sample import SampleView

    return SampleView()


def _forward() -> Screen[Any]:
    from ddpm_tui.views.forward import ForwardView

    return ForwardView()


def _inspect() -> Screen[Any]:
    from ddpm_tui.views.inspect import InspectView

    return InspectView()


MODES: dict[str, str | Callable[[], Screen[Any]]] = {
    "runs": _runs,
    "train": _train,
    "sample": _sample,
    "forward": _forward,
    "inspect": _inspect,
}
