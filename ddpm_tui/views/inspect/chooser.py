"""Choosing a run by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from ddpm_tui.sanitize import clean
from ddpm_tui.views.dialog import Dialog, DialogScreen
from ddpm_tui.widgets.sheet import Sheet
from engine.runs.folder import Run


class ChooseRun(DialogScreen[Run | None]):
    """Returns the run that was chosen, or None. Typing filters by name.

    Args:
        runs: newest first.
        current: where the cursor begins.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", priority=True),
        Binding("enter", "choose", "Choose", priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "move(10)", "Page down", show=False, priority=True),
        Binding("pageup", "move(-10)", "Page up", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    ChooseRun .dialog { width: 60; height: 18; }
    ChooseRun Input { border: none; height: 1; padding: 0; }
    ChooseRun Sheet { height: 1fr; }
    """

    def __init__(self, runs: Sequence[Run], current: Run | None) -> None:
        super().__init__()
        self._runs = self._shown = list(runs)
        self._current = current

    def compose(self) -> ComposeResult:
        with Dialog("Inspect a run", ("enter chooses", "↑ ↓ move", "esc back")):
            yield Input(placeholder="part of its name", compact=True, max_length=80)
            yield Sheet(id="found")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        at = self._runs.index(self._current) if self._current in self._runs else 0
        self._list(at)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        wanted = event.value.strip().lower()
        self._shown = [run for run in self._runs if wanted in run.name.lower()]
        self._list(0)

    def _list(self, cursor: int) -> None:
        rows = [((f" {clean(run.name)}", ""),) for run in self._shown]
        self.query_one(Sheet).show(
            lambda _width: rows, cursor=cursor, message="No run has that in its name."
        )

    def on_sheet_chosen(self, message: Sheet.Chosen) -> None:
        if message.clicked:
            self.action_choose()

    def action_move(self, by: int) -> None:
        self.query_one(Sheet).move(by)

    def action_choose(self) -> None:
        at = self.query_one(Sheet).cursor
        if at is not None and at < len(self._shown):
            self.dismiss(self._shown[at])
