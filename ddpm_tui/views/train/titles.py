"""Titles of panes that change while one looks at them."""

from __future__ import annotations

from textual.widget import Widget


def entitle(pane: Widget, title: str) -> None:
    """Set a title, if it is another one: Textual sends the whole pane again for every setting."""
    if pane.border_title != title:
        pane.border_title = title
