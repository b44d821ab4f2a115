"""The help screen: what is seen, the keys as this person has them, the terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from ddpm_tui.keys import VIEW_TITLES, KeyTable, in_force
from ddpm_tui.sanitize import clean
from ddpm_tui.views.dialog import Dialog, DialogScreen
from ddpm_tui.views.help_texts import ABOUT, TERMS, WIDGETS
from ddpm_tui.widgets.sheet import Sheet, Spans

_KEY_WIDTH = 14
_NARROWEST = 10  # cells that a meaning has beside its name, however narrow the screen

Section = tuple[str, list[tuple[str, str]]]


def sections(view: str, table: KeyTable, focused: str = "") -> list[Section]:
    """Titles, each with rows of a name and what it means; a row without a name is a paragraph.

    Args:
        focused: name of the widget that has the focus, which is explained first.
    """
    found: list[Section] = []
    if focused in WIDGETS:
        found.append(("Where you are", [("", WIDGETS[focused])]))
    found.append(("What you see", [("", text) for text in ABOUT.get(view, ())]))
    for where in in_force(view):
        rows = [(key.display, key.help) for key in table.of(where)]
        found.append((f"Keys: {VIEW_TITLES.get(where, where)}", rows))
    found[-1][1].append(("ctrl+p", "Palette: every action and theme by name"))
    terms = [(term, text) for views, term, text in TERMS if not views or view in views.split()]
    found.append(("Terms", terms))
    return found


def matching(found: list[Section], wanted: str) -> Iterator[Section]:
    """The rows that have the wanted text in them, whatever its case, and their titles."""
    wanted = wanted.strip().lower()
    for title, rows in found:
        left = [row for row in rows if wanted in f"{row[0]} {row[1]}".lower()]
        if left:
            yield title, left


def rows(found: Iterable[Section], width: int) -> Iterator[Spans]:
    """Sections as the rows of a sheet: names in a column, what they mean beside it."""
    for number, (title, entries) in enumerate(found):
        if number:
            yield ()
        yield ((title, "title"),)
        for name, meaning in entries:
            indent = _KEY_WIDTH if name else 0
            for line in wrap(meaning, max(width - indent, _NARROWEST)):
                yield ((f"{name:<{indent}}", "bar"), (line, ""))
                name = ""


class HelpScreen(DialogScreen[None]):
    """About the view, its keys, the keys of everywhere, the terms. Typing searches."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # The search takes letters, so only these can close it.
        Binding("escape,f1,enter", "dismiss", "Close", priority=True),
        Binding("down", "scroll(1)", "Down", show=False, priority=True),
        Binding("up", "scroll(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "scroll(10)", "Page down", show=False, priority=True),
        Binding("pageup", "scroll(-10)", "Page up", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    HelpScreen .dialog { height: 94%; }
    HelpScreen #help-search { border: none; height: 1; padding: 0; margin-bottom: 1; }
    HelpScreen.-tiny #help-search { margin-bottom: 0; }
    HelpScreen Sheet { height: 1fr; }
    """

    def __init__(self, view: str, table: KeyTable, focused: Widget | None = None) -> None:
        super().__init__()
        self._title = VIEW_TITLES.get(view, view)
        # The nearest of its kinds that is explained.
        kinds = [kind.__name__ for kind in type(focused).__mro__] if focused else []
        name = next((kind for kind in kinds if kind in WIDGETS), "")
        self._sections = sections(view, table, name)

    def compose(self) -> ComposeResult:
        keys = ("type to search", "↑ ↓ PgUp PgDn scroll", "esc closes")
        with Dialog(f"Help: {self._title}", keys, classes="help"):
            yield Input(
                placeholder="search",
                id="help-search",
                compact=True,
                max_length=80,
                select_on_focus=False,
            )
            yield Sheet(id="help-text")

    def on_mount(self) -> None:
        self._sheet.can_focus = False  # what is typed is for the search
        self._show("")

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._show(event.value)

    @property
    def _sheet(self) -> Sheet:
        return self.query_one(Sheet)

    def _show(self, wanted: str) -> None:
        found = list(matching(self._sections, wanted))
        self._sheet.show(
            lambda width: list(rows(found, width)),
            message=f"Nothing here has “{clean(wanted, 40)}” in it.",
        )

    def action_scroll(self, lines: int) -> None:
        self._sheet.move(lines)
