"""One table of keys, a module for each view. Bindings, footer, help and palette are made from it.

Single letters and named keys only: ctrl+a, ctrl+b, ctrl+s, ctrl+j and ctrl+o belong to tmux,
screen and the shell. Every arrow has its vi letter.
"""

from __future__ import annotations

from textual.binding import Binding

from ddpm_tui.keys import app, forward, runs, sample, train
from ddpm_tui.keys.key import Key

__all__ = ["KEYS", "VIEW_TITLES", "Key", "bindings", "display"]

KEYS: tuple[Key, ...] = (*app.KEYS, *runs.KEYS, *train.KEYS, *sample.KEYS, *forward.KEYS)

VIEW_TITLES = {
    "app": "Everywhere",
    "runs": "Runs",
    "train": "Train",
    "sample": "Sample",
    "forward": "Forward",
}

_DISPLAY = {"question_mark": "?", "space": "space", "enter": "⏎", "escape": "esc"}


def display(key: Key) -> str:
    """How a person reads the keys of an action."""
    first = key.keys.split(",")[0]
    return key.shown or _DISPLAY.get(first, first)


def bindings(view: str) -> list[Binding]:
    """The bindings of a view, for its BINDINGS."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label or key.help,
            show=bool(key.label),
            key_display=display(key),
            tooltip=key.help,
            id=key.id,
        )
        for key in KEYS
        if key.view == view
    ]
