"""The way that a take goes: every step laid out before the first is taken, all turns checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import SamplingConfig
from engine.errors import ConfigError
from engine.interventions import MAX_STEPS, Leg, position, repaint_legs
from engine.sampling import draws_noise, sampler_words
from engine.schedule import NoiseSchedule, inference_timesteps
from engine.takes.recipe import (
    MAX_PICTURES,
    Ask,
    Branch,
    FromNoise,
    Inpaint,
    Recipe,
    Renoise,
    Turn,
)


@dataclass(frozen=True)
class PathStep:
    """One step of the way, before it is taken.

    Attributes:
        t: the timestep at which the network is asked.
        position: where on the plain way that is, 0 … num_inference_steps − 1.
        round: how often x was taken back up before; each round has noise of its own.
        section: how many turns come before it.
        num: pictures of the batch.
    """

    t: int
    position: int
    round: int
    section: int
    num: int


def timesteps_of(num_train_timesteps: int, sampling: SamplingConfig) -> list[int]:
    """The timesteps of the plain way.

    Raises:
        ConfigError: there are more steps than timesteps.
    """
    if sampling.num_inference_steps > num_train_timesteps:
        raise ConfigError(
            f"{sampling.num_inference_steps} steps are more than the {num_train_timesteps} "
            "timesteps of this run",
            "Take fewer steps.",
        )
    return inference_timesteps(
        num_train_timesteps, sampling.num_inference_steps, sampling.timestep_spacing
    )


def plan(schedule: NoiseSchedule, recipe: Recipe) -> list[int]:
    """t of every step of the whole way, see `lay_out`."""
    return [step.t for step in lay_out(schedule, recipe)]


def lay_out(schedule: NoiseSchedule, recipe: Recipe) -> tuple[PathStep, ...]:
    """Every step of the way, with all turns.

    Raises:
        ConfigError: a turn is beyond the end of the way, names a picture that is not there, goes
            back to a t that is not above, makes branches that would all be the same, makes more
            than `MAX_PICTURES`, has no room for its jumps, or is followed by no step at all.
    """
    layout = _Layout(schedule.num_train_timesteps, recipe)
    for turn in recipe.turns:
        layout.turn(turn)
    layout.advance(None)
    if not layout.done:
        raise ConfigError(
            "with this strength no step is taken", "Give a larger one, or more steps."
        )
    return tuple(layout.done)


class _Layout:
    """The way under construction: the steps up to the last turn, and the legs still ahead."""

    def __init__(self, num_train_timesteps: int, recipe: Recipe) -> None:
        self.recipe, self.total = recipe, num_train_timesteps
        self.timesteps = timesteps_of(num_train_timesteps, recipe.sampling)
        steps = len(self.timesteps)
        start = 0
        if not isinstance(recipe.origin, FromNoise):
            start = steps - round(recipe.origin.strength * steps)
        check_room(recipe.num)
        self.num = recipe.num
        self.done: list[PathStep] = []
        self.section = self.round = 0
        self.inpaint: Inpaint | None = None
        # (position, round) of each step.
        self.ahead: list[tuple[int, int]]
        self._set_ahead([(start, steps)])

    def turn(self, turn: Turn) -> None:
        """Go on to the turn, and lay out what it makes of the way."""
        self.advance(turn.at)
        self.section += 1
        match turn:
            case Ask():
                self._check_ahead(turn)
            case Renoise(_, back_to_t):
                self._renoise(back_to_t)
            case Branch(_, picture, copies, prompts):
                self._check_ahead(turn)
                self._check_picture(picture)
                sampling = self.recipe.sampling
                if copies > 1 and not draws_noise(sampling) and not self.inpaint:
                    raise ConfigError(
                        f"the branches would all be the same: {sampler_words(sampling)} draws no "
                        "noise",
                        "Take --sampler dpmpp_2m_sde, or one branch for each of several prompts.",
                    )
                self.num = copies * max(1, len(prompts))
                check_room(self.num)
            case Inpaint(at, picture, _, copies):
                self._check_picture(picture)
                if not at and isinstance(self.recipe.origin, FromNoise):
                    raise ConfigError(
                        "there is nothing to keep before the first step",
                        "Paint after one step or more, or start from a picture.",
                    )
                self.num = copies
                check_room(self.num)
                self.inpaint = turn
                # Before the first step nothing was drawn that could be drawn again.
                self.round += 1 if at else 0
                self._set_ahead(self._resampled(0))

    def advance(self, at: int | None) -> None:
        """Move the steps that come before `at` from ahead to done; None is all of them."""
        count = len(self.ahead) if at is None else at - len(self.done)
        if count > len(self.ahead):
            raise ConfigError(
                f"there is no turn after {at} steps: the way has "
                f"{len(self.done) + len(self.ahead)}",
                "Turn earlier, or take more steps.",
            )
        if len(self.done) + count > MAX_STEPS:
            raise ConfigError(f"the way has more than {MAX_STEPS:,} steps", "Go back less often.")
        moved, self.ahead = self.ahead[:count], self.ahead[count:]
        for place, number in moved:
            self.round = number
            self.done.append(PathStep(self.timesteps[place], place, number, self.section, self.num))

    def _set_ahead(self, legs: Sequence[Leg]) -> None:
        self.ahead = [
            (place, self.round + number) for number, leg in enumerate(legs) for place in range(*leg)
        ]

    def _resampled(self, start: int) -> list[Leg]:
        """RePaint's legs from a position on; the plain one where they have no room any more."""
        assert self.inpaint is not None
        left, jump = len(self.timesteps) - start, self.inpaint.jump_length
        if start and jump >= left:
            return [(start, len(self.timesteps))]
        legs = repaint_legs(left, jump, self.inpaint.resample)
        return [(first + start, last + start) for first, last in legs]

    def _renoise(self, back_to_t: int) -> None:
        low = self.place()
        high = position(self.timesteps, back_to_t, self.total)
        if high >= low:
            here = f"t = {self.timesteps[low]}" if low < len(self.timesteps) else "the end"
            raise ConfigError(
                f"re-noising goes up, and t = {back_to_t} is not above {here}, where the take is "
                f"after {len(self.done)} steps",
                "Give a larger t to go back to.",
            )
        self.round += 1
        self._set_ahead(self._resampled(high) if self.inpaint else [(high, len(self.timesteps))])

    def place(self) -> int:
        """Where on the plain way x is; its length for the finished picture."""
        # A leg of RePaint's ends lower than the next begins: x is where its last step led.
        if self.done and self.ahead and self.ahead[0][1] > self.round:
            return self.done[-1].position + 1
        return self.ahead[0][0] if self.ahead else len(self.timesteps)

    def _check_ahead(self, turn: Turn) -> None:
        if not self.ahead:
            raise ConfigError(
                f"after {turn.at} steps the pictures are finished, and nothing follows the turn",
                "Turn earlier, or re-noise first.",
            )

    def _check_picture(self, picture: int) -> None:
        if picture >= self.num:
            raise ConfigError(
                f"there is no picture {picture} after {len(self.done)} steps",
                f"There are {self.num}, numbered from 0.",
            )


def check_room(num: int) -> None:
    """Raises ConfigError where that many pictures are too many at once."""
    if num > MAX_PICTURES:
        raise ConfigError(
            f"that makes {num} pictures at once, and {MAX_PICTURES} is the most", "Ask for fewer."
        )
