"""What a reverse process did, kept as pictures, and the playhead that moves over it.

A thread appends while the screen reads: a frame is written once, before the length says that it
is there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from engine.images import Pixels

if TYPE_CHECKING:
    from engine.reverse import ReverseStep

LOOKS = ("x_t", "x0", "eps")
"""What can be looked at: the state, the predicted clean picture, the predicted noise."""

# The predicted noise is about standard normal: black and white are this many standard deviations.
_EPS_RANGE = 3


def memory_needed(num_steps: int, num: int, image_shape: tuple[int, int, int]) -> int:
    """Bytes that a trajectory takes when it is complete."""
    return (len(LOOKS) * num_steps + 1) * num * int(np.prod(image_shape))


class Trajectory:
    """The frames of one reverse process: `num_steps` steps, and the result as the last frame.

    Frame i shows what the network saw at step i and what it made of it; frame `num_steps` is the
    finished picture. One thread may append while others read.

    Attributes:
        timesteps: t of each step.
        noise_levels: √(1−ᾱ_t) of each step.
    """

    def __init__(
        self,
        timesteps: Sequence[int],
        noise_levels: Sequence[float],
        num: int,
        image_shape: tuple[int, int, int],
    ) -> None:
        self.timesteps = tuple(timesteps)
        self.noise_levels = tuple(noise_levels)
        steps = len(self.timesteps)
        # Pages of np.empty cost memory only when they are written.
        self._frames = {
            look: np.empty((steps + (look == "x_t"), num, *image_shape), dtype=np.uint8)
            for look in LOOKS
        }
        self._moments = np.empty((steps + 1, 2))
        self._lock = threading.Lock()
        self._length = 0

    @property
    def num_steps(self) -> int:
        return len(self.timesteps)

    def __len__(self) -> int:
        """How many frames there are by now."""
        with self._lock:
            return self._length

    @property
    def complete(self) -> bool:
        """Whether the result is there."""
        return len(self) == self.num_steps + 1

    def append(self, step: ReverseStep) -> None:
        """Keep a step; with the last one comes the result.

        Raises:
            IndexError: it is not the next step.
        """
        from engine.data.range import to_uint8

        at = step.index
        if at != len(self) or at >= self.num_steps:
            raise IndexError(f"step {at} cannot follow {len(self)} frames of {self.num_steps}")
        shown = {"x_t": step.x_t, "x0": step.x0, "eps": step.eps / _EPS_RANGE}
        for look, values in shown.items():
            self._frames[look][at] = to_uint8(values).cpu().numpy()
        self._moments[at] = float(step.x_t.mean()), float(step.x_t.std())
        added = 1
        if at == self.num_steps - 1:
            result = step.prev_sample
            self._frames["x_t"][at + 1] = to_uint8(result).cpu().numpy()
            self._moments[at + 1] = float(result.mean()), float(result.std())
            added = 2
        with self._lock:
            self._length += added

    def frame(self, index: int, look: str) -> Pixels:
        """A frame as uint8 (N, C, H, W); of the result, the predictions are those that made it.

        Raises:
            IndexError: that frame is not there yet.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        frames = self._frames[look]
        picture: Pixels = frames[min(index, len(frames) - 1)]
        return picture

    def moments(self, index: int) -> tuple[float, float]:
        """Mean and standard deviation of x_t in a frame, over all pictures.

        Raises:
            IndexError: that frame is not there yet.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        mean, std = self._moments[index]
        return float(mean), float(std)


@dataclass
class Playhead:
    """A position in a trajectory that moves by itself while playing.

    Attributes:
        position: a frame, with the fraction of the way to the next.
        playing: whether `advance` moves it.
        speed: steps a second.
    """

    SPEEDS: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 15, 30, 60, 120, 240)

    position: float = 0.0
    playing: bool = False
    speed: int = 60

    @property
    def index(self) -> int:
        """The frame under the playhead."""
        return int(self.position)

    def advance(self, seconds: float, last: int) -> None:
        """Move on, at most to frame `last`, the newest there is."""
        if self.playing:
            self.position = min(self.position + seconds * self.speed, float(max(last, 0)))

    def move_to(self, index: int, last: int) -> None:
        """Go to a frame, as near as there is one; its picture stays, so playing ends."""
        self.position = float(min(max(index, 0), max(last, 0)))
        self.playing = False

    def change_speed(self, faster: bool) -> None:
        """About twice as fast, or half."""
        at = self.SPEEDS.index(self.speed) + (1 if faster else -1)
        self.speed = self.SPEEDS[min(max(at, 0), len(self.SPEEDS) - 1)]
