"""A form over a view that asks before something is done, and stays until its answer is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button, Input, Static

from ddpm_tui.views.dialog import Buttons, Dialog, DialogScreen, Problem
from ddpm_tui.views.form import Field, Form
from ddpm_tui.widgets.last_word import LastWord
from engine.errors import EngineError

_T = TypeVar("_T")


class Question(DialogScreen[_T | None], Generic[_T]):
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
    Question.-tiny .note-on-top { display: none; }
    """

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
        keys = ("enter does it", "tab ↑ ↓ move", "esc back")
        with Dialog(self._title, keys, classes="form"):
            if self._note:
                yield Static(self._note, classes="note-on-top", markup=False)
            suggesters = {"prompt": LastWord(self._words)} if self._words else None
            yield Form(self._fields, suggesters=suggesters)
            yield Problem()
            with Buttons():
                yield Button(f"{self._does} (enter)", variant="primary", id="do", compact=True)
                yield Button("Back (esc)", id="back", compact=True)

    @on(Input.Submitted)
    def action_answer(self) -> None:
        form = self.query_one(Form)
        form.clear_blame()
        try:
            answer = self._read(form)
        except EngineError as error:
            self.query_one(Problem).say(f"✗ {error}")
        else:
            self.dismiss(answer)

    @on(Input.Changed)
    def _forgive(self) -> None:
        self.query_one(Problem).say("")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "do":
            self.action_answer()
        else:
            self.dismiss(None)
