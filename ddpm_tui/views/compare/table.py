"""A table with a column a run: figures or settings, scrolled by keys both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.color import Color
from textual.widget import Widget

from ddpm_tui.comparing import Section
from ddpm_tui.sanitize import clean
from ddpm_tui.views.compare.colors import COLORS, numbered
from ddpm_tui.views.train.titles import entitle

_GAP = 2
_NARROWEST, _WIDEST = 7, 26


class SideTable(Widget, can_focus=True):
    """Labels on the left, the runs across. As many runs as fit; the arrows bring the others."""

    DEFAULT_CSS = """
    SideTable { padding: 0 1; }
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
        self._top = 0
        self._first = 0

    def show_sections(self, names: Sequence[str], sections: Sequence[Section]) -> None:
        """These are the runs and what is said of them. The first section's title is the pane's."""
        if (tuple(names), tuple(sections)) != (self._names, self._sections):
            self._names, self._sections = tuple(names), tuple(sections)
            self.scroll_rows(0)

    def scroll_rows(self, by: int) -> None:
        """Towards the first row (−) or the last (+)."""
        room = max(self.content_size.height - 1, 1)
        self._top = min(max(self._top + by, 0), max(len(self._lines()) - room, 0))
        self._tell()
        self.refresh()

    def scroll_runs(self, by: int) -> None:
        """Towards the first run (−) or the last (+)."""
        self._first = min(max(self._first + by, 0), max(len(self._names) - self._across(), 0))
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
        return min(longest, max(self.content_size.width // 3, 13))

    def _widths(self) -> list[int]:
        """Cells of each run's column, without the gap before it."""
        rows = [row for section in self._sections for row in section.rows]
        widest = max(_NARROWEST, min(_WIDEST, self.content_size.width - self._label_width() - _GAP))
        return [
            # A cell whose run is ahead has a star.
            min(
                max(
                    _NARROWEST,
                    min(cell_len(name) + 2, 14),
                    *(cell_len(row.cells[index]) + 1 for row in rows),
                ),
                widest,
            )
            for index, name in enumerate(self._names)
        ]

    def _across(self) -> int:
        """How many runs fit, at least one."""
        return max(len(self._shown(self._first)), 1)

    def _shown(self, first: int) -> list[tuple[int, int]]:
        """Index and width of the runs that fit from `first` on."""
        left = self.content_size.width - self._label_width()
        shown: list[tuple[int, int]] = []
        for index, width in list(enumerate(self._widths()))[first:]:
            left -= width + _GAP
            if left < 0 and shown:
                break
            shown.append((index, width))
        return shown

    # --- Rows ----------------------------------------------------------------------------------

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"side-table--{part}", partial=True)

    def _lines(self) -> list[Text]:
        """Everything below the names of the runs."""
        lines: list[Text] = []
        width = max(self.content_size.width, 1)
        label_width, shown = self._label_width(), self._shown(self._first)
        for number, section in enumerate(self._sections):
            if number:
                lines += [Text(), Text(section.title, self._style("title"))]
            for row in section.rows:
                line = Text(_short_label(row.label, label_width), self._style("label"))
                line.no_wrap = True
                for index, cells in shown:
                    ahead = index in row.best
                    cell = clean(row.cells[index], cells - ahead) + "*" * ahead
                    line.append(" " * (_GAP + cells - cell_len(cell)))
                    line.append(cell, self._style("best" if ahead else "cell"))
                lines.append(line)
            for note in section.notes:
                lines += Text(clean(note), self._style("note")).wrap(self.app.console, width)
        return lines

    def _head(self) -> Text:
        head = Text(" " * self._label_width(), no_wrap=True)
        for index, width in self._shown(self._first):
            name = numbered(index, self._names[index], width)
            head.append(" " * (_GAP + width - cell_len(name)))
            head.append(name, Style(color=self._color(COLORS[index]), bold=True))
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
        across = self._across()
        if across < len(self._names):
            parts.append(f"← → runs {self._first + 1}–{self._first + across} of {len(self._names)}")
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
        label = "…" + label[len(label) - width + 1 :]
    return label + " " * (width - cell_len(label))
