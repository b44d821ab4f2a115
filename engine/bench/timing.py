"""Timing in turn: every contender runs in every round, so that a busy minute slows them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from engine.device import wait_for

# (steps) -> images that went through the network; returns when the device is done.
Work = Callable[[int], int]
# (network, whose loop)
Contender = tuple[str, str]


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Doing:
    """What is being measured now; says nothing of the result."""

    what: str


@dataclass(frozen=True)
class Timing:
    """One measurement: so many steps and images in so many seconds."""

    seconds: float
    steps: int
    images: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def seconds_per_step(self) -> float:
        return self.seconds / self.steps


def now(device: torch.device) -> float:
    """The time at which the device has done all that it was told."""
    wait_for(device)
    return time.perf_counter()


def pulled(draw: Callable[[], Iterator[object]], images: int, device: torch.device) -> Work:
    """The steps of an iterator as work of `images` each; a new one begins where one ends."""
    running = draw()

    def work(steps: int) -> int:
        nonlocal running
        for _ in range(steps):
            if next(running, None) is None:
                running = draw()
                next(running)
        now(device)
        return steps * images

    return work


def measure(work: Work, steps: int) -> Timing:
    started = time.perf_counter()
    images = work(steps)
    return Timing(time.perf_counter() - started, steps, images)


def calibrate(work: Work, seconds: float, *, multiple: int = 1) -> int:
    """How many steps take about `seconds`, a multiple of `multiple`; warms up on the way."""
    work(1)
    steps = 1
    while (timing := measure(work, steps)).seconds < seconds / 4:
        steps *= 2
    return max(1, round(seconds / timing.seconds_per_step / multiple)) * multiple


def in_turn(
    title: str, works: Mapping[Contender, tuple[Work, int]], rounds: int
) -> Generator[Doing, None, dict[Contender, list[Timing]]]:
    """Measure A B C A B C …, each with its own number of steps.

    Returns:
        The timings of each, round by round.
    """
    timings: dict[Contender, list[Timing]] = {contender: [] for contender in works}
    for number in range(rounds):
        for (network, whose), (work, steps) in works.items():
            yield Doing(f"{title}, {network} network, {whose}, round {number + 1} of {rounds}")
            timings[network, whose].append(measure(work, steps))
    return timings
