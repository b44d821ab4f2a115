"""Rows of text with styles by name, laid out for a width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from unicodedata import combining

# The style is "", or one of `label`, `title`, `bar`, `note`.
Span = tuple[str, str]
Row = tuple[Span, ...]
Rows = Sequence[Row]

BLANK: Row = ()
_NAME_WIDTH = 20
_NARROW_NAME_WIDTH = 16
_NORMAL, _NARROW = 70, 40
_LONGEST = 100  # cells of a line of prose


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        width: of its cells.
        rank: where there is no room for all, those of the highest rank go first.
        left: whether its texts begin at the same place, as words do, or end there.
    """

    title: str
    width: int
    rank: int = 0
    left: bool = False


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` in at least so many cells; the hat of x̂ stands on its letter and takes none."""
    free = " " * (width - sum(not combining(character) for character in text))
    return free + text if right else text + free


def title(text: str) -> Row:
    """A heading, of one row."""
    return ((text, "title"),)


def prose(text: str, width: int, style: str = "") -> list[Row]:
    """A paragraph."""
    return [((line, style),) for line in wrap(text, max(min(width, _LONGEST), 10))]


def fact(name: str, value: str, width: int) -> list[Row]:
    """A name and what is to be said of it, in a column of its own where there is room for two."""
    if width < _NARROW:
        return [((name, "label"),), *prose(value, width)]
    left = _NAME_WIDTH if width >= _NORMAL else _NARROW_NAME_WIDTH
    lines = wrap(value, max(min(width - left, _LONGEST), 10)) or [""]
    return [
        ((pad(name if at == 0 else "", left), "label"), (line, "")) for at, line in enumerate(lines)
    ]


def fitting(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """Indices of the columns that fit beside each other, with a space between two."""
    kept = list(range(len(columns)))
    while sum(columns[at].width + 1 for at in kept) - 1 > width and len(kept) > 1:
        kept.remove(max(kept, key=lambda at: (columns[at].rank, at)))
    return tuple(kept)


def headings(columns: Sequence[Column], kept: Sequence[int]) -> Row:
    """The titles of the columns that were kept."""
    return ((cells(columns, kept, [column.title for column in columns]), "label"),)


def cells(columns: Sequence[Column], kept: Sequence[int], texts: Sequence[str]) -> str:
    """The texts of the columns that were kept."""
    return " ".join(pad(texts[at], columns[at].width, right=not columns[at].left) for at in kept)


def number(value: float) -> str:
    """Four digits that matter, in at most nine cells: 0.02, 1.234e-05, 123.4."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
        return text.replace("-", "−")
    return f"{value:.3e}".replace("-", "−")


def short(count: float) -> str:
    """A count in its unit: 812, 4.2 k, 187 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}"
    return f"{count:.0f}"


def size(count: int) -> str:
    """Bytes in their unit: 812 B, 4.2 kB."""
    text = short(count)
    return f"{text}B" if " " in text else f"{text} B"


def percent(share: float) -> str:
    """42 %, 4.2 %, – for nothing."""
    if share <= 0:
        return "–"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def bar(share: float, width: int) -> str:
    """A bar of at most so many cells, in eighths; readable without colours."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)
