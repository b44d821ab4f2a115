"""What to do next with a take: a small form for each turn, checked before it is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from ddpm_tui.sanitize import clean
from ddpm_tui.views.form import Field, Form, LastWord
from ddpm_tui.views.going_on import AnswersOnce
from ddpm_tui.views.sample.settings import SAMPLERS
from engine.errors import ConfigError, EngineError
from engine.takes.recipe import (
    STRENGTH,
    Ask,
    Branch,
    FromData,
    FromFile,
    FromNoise,
    Origin,
    Recipe,
    Renoise,
)

_T = TypeVar("_T")

SAME = "the same"
_NOISE, _DATA, _FILE = "noise", "held-out picture", "picture file"


class Question(AnswersOnce, ModalScreen[_T | None], Generic[_T]):
    """A form that returns what `read` makes of it, or None.

    Args:
        read: what the form says; a ConfigError is shown in the form, which then stays.
        does: the word on its button.
        note: a sentence on top.
        words: completed in the field `prompt`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "answer", "Do it"),
    ]
    DEFAULT_CSS = """
    Question .note-on-top { height: auto; color: $foreground 80%; margin-bottom: 1; }
    Question #problem { height: auto; color: $text-error; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-normal")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        read: Callable[[Form], _T],
        *,
        does: str,
        note: str = "",
        words: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._title, self._fields, self._read = title, fields, read
        self._does, self._note, self._words = does, note, words

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog form") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "enter does it · tab ↑ ↓ move · esc back"
            if self._note:
                yield Static(self._note, classes="note-on-top", markup=False)
            suggesters = {"prompt": LastWord(self._words)} if self._words else None
            yield Form(self._fields, suggesters=suggesters)
            yield Static("", id="problem", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(f"{self._does} (enter)", variant="primary", id="do", compact=True)
                yield Button("Back (esc)", id="back", compact=True)

    @on(Input.Submitted)
    def action_answer(self) -> None:
        form = self.query_one(Form)
        form.clear_blame()
        try:
            answer = self._read(form)
        except EngineError as error:
            self.query_one("#problem", Static).update(clean(f"✗ {error}"))
        else:
            self.dismiss(answer)

    @on(Input.Changed)
    def _forgive(self) -> None:
        self.query_one("#problem", Static).update("")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "do":
            self.action_answer()
        else:
            self.dismiss(None)


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
        return f"at t = {self.t}, after {self.at} steps" if self.t >= 0 else "at the end"


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
    """Several ways on from one picture."""
    fields = [
        Field("copies", "continuations", "of each prompt, each with its own noise", value="6"),
        Field(
            "prompt",
            "prompts",
            "what they ask for, separated by ;  empty is what the picture asks for",
        ),
    ]

    def read(form: Form) -> Recipe:
        copies = form.number("copies", int) or 1
        prompts = tuple(part.strip() for part in form.value("prompt").split(";") if part.strip())
        return place.then(Branch(place.at, place.picture, copies, prompts))

    note = f"Picture {place.picture} goes on in several ways, {place.words}."
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
