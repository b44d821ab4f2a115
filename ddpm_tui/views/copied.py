"""What was sent to the terminal's clipboard, to be read and copied by hand where it did not arrive.

A program hands text to a terminal by OSC 52 and gets no answer. tmux with `set-clipboard off`, GNU
screen and several terminals drop it, so that nobody here can say "Copied".
"""

from __future__ import annotations

import shlex
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from ddpm_tui.sanitize import clean
from ddpm_tui.views.going_on import AnswersOnce

_NEXT = "\\"  # a shell joins the next row
_NOTE = "By OSC 52. If it does not arrive, copy it from here:"


def folded(command: str, width: int) -> list[str]:
    """A command in rows that a shell takes as one, should they be copied with the mouse.

    An option stands in the row of its value.

    Args:
        command: quoted as for a shell.
        width: cells of a row, at least 16.
    """
    rows: list[str] = []
    row: list[str] = []
    for word in shlex.split(command):
        first, *more = _pieces(word, width - len(_NEXT) - 1)
        if row and not _fits([*row, first], width):
            value_follows = row[-1].startswith("--") and not first.startswith("--")
            option = row[-1:] if value_follows and _fits([row[-1], first], width) else []
            kept = row[: len(row) - len(option)]
            if kept:
                rows.append(" ".join([*kept, _NEXT]))
            row = option
        row.append(first)
        for piece in more:
            rows.append(" ".join(row) + _NEXT)
            row = [piece]
    return [*rows, " ".join(row)]


def _fits(words: list[str], width: int) -> bool:
    return cell_len(" ".join([*words, _NEXT])) <= width


def _pieces(word: str, room: int) -> list[str]:
    """A word as a shell reads it, in pieces that fit, each with quotes of its own."""
    if cell_len(shlex.quote(word)) <= room:
        return [shlex.quote(word)]
    pieces, piece = [], ""
    for character in word:
        if cell_len(shlex.quote(piece + character)) > room:
            pieces.append(shlex.quote(piece))
            piece = ""
        piece += character
    return [*pieces, shlex.quote(piece)]


class SentToClipboard(AnswersOnce, ModalScreen[None]):
    """All of a command, however long, below the words that it was sent.

    Args:
        command: what was sent.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,y,q", "dismiss", "Close"),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("pagedown", "scroll(10)", "Page down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
    ]
    # No frame left and right: a selection with the mouse takes whole rows.
    DEFAULT_CSS = """
    SentToClipboard .sent {
        width: 100%; height: auto; max-height: 100%; background: $surface;
        border-top: solid $primary; border-bottom: solid $primary;
    }
    SentToClipboard #sent-note { height: auto; margin-bottom: 1; }
    SentToClipboard #sent-command { height: auto; }
    """

    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="sent", can_focus=False) as dialog:
            dialog.border_title = "Sent to the terminal's clipboard"
            yield Static(_NOTE, id="sent-note", markup=False)
            yield Static(id="sent-command", markup=False)

    def on_mount(self) -> None:
        self._fold(self.app.size.width)

    def on_resize(self, event: events.Resize) -> None:
        self._fold(event.size.width)

    def _fold(self, width: int) -> None:
        # A column for the scroll bar and one to spare.
        rows = folded(self._command, max(width - 3, 16))
        self.query_one("#sent-command", Static).update("\n".join(map(clean, rows)))
        self.call_after_refresh(self._say_keys)

    def _say_keys(self) -> None:
        window = self.query_one(VerticalScroll)
        window.border_subtitle = "↑ ↓ scroll · esc closes" if window.max_scroll_y else "esc closes"

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
