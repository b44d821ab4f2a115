"""A clock that only work moves."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Stands in for the module `time` where a test says how long each piece of work takes.

    Attributes:
        at: seconds since it was made.
        reading: seconds that it takes to read it.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self.reading = 0.0

    def perf_counter(self) -> float:
        self.at += self.reading
        return self.at

    def work(self, seconds: float, images: int = 10) -> Callable[[int], int]:
        """Work of so many seconds and images a step."""

        def run(steps: int) -> int:
            self.at += steps * seconds
            return steps * images

        return run

    def moved_by(self, original: Callable[..., object], seconds: float) -> Callable[..., object]:
        """The original, each call of which takes so many seconds of this clock."""

        def timed(*args: object, **kwargs: object) -> object:
            self.at += seconds
            return original(*args, **kwargs)

        return timed
