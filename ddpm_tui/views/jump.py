"""Jump mode: a letter on every pane of a view; the letter goes there."""

from __future__ import annotations

from collections.abc import Sequence

from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

# The keys under the fingers first.
LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class JumpLabel(Static):
    """The letter on a pane."""

    DEFAULT_CSS = """
    JumpLabel {
        layer: jump; position: absolute; width: 3; height: 1;
        background: $accent; color: $background; text-style: bold;
    }
    """


class Jump:
    """The letters that lie over a view until one is pressed."""

    def __init__(self, screen: Screen[None], panes: Sequence[Widget]) -> None:
        self._screen = screen
        self._targets = dict(zip(LETTERS, panes, strict=False))
        self._labels: dict[str, JumpLabel] = {}

    def show(self) -> None:
        self._labels = {letter: JumpLabel(f" {letter} ", markup=False) for letter in self._targets}
        self.place()
        self._screen.mount(*self._labels.values())

    def place(self) -> None:
        """Lay every letter over its pane, where that is now."""
        for letter, label in self._labels.items():
            region = self._targets[letter].region
            label.styles.offset = region.offset
            label.display = bool(self._screen.region.intersection(region))

    def press(self, key: str) -> bool:
        """Take the letters away; go to the pane of the key.

        A pane that can have the focus gets it; any other is enlarged to the whole screen.

        Returns:
            Whether the key was one of the letters.
        """
        self._screen.query(JumpLabel).remove()
        pane = self._targets.get(key)
        if pane is None or not pane.is_mounted:
            return False
        if pane.can_focus:
            pane.focus()
        else:
            self._screen.maximized = pane
        return True


def panes(screen: Screen[None]) -> list[Widget]:
    """What one can jump to: what takes the focus or has the class `pane`, the outermost of each
    that can be seen, in the order of the screen."""
    found: list[Widget] = []
    for widget in screen.query("*"):
        wanted = widget.has_class("pane") or widget.focusable
        inside = any(parent in found for parent in widget.ancestors)
        if wanted and not inside and widget.display and widget.region.area:
            found.append(widget)
    return sorted(found, key=lambda widget: (widget.region.y, widget.region.x))
