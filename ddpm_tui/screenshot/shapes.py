"""Characters that are shapes: blocks, quadrants, lines of boxes, dots of braille.

A font leaves gaps between them or has no such glyph; drawn by their meaning they join.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in shares of a cell."""

_SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
_LINE = {"LIGHT": 0.06, "HEAVY": 0.12}  # half of a line's width, in shares of a cell's width
_ARMS = {
    "UP": ("UP",),
    "DOWN": ("DOWN",),
    "LEFT": ("LEFT",),
    "RIGHT": ("RIGHT",),
    "VERTICAL": ("UP", "DOWN"),
    "HORIZONTAL": ("LEFT", "RIGHT"),
}
# Of a cell twice as high as wide, so that lines are as thick either way.
_ASPECT = 0.5


@lru_cache(maxsize=1024)
def boxes(character: str) -> tuple[Box, ...] | None:
    """The rectangles that make up a character; None when it is no shape but a letter."""
    code = ord(character)
    if 0x2800 <= code <= 0x28FF:
        return tuple(_braille(code - 0x2800))
    if 0x2580 <= code <= 0x2590 or character in "▔▕":
        return (_block(code),)
    if 0x2596 <= code <= 0x259F:
        return tuple(_quadrants(unicodedata.name(character)))
    if 0x2500 <= code <= 0x257F:
        return _lines(unicodedata.name(character))
    return None


def shade(character: str) -> float | None:
    """The share of the foreground in a cell of one of the shades."""
    return _SHADES.get(character)


def _block(code: int) -> Box:
    if code == 0x2580:  # ▀
        return (0, 0, 1, 0.5)
    if code <= 0x2588:  # ▁ … █
        return (0, 1 - (code - 0x2580) / 8, 1, 1)
    if code <= 0x258F:  # ▉ … ▏
        return (0, 0, (0x2590 - code) / 8, 1)
    if code == 0x2590:  # ▐
        return (0.5, 0, 1, 1)
    return (0, 0, 1, 1 / 8) if code == 0x2594 else (7 / 8, 0, 1, 1)


def _quadrants(name: str) -> list[Box]:
    places = {
        "UPPER LEFT": (0, 0, 0.5, 0.5),
        "UPPER RIGHT": (0.5, 0, 1, 0.5),
        "LOWER LEFT": (0, 0.5, 0.5, 1),
        "LOWER RIGHT": (0.5, 0.5, 1, 1),
    }
    return [box for words, box in places.items() if words in name]


def _braille(bits: int) -> list[Box]:
    rows = (0, 1, 2, 0, 1, 2, 3, 3)
    columns = (0, 0, 0, 1, 1, 1, 0, 1)
    found = []
    for bit in range(8):
        if bits >> bit & 1:
            x, y = 0.25 + columns[bit] * 0.5, 0.125 + rows[bit] * 0.25
            found.append((x - 0.16, y - 0.08, x + 0.16, y + 0.08))
    return found


def _lines(name: str) -> tuple[Box, ...] | None:
    """The arms from the middle; those of mixed weight, of doubles, dashes and diagonals are
    left to the font."""
    words = name.removeprefix("BOX DRAWINGS ").replace("ARC ", "").split(" ")
    weight, arms = words[0], [word for word in words[1:] if word != "AND"]
    if weight not in _LINE or any(arm not in _ARMS for arm in arms):
        return None
    across = _LINE[weight]
    along = across * _ASPECT
    found: list[Box] = []
    for arm in (one for word in arms for one in _ARMS[word]):
        found.append(
            {
                "UP": (0.5 - across, 0.0, 0.5 + across, 0.5 + along),
                "DOWN": (0.5 - across, 0.5 - along, 0.5 + across, 1.0),
                "LEFT": (0.0, 0.5 - along, 0.5 + across, 0.5 + along),
                "RIGHT": (0.5 - across, 0.5 - along, 1.0, 0.5 + along),
            }[arm]
        )
    return tuple(found)
