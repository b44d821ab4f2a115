"""What a take did, kept to the bit: for looking at any step, and for going on from any.

A thread appends while the screen reads: a step is there before the length says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from engine.images import Pixels
from engine.takes.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from engine.schedule import NoiseSchedule
    from engine.takes.perform import TakeStep
    from engine.takes.versus import Lane

LOOKS = ("x_t", "x0", "eps")
"""What can be looked at: the state, the predicted clean picture, the predicted noise."""

MEMORY_LIMIT = 1 << 30  # bytes
# The predicted noise is about standard normal: black and white are this many standard deviations.
_EPS_RANGE = 3
_TENSORS, _BYTES = 4, 4  # of a step: x_t, x_0, ε, prev_sample in float32


def check_memory(lanes: Sequence[Lane], image_shape: tuple[int, int, int]) -> None:
    """Raises ConfigError where the steps would take more memory than `MEMORY_LIMIT`."""
    channels, height, width = image_shape
    pictures = sum(step.num for lane in lanes for step in lane.path)
    needed = pictures * channels * height * width * _TENSORS * _BYTES
    if needed > MEMORY_LIMIT:
        raise ConfigError(
            f"{pictures:,} pictures, those of all steps, take {needed / 2**30:.1f} GB to look at",
            "Choose fewer pictures or fewer steps.",
        )


@dataclass(frozen=True)
class Statistics:
    """Figures of the values of x_t, over all pictures of a frame.

    Attributes:
        clipped: the share outside of [−1, 1], the range of a picture.
    """

    mean: float
    std: float
    low: float
    high: float
    clipped: float


class Recording:
    """The steps of a take, one list a lane.

    Frame i shows what the network saw at step i and what it made of it; frame `num_steps` is the
    finished picture. One thread may append while others read.

    Args:
        recipe: what is performed.
        lanes: see `lay_lanes`.
        schedule: of the run.
        after: the first steps of each lane, from an earlier recording.
    """

    def __init__(
        self,
        recipe: Recipe,
        lanes: tuple[Lane, ...],
        schedule: NoiseSchedule,
        after: Sequence[Sequence[TakeStep]],
    ) -> None:
        self.recipe, self.lanes, self.schedule = recipe, lanes, schedule
        self._steps: list[list[TakeStep]] = [list(steps) for steps in after]

    @property
    def num_steps(self) -> int:
        """Steps of the whole way, of lane 0."""
        return len(self.lanes[0].path)

    def __len__(self) -> int:
        """How many frames of lane 0 there are by now."""
        taken = len(self._steps[0])
        return taken + (taken == self.num_steps)

    @property
    def complete(self) -> bool:
        """Whether every lane is at its end."""
        ends = zip(self._steps, self.lanes, strict=True)
        return all(len(steps) == len(lane.path) for steps, lane in ends)

    @property
    def uneven(self) -> bool:
        """Whether lane 1 has yet to take the step that belongs beside the newest of lane 0."""
        from engine.takes.versus import matching

        taken = len(self._steps[0])
        if len(self.lanes) == 1 or not taken:
            return False
        if taken == self.num_steps:
            return not self.complete
        return len(self._steps[1]) <= matching(self.lanes, taken - 1)

    def append(self, lane: int, step: TakeStep) -> None:
        """Keep a step, in the CPU's memory.

        Raises:
            IndexError: it is not the next step of the lane.
        """
        steps = self._steps[lane]
        if step.index != len(steps):
            raise IndexError(f"step {step.index} cannot follow {len(steps)} steps")
        steps.append(step.cpu())

    def steps(self, lane: int = 0) -> tuple[TakeStep, ...]:
        """The steps of a lane so far."""
        return tuple(self._steps[lane])

    def beside(self, index: int) -> int:
        """The frame of lane 1 that belongs beside frame `index` of lane 0, or the newest before it;
        −1 while there is none."""
        from engine.takes.versus import matching

        taken = len(self._steps[1])
        last = taken if taken == len(self.lanes[1].path) else taken - 1
        return min(matching(self.lanes, index), last)

    def values(self, index: int, look: str = "x_t", lane: int = 0) -> Tensor:
        """float32 (N, C, H, W): x_t, the predicted x_0, or the noise in units of [−1, 1].

        Of the last frame the predictions are those that made it.

        Raises:
            IndexError: that frame is not there yet.
        """
        step, at_end = self._step_of(index, lane)
        if look == "x_t":
            return step.prev_sample if at_end else step.x_t
        return step.x0 if look == "x0" else step.eps / _EPS_RANGE

    def asked(self, index: int, lane: int = 0) -> tuple[str, ...]:
        """What each picture of a frame asks for, in words; see `TakeStep`."""
        return self._step_of(index, lane)[0].asked

    def _step_of(self, index: int, lane: int) -> tuple[TakeStep, bool]:
        """The step that a frame shows, and whether the frame is what it led to, at the end."""
        if index < 0:
            raise IndexError(f"frame {index}")
        at_end = index == len(self.lanes[lane].path)
        return self._steps[lane][index - at_end], at_end

    def frame(self, index: int, look: str = "x_t", lane: int = 0) -> Pixels:
        """A frame as uint8 (N, C, H, W); see `values`."""
        from engine.data.range import to_uint8

        pixels: Pixels = to_uint8(self.values(index, look, lane)).numpy()
        return pixels

    def statistics(self, index: int) -> Statistics:
        """Figures of x_t in a frame; see `values`."""
        x = self.values(index)
        clipped = float((x.abs() > 1).float().mean())
        return Statistics(float(x.mean()), float(x.std()), float(x.min()), float(x.max()), clipped)


def shared_steps(recording: Recording, lanes: Sequence[Lane]) -> list[tuple[TakeStep, ...]]:
    """What of a recording other lanes have in common with it: the first steps of each."""
    found = []
    for number, lane in enumerate(lanes):
        kept: tuple[TakeStep, ...] = ()
        if number < len(recording.lanes):
            common = _common(recording.lanes[number].recipe, lane.recipe)
            steps = recording.steps(number)
            kept = steps if common is None else steps[:common]
        found.append(kept)
    return found


def _common(one: Recipe, other: Recipe) -> int | None:
    """How many steps two recipes share; None means all."""
    if replace(one, turns=()) != replace(other, turns=()):
        return 0
    for index in range(max(len(one.turns), len(other.turns))):
        pair = one.turns[index : index + 1], other.turns[index : index + 1]
        if pair[0] != pair[1]:
            return min(turn.at for turns in pair for turn in turns)
    return None
