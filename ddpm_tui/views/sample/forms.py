"""What to do next with a take: a small form for each turn, checked before it is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ddpm_tui.views.form import Field, Form
from ddpm_tui.views.question import Question
from ddpm_tui.views.sample.settings import SAMPLERS
from engine.errors import ConfigError
from engine.takes.recipe import (
    STRENGTH,
    Ask,
    Branch,
    FromData,
    FromFile,
    FromNoise,
    Inpaint,
    Origin,
    Recipe,
    Renoise,
)

SAME = "the same"
_NOISE, _DATA, _FILE = "noise", "held-out picture", "picture file"


@dataclass(frozen=True)
class Place:
    """Where in a take something is to be done.

    Attributes:
        recipe: the take.
        at: steps taken before.
        t: the timestep there; −1 at the end.
        picture: which picture is chosen.
        class_names: what a prompt may ask for.
        check: raises EngineError where the recipe cannot be performed.
    """

    recipe: Recipe
    at: int
    t: int
    picture: int
    class_names: tuple[str, ...]
    check: Callable[[Recipe], None]

    def then(self, turn: Any) -> Recipe:
        """The take with the turn, checked."""
        recipe = self.recipe.then(turn)
        self.check(recipe)
        return recipe

    @property
    def words(self) -> str:
        """Where that is, for a person."""
        return (
            f"at t = {self.t}, after {self.at} step{'s' * (self.at != 1)}"
            if self.t >= 0
            else "at the end"
        )


def ask(place: Place) -> Question[Recipe]:
    """Ask for something else from here on."""
    sampling = place.recipe.sampling
    fields = [
        Field(
            "prompt",
            "prompt",
            "classes by name, alone or mixed, as in 0.6 dress + 0.4 coat; empty leaves it",
            placeholder=sampling.prompt or "each class in turn",
        ),
        Field(
            "guidance",
            "guidance scale",
            "1 is none, above 1 exaggerates the class; empty leaves it",
            placeholder=f"{sampling.guidance_scale:g}",
        ),
    ]

    def read(form: Form) -> Recipe:
        scale = _finite(form, "guidance")
        return place.then(Ask(place.at, form.value("prompt") or None, scale))

    note = f"From here on, {place.words}. The steps before stay as they are."
    return Question(
        "Ask for something else", fields, read, does="Ask", note=note, words=place.class_names
    )


def renoise(place: Place, timesteps: int) -> Question[Recipe]:
    """Take x back up."""
    usual = min(max(place.t, 0) + timesteps // 3, timesteps - 1)
    about = f"where to go back to, above {max(place.t, 0)} and at most {timesteps - 1}"
    fields = [Field("t", "t", about, value=str(usual))]

    def read(form: Form) -> Recipe:
        t = form.number("t", int)
        if t is None:
            raise ConfigError("There is no t to go back to")
        return place.then(Renoise(place.at, t))

    note = f"Noise is added to x_t {place.words}, and the reverse process goes down again."
    return Question("Re-noise", fields, read, does="Re-noise", note=note)


def branch(place: Place) -> Question[Recipe]:
    """Several ways on from one picture: by other noise, or where none is drawn by other prompts."""
    from engine.sampling import draws_noise, sampler_words

    sampling = place.recipe.sampling
    varies = draws_noise(sampling) or any(isinstance(t, Inpaint) for t in place.recipe.turns)
    fields = [
        Field(
            "copies",
            "continuations",
            "of each prompt, each with its own noise",
            value="6" if varies else "1",
        ),
        Field(
            "prompt",
            "prompts",
            "what they ask for, separated by ;  empty is what the picture asks for",
            value="" if varies else "; ".join(place.class_names),
        ),
    ]

    def read(form: Form) -> Recipe:
        copies = form.number("copies", int) or 1
        prompts = tuple(part.strip() for part in form.value("prompt").split(";") if part.strip())
        return place.then(Branch(place.at, place.picture, copies, prompts))

    note = f"Picture {place.picture} goes on in several ways, {place.words}."
    if not varies:
        note += f" {sampler_words(sampling)} draws no noise, so only prompts make a difference."
    return Question("Branch", fields, read, does="Branch", note=note, words=place.class_names)


def start(place: Place, file: str) -> Question[Recipe]:
    """Another beginning.

    Args:
        file: a picture file to offer.
    """
    origin = place.recipe.origin
    strength = STRENGTH if isinstance(origin, FromNoise) else origin.strength
    fields = [
        Field(
            "origin", "start from", "what the take begins with", choices=(_NOISE, _DATA, _FILE),
            value=_DATA,
        ),
        Field("which", "picture", "its number, from 0; several of the data set: 3,7", value="0"),
        Field("file", "file", "a grid that was saved, an .npy, or any picture", value=file),
        Field("strength", "strength", "share of the way to noise, 0 to 1", value=f"{strength:g}"),
    ]  # fmt: skip

    def read(form: Form) -> Recipe:
        chosen: Origin = FromNoise()
        kind = form.value("origin")
        share = _finite(form, "strength")
        share = STRENGTH if share is None else share
        if kind == _DATA:
            chosen = FromData(_numbers(form.value("which")), share)
        elif kind == _FILE:
            chosen = FromFile(form.value("file"), _numbers(form.value("which"))[0], share)
        recipe = replace(place.recipe, origin=chosen, turns=())
        place.check(recipe)
        return recipe

    note = "A picture is noised part of the way and made anew; from noise, nothing is given."
    return Question("Start from", fields, read, does="Start", note=note)


def compare(place: Place, checkpoints: Sequence[int]) -> Question[Recipe]:
    """A second lane from the same noise."""
    fields = [
        Field("sampler", "sampler", "of the second lane", choices=(SAME, *SAMPLERS), value=SAME),
        Field(
            "steps", "steps", "of the second lane; empty is the same",
            placeholder=str(place.recipe.sampling.num_inference_steps),
        ),
        Field(
            "guidance", "guidance scale", "of the second lane; empty is the same",
            placeholder=f"{place.recipe.sampling.guidance_scale:g}",
        ),
        Field(
            "checkpoint", "checkpoint", "training step of its weights",
            choices=(SAME, *(str(step) for step in checkpoints)), value=SAME,
        ),
    ]  # fmt: skip

    def read(form: Form) -> Recipe:
        versus: dict[str, Any] = {}
        if form.value("sampler") != SAME:
            versus |= SAMPLERS[form.value("sampler")]
        steps, scale = form.number("steps", int), _finite(form, "guidance")
        versus |= {} if steps is None else {"num_inference_steps": steps}
        versus |= {} if scale is None else {"guidance_scale": scale}
        if form.value("checkpoint") != SAME:
            versus["checkpoint"] = int(form.value("checkpoint"))
        own = {**place.recipe.sampling.model_dump(), "checkpoint": place.recipe.checkpoint}
        recipe = replace(
            place.recipe, versus={key: value for key, value in versus.items() if value != own[key]}
        )
        place.check(recipe)
        return recipe

    note = "Both lanes start from the same noise. With everything the same there is one lane again."
    return Question("Compare", fields, read, does="Compare", note=note)


def _finite(form: Form, id: str) -> float | None:
    value: float | None = form.number(id, float)
    if value is not None and not math.isfinite(value):
        raise ConfigError(f"{id}: {value} is not a number")
    return value


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"picture: {text!r} is not a number", "As in 3, or in 3,7.")
    return tuple(int(part) for part in parts)
