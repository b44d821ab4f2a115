"""The reverse process as one line: from noise on the left to the picture on the right."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

_HEAD, _DRAWN, _AHEAD = "●", "━", "┄"
_ROOMY = 56  # from this width on, the noise levels have a word beside them


def bar(width: int, frames: int, drawn: int, position: int) -> str:
    """The bar, `width` cells: ━ has been drawn, ┄ is still to come, ● is the playhead.

    Args:
        frames: how many there will be.
        drawn: how many there are.
        position: the frame under the playhead.
    """
    if width < 1:
        return ""

    def column(frame: int) -> int:
        return round(frame * (width - 1) / max(frames - 1, 1))

    # The last frame that is there, or a cell before the bar.
    reach = column(min(drawn, frames) - 1) if drawn > 0 else -1
    cells = [_DRAWN if cell <= reach else _AHEAD for cell in range(width)]
    if drawn > 0:
        cells[min(max(column(position), 0), width - 1)] = _HEAD
    return "".join(cells)


class Timeline(Widget):
    """t 999 noise 1.00 ━━━━━━━●━━━━━━━┄┄┄┄┄┄┄ t 0 noise 0.01"""

    DEFAULT_CSS = """
    Timeline { height: 1; padding: 0 1; }
    Timeline > .timeline--end { color: $foreground 65%; }
    Timeline > .timeline--drawn { color: $primary; }
    Timeline > .timeline--ahead { color: $foreground 30%; }
    Timeline > .timeline--head { color: $accent; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "timeline--end",
        "timeline--drawn",
        "timeline--ahead",
        "timeline--head",
    }
    _PARTS: ClassVar[dict[str, str]] = {_DRAWN: "drawn", _AHEAD: "ahead", _HEAD: "head"}

    frames: reactive[int] = reactive(0)
    """How many there will be; 0 for an empty line."""

    drawn: reactive[int] = reactive(0)
    """How many there are."""

    position: reactive[int] = reactive(0)
    """The frame under the playhead."""

    ends: reactive[tuple[tuple[int, float], tuple[int, float]]] = reactive(((0, 0.0), (0, 0.0)))
    """(t, noise level) of the first step and of the last."""

    def render(self) -> RenderResult:
        width = self.content_size.width
        if not self.frames or width < 1:
            return ""
        first, last = (self._end(*end, width) for end in self.ends)
        text = Text(no_wrap=True, overflow="crop")
        room = width - len(first) - len(last) - 2
        if room < 3:  # then the bar matters more than its ends
            first = last = ""
            room = width
        self._add(text, f"{first} " if first else "", "end")
        for cell, run in groupby(bar(room, self.frames, self.drawn, self.position)):
            self._add(text, "".join(run), self._PARTS[cell])
        self._add(text, f" {last}" if last else "", "end")
        return text

    def _end(self, t: int, noise_level: float, width: int) -> str:
        word = "noise " if width >= _ROOMY else ""
        return f"t {t} {word}{noise_level:.2f}"

    def _add(self, text: Text, part: str, kind: str) -> None:
        text.append(part, self.get_component_rich_style(f"timeline--{kind}", partial=True))
