"""The recipe of a take: where the reverse process starts, and what is done to it on the way.

A turn is placed by the number of steps taken before it, and not by t: after re-noising the same t
comes by again. A recipe holds plain values only (masks and pictures are named by their files), so
two equal recipes give the same pictures to the bit. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from engine.config import SamplingConfig
from engine.errors import ConfigError

# They go through the network together, and into one picture file.
MAX_PICTURES = 256
# What RePaint resamples unless told otherwise; see `interventions.repaint_legs`.
JUMP_LENGTH, RESAMPLE = 5, 10
# The share of the way that a given picture is noised, unless told otherwise.
STRENGTH = 0.4


@dataclass(frozen=True)
class FromNoise:
    """Start from x_T, the noise of each picture of the seed."""


@dataclass(frozen=True)
class FromData:
    """Start from held-out pictures of the run's data set, noised part of the way (SDEdit).

    Attributes:
        indices: which ones; each has `num` results, those of one picture together.
        strength: the share of the way to go, 0 to 1; 0 leaves the pictures alone.
    """

    indices: tuple[int, ...]
    strength: float = STRENGTH

    def __post_init__(self) -> None:
        if not self.indices:
            raise ConfigError("no held-out picture is named", "Give one, as in data:12.")
        _check_least(0, indices=min(self.indices))
        _check_strength(self.strength)


@dataclass(frozen=True)
class FromFile:
    """Start from a picture file, noised part of the way: an earlier grid, a .npy, or any picture.

    Attributes:
        path: relative ones are looked for here, then in the run's `samples`.
        picture: which picture of the file, 0 for the first.
        strength: as in `FromData`.
    """

    path: str
    picture: int = 0
    strength: float = STRENGTH

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("no picture file is named", "Give one, as in grid.png:3.")
        if self.path.startswith("data:"):
            raise ConfigError(
                f"{self.path!r} means held-out pictures", "Write ./data:… for a file."
            )
        _check_least(0, picture=self.picture)
        _check_strength(self.strength)


Origin = FromNoise | FromData | FromFile


@dataclass(frozen=True)
class Ask:
    """From here on, ask for something else; None leaves it as it is.

    Attributes:
        at: steps taken before the turn.
        prompt: classes by name; the empty prompt is each class in turn.
        guidance_scale: 1 is none.
    """

    at: int
    prompt: str | None = None
    guidance_scale: float | None = None

    def __post_init__(self) -> None:
        _check_least(0, at=self.at)
        if self.prompt is None and self.guidance_scale is None:
            raise ConfigError("the turn `ask` changes nothing", "Give prompt= or guidance_scale=.")
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise ConfigError(f"guidance_scale {self.guidance_scale} is not a number")


@dataclass(frozen=True)
class Renoise:
    """Take x back up to a larger t by the forward process, and come down again.

    Attributes:
        at: steps taken before the turn.
        back_to_t: where to; if it is not visited, the next lower t that is.
    """

    at: int
    back_to_t: int

    def __post_init__(self) -> None:
        _check_least(0, at=self.at, t=self.back_to_t)


@dataclass(frozen=True)
class Branch:
    """Go on from one picture in several ways; they become the batch.

    Attributes:
        at: steps taken before the turn.
        picture: which picture of the batch.
        copies: continuations of each prompt, each with its own noise; the first has the picture's.
        prompts: what the branches ask for; none means what the picture asks for.
    """

    at: int
    picture: int = 0
    copies: int = 1
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_least(0, at=self.at, picture=self.picture)
        _check_least(1, copies=self.copies)


@dataclass(frozen=True)
class Inpaint:
    """Keep of one picture what is outside of the mask, and paint the rest anew from the top.

    What is kept is what the network believed in: x_0 as predicted by the last step taken, the
    picture itself where the way is at its end, the given picture where no step was taken.

    Attributes:
        at: steps taken before the turn.
        picture: which picture of the batch.
        mask: a mask file, white where to paint (see `files.save_mask`), looked for as in
            `FromFile`; or left, right, top, bottom, centre.
        copies: results, each with its own noise.
        jump_length, resample: see `interventions.repaint_legs`.
    """

    at: int
    picture: int
    mask: str
    copies: int = 1
    jump_length: int = JUMP_LENGTH
    resample: int = RESAMPLE

    def __post_init__(self) -> None:
        _check_least(0, at=self.at, picture=self.picture)
        _check_least(1, copies=self.copies, jump_length=self.jump_length, resample=self.resample)
        if not self.mask:
            raise ConfigError("the turn `inpaint` has no mask", "Give mask=FILE, or mask=left.")


Turn = Ask | Renoise | Branch | Inpaint


@dataclass(frozen=True)
class Recipe:
    """All that decides the pictures of a take.

    Attributes:
        run: its name.
        checkpoint: the training step of the weights.
        sampling: the whole table; `num` is the number of results of each picture of the origin.
        seed: decides all noise.
        turns: in the order in which they come, so `at` never falls.
        versus: what the second lane has instead: fields of `sampling` but `num`, and `checkpoint`;
            empty when there is no second lane.
    """

    run: str
    checkpoint: int
    sampling: SamplingConfig
    seed: int = 0
    origin: Origin = FromNoise()
    turns: tuple[Turn, ...] = ()
    versus: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_least(0, seed=self.seed, checkpoint=self.checkpoint)
        for before, turn in zip(self.turns, self.turns[1:], strict=False):
            if turn.at < before.at:
                raise ConfigError(
                    f"a turn after {turn.at} steps cannot follow one after {before.at}",
                    "Give the turns in the order in which they come.",
                )
        other = self.versus.get("checkpoint", self.checkpoint)
        if not isinstance(other, int) or isinstance(other, bool):
            raise ConfigError(f"{other!r} is no checkpoint", "Give its step, as in checkpoint=400.")
        if "num" in self.versus:
            raise ConfigError("both lanes have the same pictures", "Leave num out of versus.")

    @property
    def num(self) -> int:
        """Pictures of the batch before any turn."""
        given = len(self.origin.indices) if isinstance(self.origin, FromData) else 1
        return given * self.sampling.num

    def then(self, turn: Turn) -> Recipe:
        """This take up to the turn, and the turn; what came after it is given up."""
        kept = tuple(earlier for earlier in self.turns if earlier.at <= turn.at)
        return replace(self, turns=(*kept, turn))

    def other_lane(self) -> Recipe:
        """The recipe of the second lane, with the turns of this one as they are.

        Raises:
            ConfigError: a value of `versus` is out of bounds or has no meaning.
        """
        changes = dict(self.versus)
        checkpoint = changes.pop("checkpoint", self.checkpoint)
        sampling = sampling_of({**self.sampling.model_dump(), **changes}, "versus")
        return replace(self, checkpoint=checkpoint, sampling=sampling, versus={})


def sampling_of(values: Mapping[str, Any], where: str) -> SamplingConfig:
    """The sampling table of a recipe from plain values.

    Raises:
        ConfigError: names the first offending key.
    """
    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (where, *first["loc"]))
        raise ConfigError(f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _check_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} is {value}, and the least is {least}")


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise ConfigError(f"There is no strength {strength:g}", "Give one from 0 to 1.")
