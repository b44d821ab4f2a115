"""A table with a column a run: figures or settings, scrolled by keys both ways."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.color import Color
from textual.geometry import Size
from textual.widget import Widget

from ddpm_tui.comparing import REAL, Row, Section
from ddpm_tui.sanitize import clean
from ddpm_tui.views.compare.colors import COLORS, numbered
from ddpm_tui.views.train.titles import entitle

_GAP = 2
# Cells of a column: enough for a figure and its star.
_NARROWEST = 10
_SHORTEST_LABEL = 7


@dataclass(frozen=True)
class _Column:
    """A run, or the real pictures: head, colour, a cell for every row, whether it is ahead."""

    head: str
    color: str
    cells: tuple[str, ...]
    ahead: tuple[bool, ...]

    @property
    def width(self) -> int:
        """Cells that it would like to have."""
        cells = zip(self.cells, self.ahead, strict=True)
        # The cell of a run that is ahead has a star.
        widest = max((cell_len(cell) + star for cell, star in cells), default=0)
        return max(widest, min(cell_len(self.head), _NARROWEST))


class SideTable(Widget, can_focus=True):
    """Labels on the left, the runs across. As many runs as fit; the arrows bring the others."""

    DEFAULT_CSS = """
    SideTable { padding: 0 1; text-wrap: nowrap; text-overflow: clip; }
    SideTable:focus { border-title-style: bold; }
    SideTable > .side-table--label { color: $foreground 65%; }
    SideTable > .side-table--cell { color: $foreground; }
    SideTable > .side-table--best { color: $success; text-style: bold; }
    SideTable > .side-table--title { color: $foreground 80%; text-style: bold; }
    SideTable > .side-table--note { color: $warning; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "side-table--label",
        "side-table--cell",
        "side-table--best",
        "side-table--title",
        "side-table--note",
    }

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._names: tuple[str, ...] = ()
        self._sections: tuple[Section, ...] = ()
        self._columns: list[_Column] = []
        self._top = 0
        self._first = 0

    def show_sections(self, names: Sequence[str], sections: Sequence[Section]) -> None:
        """These are the runs and what is said of them. The first section's title is the pane's."""
        if (tuple(names), tuple(sections)) != (self._names, self._sections):
            self._names, self._sections = tuple(names), tuple(sections)
            rows = [row for section in sections for row in section.rows]
            self._columns = [
                _Column(
                    numbered(index, name, _NARROWEST * 2),
                    COLORS[index],
                    tuple(row.cells[index] for row in rows),
                    tuple(index in row.best for row in rows),
                )
                for index, name in enumerate(names)
            ]
            if any(section.has_real for section in sections):
                real = tuple(row.real for row in rows)
                self._columns.append(_Column(REAL, "foreground", real, (False,) * len(rows)))
            self.refresh(layout=True)
            self.scroll_rows(0)

    def get_content_height(  # Textual gives all three by place
        self,
        container: Size,  # noqa: ARG002
        viewport: Size,  # noqa: ARG002
        width: int,
    ) -> int:
        """The heads of the columns and every row."""
        return 1 + len(self._lines(width))

    def scroll_rows(self, by: int) -> None:
        """Towards the first row (−) or the last (+)."""
        room = max(self.content_size.height - 1, 1)
        self._top = min(max(self._top + by, 0), max(len(self._lines()) - room, 0))
        self._tell()
        self.refresh()

    def scroll_runs(self, by: int) -> None:
        """Towards the first column (−) or the last (+)."""
        last = len(self._columns) - 1
        while last > 0 and len(self._shown(last - 1)) > len(self._columns) - last:
            last -= 1  # so many fit at the end
        self._first = min(max(self._first + by, 0), max(last, 0))
        self._tell()
        self.refresh()

    def on_resize(self, _event: events.Resize) -> None:
        self.scroll_runs(0)
        self.scroll_rows(0)

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.scroll_rows(2)

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.scroll_rows(-2)

    # --- Columns -------------------------------------------------------------------------------

    def _label_width(self) -> int:
        longest = max(
            (cell_len(row.label) for section in self._sections for row in section.rows), default=0
        )
        return min(longest, max(self.content_size.width // 3, _SHORTEST_LABEL))

    def _widths(self) -> list[int]:
        """Cells of each column: cut where that brings all of them in, as far as figures stay
        whole."""
        room = self.content_size.width - self._label_width()
        natural = [column.width for column in self._columns]
        widest = max(natural, default=0)
        while widest > _NARROWEST and sum(min(w, widest) + _GAP for w in natural) > room:
            widest -= 1
        return [min(width, widest) for width in natural]

    def _shown(self, first: int) -> list[tuple[_Column, int]]:
        """The columns that fit from `first` on, at least one, and their widths."""
        left = self.content_size.width - self._label_width()
        shown: list[tuple[_Column, int]] = []
        for column, width in list(zip(self._columns, self._widths(), strict=True))[first:]:
            left -= width + _GAP
            if left < 0 and shown:
                break
            shown.append((column, width))
        return shown

    # --- Rows ----------------------------------------------------------------------------------

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"side-table--{part}", partial=True)

    def _lines(self, width: int = 0) -> list[Text]:
        """Everything below the heads of the columns; its notes in so many cells, or in those that
        there are.
        """
        lines: list[Text] = []
        width = max(width or self.content_size.width, 1)
        numbers = itertools.count()
        for section in self._sections:
            if section is not self._sections[0]:
                lines += [Text(), Text(section.title, self._style("title"))]
            lines += [self._line(row, next(numbers)) for row in section.rows]
            for note in section.notes:
                lines += Text(clean(note), self._style("note")).wrap(self.app.console, width)
        return lines

    def _line(self, row: Row, number: int) -> Text:
        """A row; `number` is its place in the columns, over all sections."""
        line = Text(no_wrap=True)
        line.append(_short_label(row.label, self._label_width()), self._style("label"))
        for column, width in self._shown(self._first):
            ahead = column.ahead[number]
            cell = clean(column.cells[number], width - ahead) + "*" * ahead
            line.append(" " * (_GAP + width - cell_len(cell)))
            line.append(cell, self._style("best" if ahead else "cell"))
        return line

    def _head(self) -> Text:
        head = Text(" " * self._label_width(), no_wrap=True)
        for column, width in self._shown(self._first):
            name = clean(column.head, width)
            head.append(" " * (_GAP + width - cell_len(name)))
            head.append(name, Style(color=self._color(column.color), bold=True))
        return head

    def _color(self, name: str) -> str:
        return Color.parse(self.app.theme_variables.get(name, name)).hex6

    def render(self) -> RenderResult:
        if not self._names:
            return ""
        height = max(self.content_size.height - 1, 0)
        return Text("\n").join([self._head(), *self._lines()[self._top : self._top + height]])

    def _tell(self) -> None:
        """In the title: what it is, and what of it is not seen."""
        parts = [self._sections[0].title if self._sections else ""]
        across = len(self._shown(self._first))
        if across < len(self._columns):
            last = self._first + across
            parts.append(f"← → {self._first + 1}–{last} of {len(self._columns)}")
        below = len(self._lines()) - self._top - max(self.content_size.height - 1, 0)
        if below > 0:
            parts.append(f"↓ {below} more")
        elif self._top:
            parts.append("↑")
        entitle(self, " · ".join(parts))


def _short_label(label: str, width: int) -> str:
    """In exactly `width` cells; the end of a dotted key says more than its beginning."""
    label = clean(label)
    if cell_len(label) > width:
        dotted = "." in label and " " not in label
        label = "…" + label[len(label) - width + 1 :] if dotted else clean(label, width)
    return label + " " * (width - cell_len(label))
