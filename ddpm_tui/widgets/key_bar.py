"""The bottom line: the keys that work now. Only sent again when it reads differently."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

# The word that stays when there is no room for all: it leads to the others.
_KEPT = "Help"


def _width(item: tuple[str, str, str]) -> int:
    """Cells of a key with its word, and of the gap after it."""
    return cell_len(item[1]) + 1 + cell_len(item[2]) + 2


class KeyBar(Widget):
    """Key and word of every action with a label; a click is the key.

    Textual's Footer makes its widgets anew whenever a binding may have changed, which over a slow
    link is a line of bytes for nothing at every snapshot of a training.
    """

    DEFAULT_CSS = """
    KeyBar { height: 1; dock: bottom; background: $panel; color: $foreground; }
    KeyBar > .key-bar--key { color: $accent; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key"}
    ALLOW_SELECT = False

    # Key, as shown, word; what does not fit is left out from the end.
    shown: reactive[tuple[tuple[str, str, str], ...]] = reactive(())

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        self._follow(self.screen)

    def _follow(self, screen: Screen[object]) -> None:
        found: dict[str, tuple[str, str, str]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled:
                found.setdefault(
                    binding.action,
                    (binding.key, self.app.get_key_display(binding), binding.description),
                )
        self.shown = tuple(found.values())

    def _parts(self) -> list[tuple[int, str, str, str]]:
        """Column, key, as shown, word of everything that fits."""
        parts, x = [], 1
        left = sum(map(_width, self.shown)) - 2
        kept = sum(_width(item) for item in self.shown if item[2] == _KEPT)
        for item in self.shown:
            key, display, word = item
            # From here on everything fits, or else only what is kept.
            fits = x + left <= self.size.width or word == _KEPT
            left -= _width(item)
            if fits or x + _width(item) + kept - 2 <= self.size.width:
                parts.append((x, key, display, word))
                x += _width(item)
        return [part for part in parts if part[0] + _width(part[1:]) - 2 <= self.size.width]

    def render(self) -> RenderResult:
        style = str(self.get_component_rich_style("key-bar--key", partial=True))
        text = Text(no_wrap=True, overflow="crop")
        for x, _key, display, word in self._parts():
            text.append(" " * (x - text.cell_len))
            text.append(display, style)
            text.append(f" {word}")
        return text

    def on_click(self, event: events.Click) -> None:
        for x, key, display, word in self._parts():
            if x <= event.x < x + cell_len(display) + 1 + cell_len(word):
                self.app.simulate_key(key)
