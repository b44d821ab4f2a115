"""A line to type in, below the list: a filter, a name, tags, a note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, Static

from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.last_word import LastWord
from engine.errors import EngineError

_Take = Callable[[str], object]


def _nothing(_text: str) -> None:
    """For a line that is not looked at while one types."""


class Prompt(Vertical):
    """Asks for one line; what is wrong with it is said below, and it stays open until it is right.

    Escape closes it; whoever asked may then be told.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]
    DEFAULT_CSS = """
    Prompt { height: auto; background: $panel; }
    Prompt Horizontal { height: 1; }
    Prompt Label {
        max-width: 50%; padding: 0 1; color: $primary; text-style: bold;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    Prompt Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    Prompt #problem { height: auto; max-height: 4; padding: 0 1; color: $text-error; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: _Take = _nothing
        self._done: _Take = _nothing
        self.display = False
        self._left: Callable[[], object] = lambda: None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label("", markup=False)
            field = Input(compact=True, select_on_focus=False)
            field.cursor_blink = False  # over a slow link a line of bytes, twice a second
            yield field
        yield Static("", id="problem", markup=False)

    def ask(
        self,
        label: str,
        done: _Take,
        *,
        value: str = "",
        hint: str = "",
        longest: int = 500,
        words: Sequence[str] = (),
        changed: _Take = _nothing,
        left: Callable[[], object] = lambda: None,
    ) -> None:
        """Open the line.

        Args:
            done: takes what was typed; an EngineError is said, and the line stays.
            value: stands in it at first.
            hint: stands in it while it is empty.
            longest: a pasted megabyte ends here.
            words: completed while one types.
            changed: takes what is typed so far; an EngineError is said.
            left: told that it was closed by escape.
        """
        self._changed, self._done, self._left = changed, done, left
        self.query_one(Label).update(label)
        field = self.query_one(Input)
        field.max_length = longest
        field.suggester = LastWord(words) if words else None
        field.placeholder = hint
        with self.prevent(Input.Changed):
            field.value = value
        field.cursor_position = len(value)
        self._say("")
        self.display = True
        field.focus()

    def close(self) -> None:
        """Put it away."""
        self.display = False

    @property
    def is_open(self) -> bool:
        return self.display

    @on(Input.Changed)
    def _look(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self._try(self._changed, event.value)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        if self.is_open and self._try(self._done, event.value):
            self.close()

    def action_leave(self) -> None:
        self.close()
        self._left()

    def _try(self, take: _Take, text: str) -> bool:
        try:
            take(text)
        except EngineError as error:
            self._say(str(error))
            return False
        self._say("")
        return True

    def _say(self, problem: str) -> None:
        shown = self.query_one("#problem", Static)
        shown.update(clean(problem))
        shown.display = bool(problem)
