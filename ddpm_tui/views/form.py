"""Forms: a row for each field with what it means, and what is wrong beside it while one types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from ddpm_tui.sanitize import clean
from ddpm_tui.views.dialog import BODY, Body, Shrinking
from ddpm_tui.widgets.choice import Choice
from engine.config import RunConfig, Section
from engine.errors import ConfigError

# Longer than any value of a field; a pasted megabyte ends here.
MAX_LENGTH = 500
# Choices that are listed below a form; there may be one for each run.
_LISTED = 12


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Attributes:
        id: of the widget.
        label: what it is called.
        about: what it means, with its unit.
        setting: the `table.key` of the config that it is for; empty when it is for none.
        choices: the values to choose from; empty for a field to type in.
        value: what it holds at first.
        placeholder: what an empty field stands for.
    """

    id: str
    label: str
    about: str
    setting: str = ""
    choices: tuple[str, ...] = ()
    value: str = ""
    placeholder: str = ""


def setting_field(id: str, label: str, setting: str, *, unit: str = "", first: str = "") -> Field:
    """A field for a setting of the config: its meaning, its bounds, and the values of a choice.

    Args:
        unit: of the number, for the label of what is typed.
        first: a value before those of the config, such as "the preset's".
    """
    table, _, key = setting.partition(".")
    section: Any = RunConfig.model_fields[table].annotation
    assert issubclass(section, Section)
    info = section.model_fields[key]
    about = info.description or ""
    values: tuple[str, ...] = ()
    if get_origin(info.annotation) is Literal:
        values = tuple(map(str, get_args(info.annotation)))
    elif info.annotation is bool:
        values = ("yes", "no")
    if values and first:
        values = (first, *values)
    bounds = ", ".join(_bounds(info.metadata))
    parts = (about, unit and f"in {unit}", bounds and f"({bounds})")
    return Field(id, label, " ".join(part for part in parts if part), setting, values)


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for bound in metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            value = getattr(bound, name, None)
            # A bound against absurdity tells a person nothing.
            if value is not None and abs(value) < 1_000_000:
                yield f"{sign} {value:,}" if isinstance(value, int) else f"{sign} {value:g}"


class FormRow(Horizontal):
    """The label, the control, and what the field means or what is wrong with it."""

    DEFAULT_CSS = """
    FormRow { height: 1; }
    FormRow Label { width: 16; color: $text-muted; }
    FormRow Input, FormRow Choice { width: 26; }
    FormRow .note { width: 1fr; height: 1; padding-left: 1; color: $foreground 60%;
        text-wrap: nowrap; text-overflow: ellipsis; }
    FormRow.-wrong .note { color: $text-error; text-style: bold; }
    FormRow.-wrong Label { color: $text-error; text-style: bold; }
    """

    def __init__(self, field: Field, control: Widget) -> None:
        super().__init__()
        self.field, self.control = field, control
        self.problem = ""

    def compose(self) -> ComposeResult:
        yield Label(self.field.label, markup=False)
        yield self.control
        yield Static(self.field.about, classes="note", markup=False)

    def blame(self, problem: str) -> None:
        """Say what is wrong with the field; empty when nothing is."""
        if problem == self.problem:
            return
        self.problem = problem
        self.set_class(bool(problem), "-wrong")
        note = f"✗ {clean(problem)}" if problem else self.field.about
        self.query_one(".note", Static).update(note)


class Form(Shrinking):
    """The rows of some fields and below them, whole, what the present one means.

    Where there is no room for all the rows scroll; on a screen with the class `-narrow` only the
    present field is explained.

    Args:
        fields: from top to bottom.
        suggesters: id of a field -> what completes it.
    """

    DEFAULT_CSS = """
    Form #about { height: auto; margin-top: 1; color: $foreground 80%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        suggesters: Mapping[str, Suggester] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=BODY)
        self._rows = {
            field.id: FormRow(field, _control(field, (suggesters or {}).get(field.id)))
            for field in fields
        }

    def compose(self) -> ComposeResult:
        with Body(id="rows"):
            yield from self._rows.values()
        yield Static("", id="about", markup=False)

    def value(self, id: str) -> str:
        """What a field holds, without the spaces around it."""
        control = self._rows[id].control
        assert isinstance(control, Input | Choice)
        return control.value.strip()

    def number(self, id: str, kind: type) -> Any:
        """The number in a field, or None where it is empty.

        Raises:
            ConfigError: it is not such a number; the field is blamed.
        """
        text = self.value(id)
        try:
            return kind(text) if text else None
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            problem = f"{clean(text, 40)!r} is not {wanted}"
            self._rows[id].blame(problem)
            raise ConfigError(f"{self._rows[id].field.label}: {problem}") from None

    def hint(self, id: str, placeholder: str) -> None:
        """What an empty field stands for."""
        control = self._rows[id].control
        if isinstance(control, Input):
            control.placeholder = placeholder

    def clear_blame(self) -> None:
        """Take every error back."""
        for row in self._rows.values():
            row.blame("")

    def blame(self, error: ConfigError, id: str = "") -> None:
        """Show an error at its field.

        Args:
            id: of that field; without it, the setting that the message begins with tells.
        """
        named, colon, rest = error.message.partition(": ")
        for row in self._rows.values():
            if row.field.id == id:
                row.blame(error.message)
            elif not id and colon and row.field.setting == named:
                row.blame(rest)

    @on(events.DescendantFocus)
    def _explain(self, event: events.DescendantFocus) -> None:
        row = next((row for row in self._rows.values() if row.control is event.widget), None)
        if row is not None:
            listed = " · ".join(row.field.choices[:_LISTED])
            if len(row.field.choices) > _LISTED:
                listed = f"{len(row.field.choices)} choices: {listed} …"
            about = f"{row.field.label}: {row.field.about}"
            self.query_one("#about", Static).update(f"{about}\n{listed}" if listed else about)


def _control(field: Field, suggester: Suggester | None) -> Widget:
    if field.choices:
        return Choice(list(field.choices), field.value, id=field.id)
    return Input(
        field.value,
        placeholder=field.placeholder,
        id=field.id,
        compact=True,
        max_length=MAX_LENGTH,
        suggester=suggester,
    )
