"""The row that names the pages."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class PageBar(Widget):
    """The pages side by side; where they do not fit, the present one between its neighbours."""

    DEFAULT_CSS = """
    PageBar { height: 1; padding: 0 1; }
    PageBar > .page-bar--here { color: $accent; text-style: bold underline; }
    PageBar > .page-bar--quiet { color: $foreground 75%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"page-bar--here", "page-bar--quiet"}
    ALLOW_SELECT = False

    here: reactive[int] = reactive(0)

    class Chosen(Message):
        """A page was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, titles: tuple[str, ...], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._titles = titles

    def _places(self) -> list[tuple[int, int]]:
        """Column and index of every page that is shown."""
        width = self.content_size.width
        for gap in (3, 2, 1):
            if sum(map(len, self._titles)) + gap * (len(self._titles) - 1) <= width:
                starts = [0]
                for text in self._titles[:-1]:
                    starts.append(starts[-1] + len(text) + gap)
                return [(x, index) for index, x in enumerate(starts)]
        return [(2, self.here)]

    def render(self) -> RenderResult:
        places = self._places()
        here, quiet = (
            str(self.get_component_rich_style(f"page-bar--{part}", partial=True))
            for part in ("here", "quiet")
        )
        text = Text(no_wrap=True, overflow="crop")
        if len(places) == 1:
            text.append("‹ ", quiet)
        for x, index in places:
            text.append(" " * (x - text.cell_len))
            text.append(self._titles[index], here if index == self.here else quiet)
        if len(places) == 1:
            text.append(f" › {self.here + 1}/{len(self._titles)}", quiet)
        return text

    def on_click(self, event: events.Click) -> None:
        for x, index in self._places():
            if x <= event.x - 1 < x + len(self._titles[index]):
                self.post_message(self.Chosen(index))
