"""Which run is which: a number and a colour for each, the same in every pane."""

from __future__ import annotations

from ddpm_tui.sanitize import clean

# Of the theme, as far as it goes; the others can be told apart on dark and on light.
COLORS = (
    "primary",
    "accent",
    "success",
    "error",
    "secondary",
    "#22a6b3",
    "foreground",
    "#b5703c",
)
MOST = len(COLORS)


def numbered(index: int, name: str, room: int) -> str:
    """`2 wide`, in at most `room` cells; the number alone where there is no room for a name."""
    number = str(index + 1)
    if room < len(number) + 4:
        return number
    return f"{number} {clean(name, room - len(number) - 1)}"
