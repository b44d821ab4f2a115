"""Where in a take one looks, and how it plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Playhead:
    """A position in a take that moves by itself while playing.

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
        if self.playing and self.position < last:
            self.position = min(self.position + seconds * self.speed, float(last))

    def move_to(self, index: int, last: int) -> None:
        """Go to a frame of 0 … `last`; its picture stays, so playing ends."""
        self.position = float(min(max(index, 0), max(last, 0)))
        self.playing = False

    def change_speed(self, faster: bool) -> None:
        """About twice as fast, or half."""
        at = self.SPEEDS.index(self.speed) + (1 if faster else -1)
        self.speed = self.SPEEDS[min(max(at, 0), len(self.SPEEDS) - 1)]
