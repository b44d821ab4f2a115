"""One table of keys, a module for each view. Bindings, footer, help and palette are made from it.

Single letters and named keys only: ctrl+a, ctrl+b, ctrl+s, ctrl+j and ctrl+o belong to tmux,
screen and the shell. Every arrow has its vi letter. `KeyTable` is the table as a person has it,
with the keys of their config file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddpm_tui.keys import (
    app,
    compare,
    forward,
    inspect,
    paint,
    pictures,
    runs,
    sample,
    train,
)
from ddpm_tui.keys.key import Key
from ddpm_tui.keys.table import KeyTable, in_force

if TYPE_CHECKING:
    from textual.binding import Binding

__all__ = ["KEYS", "VIEW_TITLES", "Key", "KeyTable", "bindings", "display", "in_force"]

KEYS: tuple[Key, ...] = (
    *app.KEYS,
    *runs.KEYS,
    *compare.KEYS,
    *train.KEYS,
    *sample.KEYS,
    *paint.KEYS,
    *forward.KEYS,
    *inspect.KEYS,
    *pictures.KEYS,
)

VIEW_TITLES = {
    "app": "Everywhere",
    "runs": "Runs",
    "compare": "Comparing runs",
    "train": "Train",
    "sample": "Sample",
    "paint": "Painting a mask",
    "forward": "Forward",
    "inspect": "Inspect",
    "pictures": "Pictures",
}


def display(key: Key) -> str:
    """How a person reads the keys of an action."""
    return key.display


def bindings(view: str) -> list[Binding]:
    """The bindings of a view, for its BINDINGS; the app's keymap puts a person's own in."""
    # Imported late: `ddpm-tui keys` lists the table without the terminal.
    from textual.binding import Binding

    return [
        Binding(
            key.keys,
            key.action,
            key.label or key.help,
            show=bool(key.label),
            key_display=key.display,
            tooltip=key.help,
            id=key.id,
        )
        for key in KEYS
        if key.view == view
    ]
