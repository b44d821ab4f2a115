"""How long a forward pass takes on this machine, and which share of it each part of the network.

    for timing in probe(config, image_shape, num_classes):
        ...

It goes on for as long as somebody pulls.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch

from engine.anatomy import Place, example_inputs, hooked, places_of
from engine.config import RunConfig
from engine.device import (
    autocast,
    describe_device,
    memory_explained,
    memory_format,
    resolve_device,
    resolve_precision,
    wait_for,
)
from engine.models import build_model

# More images only make a pass longer: on a CPU the shares of the parts are the same from a few on.
_PROBE_IMAGES = 16


@dataclass(frozen=True)
class Timing:
    """How long a forward pass takes, and which share of it each part, medians of all passes so far.

    Attributes:
        seconds: of a pass of `images` images, without the clocks on every part.
        shares: name of a part -> 0 … 1, with what is inside it.
        images, device, dtype: what was measured.
        passes: how many there were.
    """

    seconds: float
    shares: dict[str, float]
    images: int
    device: str
    dtype: str
    passes: int


def probe(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    device: str = "auto",
) -> Generator[Timing, None, None]:
    """Time forward passes of a config's network, as sampling makes them; each pull is a pass more.

    A pass is run twice: as it is, for its time, and with a clock on every part, for the shares.
    A GPU is waited for at every clock, so that a share is of the part and not of its launch.

    Raises:
        ConfigError, DeviceError: what drawing pictures would say, too.
    """
    where = resolve_device(device)
    dtype = resolve_precision(config.training.precision, where)
    images = min(config.data.batch_size, _PROBE_IMAGES)
    model = build_model(config, image_shape, num_classes)
    with memory_explained(where, "hold the network"):
        model.to(where).to(memory_format=memory_format(config.model.name, dtype, where)).eval()
    inputs = example_inputs(model, image_shape, images, str(where))
    places = list(places_of(model))
    seconds: list[float] = []
    shares: dict[str, list[float]] = {}

    def forward() -> None:
        with memory_explained(where, "draw pictures"), torch.no_grad(), autocast(where, dtype):
            model(*inputs)

    forward()  # allocates memory and chooses kernels
    while True:
        began = _now(where)
        forward()
        seconds.append(_now(where) - began)
        for name, share in _clocked(places, forward, where).items():
            shares.setdefault(name, []).append(share)
        yield Timing(
            statistics.median(seconds),
            {name: statistics.median(values) for name, values in shares.items()},
            images,
            describe_device(where),
            str(dtype).removeprefix("torch."),
            len(seconds),
        )


def _clocked(
    places: list[Place], forward: Callable[[], None], device: torch.device
) -> dict[str, float]:
    """The share of a pass that each part takes; the share of one that is no function is that of
    what is inside it."""
    began: list[float] = []
    took: dict[str, float] = {}

    def enter(_name: str) -> None:
        began.append(_now(device))

    def leave(name: str, *_: object) -> None:
        took[name] = took.get(name, 0.0) + _now(device) - began.pop()

    with hooked(places, enter, leave):
        forward()
    whole = took[""]
    for at in reversed(range(len(places))):
        place = places[at]
        if place.name not in took:
            inside = _children(at, places)
            took[place.name] = sum(took.get(child.name, 0.0) for child in inside)
    return {name: seconds / whole for name, seconds in took.items()}


def _children(at: int, places: list[Place]) -> list[Place]:
    """The parts right inside the part at this index."""
    found = []
    for other in places[at + 1 :]:
        if other.depth <= places[at].depth:
            break
        if other.depth == places[at].depth + 1:
            found.append(other)
    return found


def _now(device: torch.device) -> float:
    wait_for(device)
    return time.perf_counter()
