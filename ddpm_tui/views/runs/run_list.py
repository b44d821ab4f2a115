"""The list itself: only the rows that can be seen are made, and only those that changed sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ddpm_tui.views.runs.columns import CURVE, GAP, Column, fit, fitting
from ddpm_tui.views.runs.listing import Listing, Row
from ddpm_tui.widgets.strips import message_line, row_regions

_HEADER = 1
# Cells before the first column: the cursor and the mark, so that both are seen without colour.
_LEFT = 3

# Cells of a line, each with the name of its style.
_Line = tuple[tuple[str, str], ...]


class RunList(ScrollView, can_focus=True, inherit_bindings=False):
    """The runs of a `Listing`, with a cursor that stays on its run.

    Attributes:
        chosen: name of the run under the cursor; empty when there is none.
        message: shown in place of rows, when there are none.
    """

    DEFAULT_CSS = """
    RunList { height: 1fr; background: $background; }
    RunList { overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-background: $surface; }
    RunList > .run-list--header { color: $foreground 60%; text-style: bold; }
    RunList > .run-list--sorted { color: $primary; text-style: bold; }
    RunList > .run-list--plain { color: $foreground; }
    RunList > .run-list--dim { color: $foreground 60%; }
    RunList > .run-list--good { color: $success; text-style: bold; }
    RunList > .run-list--halted { color: $warning; }
    RunList > .run-list--bad { color: $error; text-style: bold; }
    RunList > .run-list--curve { color: $primary; }
    RunList > .run-list--tags { color: $secondary; }
    RunList > .run-list--mark { color: $accent; text-style: bold; }
    RunList > .run-list--cursor { background: $primary 30%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run-list--header",
        "run-list--sorted",
        "run-list--plain",
        "run-list--dim",
        "run-list--good",
        "run-list--halted",
        "run-list--bad",
        "run-list--curve",
        "run-list--tags",
        "run-list--mark",
        "run-list--cursor",
    }
    ALLOW_SELECT = False
    _STATES: ClassVar[Mapping[str, str]] = {
        "running": "good",
        "paused": "halted",
        "stopped": "halted",
        "failed": "bad",
        "unreadable": "bad",
        "created": "dim",
    }

    class Moved(Message):
        """The cursor is on another run, or other rows can be seen."""

    class Opened(Message):
        """Somebody clicked twice on a run."""

    class Marked(Message):
        """Somebody clicked on the mark of a run."""

    class Sorted(Message):
        """Somebody clicked on a title.

        Attributes:
            sort: a key of `SORTS`.
        """

        def __init__(self, sort: str) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, listing: Listing, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.listing = listing
        self.chosen = ""
        self.message = ""
        self._place = 0
        self._awaited = ""
        self._curves: dict[str, str] = {}
        self._columns: list[tuple[Column, int]] = []
        self._measured: tuple[Sequence[Row], int] = ((), -1)
        self._drawn: dict[int, _Line] = {}
        self._resolved: dict[str, Style] = {}

    # --- What is shown ---------------------------------------------------------------------------

    def show(self, *, measure: bool = True) -> None:
        """The listing may have changed: put the cursor on its run and draw what is different.

        Args:
            measure: False when the rows are the same and only their marks are not.
        """
        shown, places = self.listing.shown, self.listing.places
        seen_at = self._place - round(self.scroll_y)
        if self._awaited in places:
            self.chosen, self._awaited = self._awaited, ""
        self._place = places.get(self.chosen, min(self._place, max(len(shown) - 1, 0)))
        self.chosen = shown[self._place]["name"] if shown else ""
        if measure:
            self._measure()
            self.virtual_size = Size(self.size.width, len(shown) + _HEADER)
            if 0 <= seen_at < self.rows_high:
                self._scroll_top(self._place - seen_at)
        self._draw_changed()
        self.post_message(self.Moved())

    def follow(self, name: str) -> None:
        """Put the cursor on a run as soon as it is listed."""
        self._awaited = name

    def show_curves(self, curves: Mapping[str, str]) -> None:
        """The curves of the runs that can be seen, by name."""
        self._curves = dict(curves)
        self._draw_changed()

    @property
    def rows_high(self) -> int:
        """How many rows can be seen at once."""
        return max(self.size.height - _HEADER, 1)

    @property
    def seen(self) -> list[Row]:
        """The rows that can be seen."""
        top = round(self.scroll_y)
        return self.listing.shown[top : top + self.rows_high]

    @property
    def shows_curves(self) -> bool:
        """Whether there is room for them."""
        return any(column is CURVE for column, _ in self._columns)

    @property
    def chosen_row(self) -> Row | None:
        """The row under the cursor."""
        return self.listing.shown[self._place] if self.listing.shown else None

    @property
    def _room(self) -> int:
        # Always as if there were a scroll bar, so that no column moves when it comes.
        return self.size.width - _LEFT - 1

    def _measure(self) -> None:
        """By all runs, so that no column moves while one types a filter; once for the same ones."""
        rows, room = self.listing.rows, self._room
        if self._measured[0] is not rows or self._measured[1] != room:
            self._measured = rows, room
            self._columns = fitting(rows, room)

    def _draw_changed(self) -> None:
        """Refresh the lines that read differently from what was drawn."""
        changed = [y for y, drawn in self._drawn.items() if self._line(y) != drawn]
        if changed:
            self.refresh(*row_regions(sorted(changed), self.size.width))

    # --- The cursor ------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Move the cursor by some rows; it stays within the list."""
        self.move_to(self._place + by)

    def move_to(self, place: int) -> None:
        """Put the cursor on a row, and the row on the screen."""
        shown = self.listing.shown
        if not shown:
            return
        self._place = min(max(place, 0), len(shown) - 1)
        self.chosen, self._awaited = shown[self._place]["name"], ""
        top = round(self.scroll_y)
        self._scroll_top(min(max(top, self._place - self.rows_high + 1), self._place))
        self._draw_changed()
        self.post_message(self.Moved())

    def _scroll_top(self, top: int) -> None:
        self.scroll_to(y=top, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        self._drawn.clear()
        self.show()
        self.move_to(self._place)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if event.y < _HEADER:
            column = self._column_at(event.x)
            if column is not None and column.sort:
                self.post_message(self.Sorted(column.sort))
            return
        place = round(self.scroll_y) + event.y - _HEADER
        if place >= len(self.listing.shown):
            return
        self.move_to(place)
        if event.x < _LEFT:
            self.listing.toggle(self.chosen)
            self.post_message(self.Marked())
        elif event.chain == 2:
            self.post_message(self.Opened())

    def _column_at(self, x: int) -> Column | None:
        left = _LEFT
        for column, width in self._columns:
            if left <= x < left + width + GAP:
                return column
            left += width + GAP
        return None

    # --- Lines -----------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._resolved.clear()
        self.refresh()  # Textual does so only if a style of the widget's own is another

    def render_line(self, y: int) -> Strip:
        if y >= _HEADER and not self.listing.shown:
            height = self.size.height - _HEADER
            dim, base = self._style("dim"), self._style("")
            return message_line(self.message, y - _HEADER, self.size.width, height, dim, base)
        line = self._drawn[y] = self._line(y)
        segments = [Segment(text, self._style(style)) for text, style in line]
        base = self._style("plain cursor" if line and line[0][1].endswith("cursor") else "")
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _style(self, names: str) -> Style:
        """The style of a text, under the cursor with its background; empty is the widget's own."""
        if names not in self._resolved:
            name, _, under = names.partition(" ")
            style = self._component(name) if name else self.rich_style
            if under:
                style += Style(bgcolor=self._component(under).bgcolor)
            self._resolved[names] = style
        return self._resolved[names]

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"run-list--{name}")

    def _line(self, y: int) -> _Line:
        """A line as text with names of styles: quick to make and to compare."""
        if y < _HEADER:
            return self._header()
        place = round(self.scroll_y) + y - _HEADER
        if place >= len(self.listing.shown):
            return ()
        row = self.listing.shown[place]
        under = " cursor" if place == self._place else ""
        marked = row["name"] in self.listing.marked
        cells = [
            ("›" if under else " ", f"mark{under}"),
            ("● " if marked else "  ", f"mark{under}"),
            *((text, style + under) for text, style in self._cells(row)),
        ]
        return tuple(cells)

    def _header(self) -> _Line:
        cells = [(" " * _LEFT, "header")]
        for column, width in self._columns:
            by_this = column.sort == self.listing.sort
            arrow = ("↓" if self.listing.downwards else "↑") if by_this else " "
            title = column.title.rjust(width) if column.right else column.title
            style = "sorted" if by_this else "header"
            cells.append((f"{title}{arrow}".ljust(width + GAP), style))
        return tuple(cells)

    def _cells(self, row: Row) -> list[tuple[str, str]]:
        if row["state"] == "unreadable":
            widths = [width for _, width in self._columns[:2]]
            rest = self._room - sum(widths) - GAP * len(widths)
            known = zip((row["name"], "unreadable"), widths, ("plain", "bad"), strict=False)
            cells = [(fit(text, width) + " " * GAP, style) for text, width, style in known]
            return [*cells, (fit(row["reason"], max(rest, 0)), "dim")]
        return [
            (fit(self._text(row, column), width, right=column.right) + " " * GAP, style)
            for column, width in self._columns
            for style in [self._style_of(row, column)]
        ]

    def _text(self, row: Row, column: Column) -> str:
        return self._curves.get(row["name"], "") if column is CURVE else column.text(row)

    def _style_of(self, row: Row, column: Column) -> str:
        if row["archived"]:
            return "dim"
        if column.title == "STATE":
            return self._STATES.get(row["state"], "plain")
        return {"CURVE": "curve", "TAGS": "tags", "AGE": "dim"}.get(column.title, "plain")
