"""The last lines of train.log, scrolled by keys."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from ddpm_tui.sanitize import clean
from ddpm_tui.views.train.titles import entitle


class LogPane(Widget, can_focus=True):
    """Follows the end of the log unless one looks back."""

    DEFAULT_CSS = """
    LogPane { color: $foreground 65%; padding: 0 1; }
    LogPane:focus { border-title-style: bold; }
    """
    BORDER_TITLE = "log"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[str, ...] = ()
        self._back = 0  # lines between the last one shown and the end

    def show_lines(self, lines: tuple[str, ...]) -> None:
        """These are the lines now."""
        if lines is not self._lines:
            if self._back and self._lines and self._lines[-1] in lines:
                newer = (
                    len(lines)
                    - 1
                    - max(i for i, line in enumerate(lines) if line == self._lines[-1])
                )
                self._back += newer  # what is looked at stays where it is
            self._lines = lines
            self.scroll_lines(0)
            self.refresh()

    def scroll_lines(self, by: int) -> None:
        """Towards the beginning (−) or the end (+) of the log."""
        furthest = max(0, len(self._lines) - max(self.content_size.height, 1))
        back = min(max(self._back - by, 0), furthest)
        if back != self._back or by == 0:
            self._back = back
            entitle(self, f"log · {back:,} lines from the end" if back else "log")
            self.refresh()

    def render(self) -> RenderResult:
        width, height = self.content_size
        end = len(self._lines) - self._back
        shown = self._lines[max(0, end - height) : end]
        return Text("\n".join(clean(line, max(width, 1)) for line in shown), no_wrap=True)
