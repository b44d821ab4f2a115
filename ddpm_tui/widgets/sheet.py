"""A sheet of rows that scrolls: only the rows on the screen are made and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.strips import message_line, row_regions

# The text of a piece of a row, and its style: "" or one of `label`, `title`, `bar`, `note`.
Spans = Sequence[tuple[str, str]]
# Rows for a width, in cells; anything with a length and an index.
Build = Callable[[int], Sequence[Spans]]

_ROOM_FOR_HEADING = 3


class Sheet(Widget, can_focus=True):
    """Rows below a heading that stays.

    With a cursor a row is chosen and followed; without one the sheet is only scrolled.
    """

    DEFAULT_CSS = """
    Sheet > .sheet--label { color: $foreground 75%; }
    Sheet > .sheet--title { color: $primary; text-style: bold; }
    Sheet > .sheet--bar { color: $accent; }
    Sheet > .sheet--note { color: $warning; }
    Sheet > .sheet--cursor { background: $primary 30%; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet--label",
        "sheet--title",
        "sheet--bar",
        "sheet--note",
        "sheet--cursor",
    }
    ALLOW_SELECT = False

    class Chosen(Message):
        """The cursor is on another row, or a row was clicked."""

        def __init__(self, index: int, *, clicked: bool = False) -> None:
            super().__init__()
            self.index, self.clicked = index, clicked

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._build: Build = lambda _width: []
        self._heading: Callable[[int], Spans] | None = None
        self._rows: Sequence[Spans] = []
        self._width = 0
        self._message = ""
        self._cursor: int | None = None
        self._top = 0
        self._strips: list[Strip] = []

    # --- What is shown -------------------------------------------------------------------------

    def show(
        self,
        build: Build,
        heading: Callable[[int], Spans] | None = None,
        *,
        cursor: int | None = None,
        top: int = 0,
        message: str = "",
    ) -> None:
        """Show these rows.

        Args:
            build: makes the rows for a width.
            heading: makes the row that stays on top.
            cursor: the chosen row; None: none can be chosen.
            top: the first row below the heading.
            message: said in the middle while there are no rows.
        """
        self._build, self._heading, self._message = build, heading, message
        self._cursor, self._top = cursor, top
        self._rebuild()

    @property
    def cursor(self) -> int | None:
        """The chosen row."""
        return self._cursor

    @property
    def top(self) -> int:
        """The first row that is seen."""
        return self._top

    @property
    def count(self) -> int:
        return len(self._rows)

    @property
    def page(self) -> int:
        """Rows that fit."""
        return max(self.size.height - self._headed, 1)

    @property
    def _headed(self) -> bool:
        """Whether there is room for the heading."""
        return self._heading is not None and self.size.height >= _ROOM_FOR_HEADING

    def text(self) -> str:
        """What is on the screen, for a test or a script."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)

    # --- Moving --------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Down (+) or up (−) by so many rows."""
        if self._cursor is None:
            self._scroll(self._top + by)
        else:
            self.go_to(self._cursor + by)

    def go_to(self, index: int) -> None:
        """To a row: choose it where one can be chosen, and bring it onto the screen."""
        if self._cursor is None:
            self._scroll(index)
            return
        self._cursor = min(max(index, 0), max(self.count - 1, 0))
        self._scroll(min(max(self._top, self._cursor - self.page + 1), self._cursor))
        self.post_message(self.Chosen(self._cursor))

    def _scroll(self, top: int) -> None:
        self._top = min(max(top, 0), max(self.count - self.page, 0))
        self._draw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll(self._top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll(self._top - 3)

    def on_click(self, event: events.Click) -> None:
        index = self._top + event.y - self._headed
        if self._cursor is not None and 0 <= index < self.count:
            self.go_to(index)
            self.post_message(self.Chosen(index, clicked=True))

    # --- Drawing -------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._rebuild()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._draw()

    def _rebuild(self) -> None:
        if not self.size.width:
            return
        self._rows = self._build(self.size.width - 1)
        if self._cursor is None:
            self._scroll(self._top)
        else:
            self._cursor = min(self._cursor, max(self.count - 1, 0))
            self._scroll(min(max(self._top, self._cursor - self.page + 1), self._cursor))

    def _draw(self) -> None:
        width, height = self.size
        if not self.is_mounted or not width:
            return
        strips = [self._line(y, width, height) for y in range(height)]
        changed = [
            y for y, s in enumerate(strips) if y >= len(self._strips) or s != self._strips[y]
        ]
        self._strips = strips
        if changed:
            self.refresh(*row_regions(changed, width))

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def _line(self, y: int, width: int, height: int) -> Strip:
        base = self.visual_style.rich_style
        if not self.count:
            return message_line(self._message, y, width, height, self._style("label", base), base)
        if self._headed and self._heading is not None:
            if y == 0:
                return self._strip(self._heading(width - 1), width, base)
            y -= 1
        index = self._top + y
        if index >= self.count:
            return Strip.blank(width, base)
        here = index == self._cursor
        ground = base + self.get_component_rich_style("sheet--cursor") if here else base
        strip = self._strip(self._rows[index], width, ground)
        mark = self._position_mark(y)
        return Strip([*strip.crop(0, width - 1), Segment(mark, base)], width)

    def _position_mark(self, y: int) -> str:
        """Of a scroll bar without a trough, where not all is seen."""
        page, count = self.page, self.count
        if count <= page:
            return " "
        length = max(1, page * page // count)
        start = round(self._top / (count - page) * (page - length))
        return "▐" if start <= y < start + length else " "

    def _strip(self, spans: Spans, width: int, base: Style) -> Strip:
        segments = [Segment(clean(text), self._style(name, base)) for text, name in spans]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, name: str, base: Style) -> Style:
        """A named style on the ground of `base`."""
        if not name:
            return base
        own = self.get_component_rich_style(f"sheet--{name}")
        return base + Style(color=own.color, bold=own.bold or base.bold)
