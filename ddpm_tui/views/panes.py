"""Views of several panes, one of which can have all of the room."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.widget import Widget

from ddpm_tui.views.base import View


class PanedView(View):
    """A view whose panes have the class `pane` and stand in columns of the class `column`.

    Attributes:
        PANES: the ids of those that can stand alone; the first is taken where the focus is on none.
    """

    PANES: ClassVar[tuple[str, ...]]

    DEFAULT_CSS = """
    PanedView .pane {
        border-top: solid $foreground 25%;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        border-title-align: left;
    }
    PanedView .pane:focus { border-top: solid $primary; border-title-color: $primary; }
    PanedView #panes { height: 1fr; }
    PanedView .column { width: 1fr; }
    PanedView.-full .pane { display: none !important; }
    PanedView.-full .pane.-alone {
        display: block !important; height: 1fr !important; max-height: 100% !important;
    }
    PanedView.-full .column { display: none; }
    PanedView.-full .column.-alone { display: block; }
    """

    @property
    def is_full(self) -> bool:
        """Whether one pane has all of the room."""
        return self.has_class("-full")

    def show_alone(self, pane: Widget | None) -> None:
        """Give a pane the whole view."""
        if pane is None or pane.id not in self.PANES:
            pane = self.query_one(f"#{self.PANES[0]}")
        for each in self.query(".pane, .column"):
            each.set_class(each is pane or pane in each.walk_children(), "-alone")
        self.add_class("-full")
        self.call_after_refresh(partial(self.set_focus, pane))

    def show_all(self) -> None:
        """Give every pane its own room again."""
        self.remove_class("-full")
        for each in self.query(".pane, .column"):
            each.remove_class("-alone")
