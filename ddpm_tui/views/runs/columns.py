"""The columns of the list: what they say of a run, how wide they are, which fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from ddpm_tui.report import age, figure
from ddpm_tui.sanitize import clean
from ddpm_tui.views.runs.listing import Row

GAP = 2
CURVE_WIDTH = 16
_WIDEST_NAME = 40
_WIDEST_TAGS = 32


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: above it.
        sort: the key of `SORTS` that a click on the title lists by; empty for none.
        text: what it says of a readable run; the curve is none of its business.
        width: cells that the widest of some rows takes; not below that of the title.
        right: whether the text stands to the right.
    """

    title: str
    sort: str
    text: Callable[[Row], str]
    width: Callable[[Sequence[Row]], int]
    right: bool = False


def _state(row: Row) -> str:
    return "archived" if row["archived"] else str(row["state"])


def _step(row: Row) -> str:
    return f"{row['step']:,}/{row['total_steps']:,}"


def _longest(texts: Iterable[str], most: int) -> int:
    # Of ten thousand names the length is known, and the cells have to be counted.
    cells = (len(text) if text.isascii() else cell_len(text) for text in texts)
    return min(max(cells, default=0), most)


def _field(key: str) -> Callable[[Sequence[Row]], int]:
    # Few different ones among many rows.
    return lambda rows: _longest({clean(row.get(key, "")) for row in rows}, 20)


def _number(key: str) -> Callable[[Sequence[Row]], int]:
    def width(rows: Sequence[Row]) -> int:
        values = [value for row in rows if (value := row.get(key)) is not None]
        return max(len(figure(max(values))), len(figure(min(values)))) if values else 1

    return width


def _step_width(rows: Sequence[Row]) -> int:
    step = max((row.get("step", 0) for row in rows), default=0)
    total = max((row.get("total_steps", 0) for row in rows), default=0)
    return len(f"{step:,}/{total:,}")


_RUN = Column(
    "RUN",
    "name",
    lambda row: row["name"],
    lambda rows: _longest((row["name"] for row in rows), _WIDEST_NAME),
)
_STATE = Column("STATE", "state", _state, lambda _: len("unreadable"))
_DATA = Column("DATA", "data", lambda row: row["dataset"], _field("dataset"))
_NET = Column("NET", "net", lambda row: row["model"], _field("model"))
_STEP = Column("STEP", "step", _step, _step_width, right=True)
_LOSS = Column("LOSS", "loss", lambda row: figure(row["loss"]), _number("loss"), right=True)
_HELD_OUT = Column(
    "HELD-OUT", "held-out", lambda row: figure(row["eval_loss"]), _number("eval_loss"), right=True
)
CURVE = Column("CURVE", "", lambda _: "", lambda _: CURVE_WIDTH)
_TAGS = Column(
    "TAGS",
    "",
    lambda row: " ".join(row["tags"]),
    lambda rows: _longest({" ".join(row.get("tags", ())) for row in rows}, _WIDEST_TAGS),
)
_AGE = Column("AGE", "age", lambda row: age(time.time() - row["updated"]), lambda _: 4, right=True)

COLUMNS = (_RUN, _STATE, _DATA, _NET, _STEP, _LOSS, _HELD_OUT, CURVE, _TAGS, _AGE)
# Where there is no room for all, those at the end are left out.
_IMPORTANT = (_RUN, _STATE, _LOSS, _STEP, _AGE, _HELD_OUT, CURVE, _TAGS, _DATA, _NET)


def fitting(rows: Sequence[Row], width: int) -> list[tuple[Column, int]]:
    """The columns that fit into some cells, in order, each with its width.

    A column that would be empty is left out.
    """
    widths: dict[Column, int] = {}
    left = width
    for column in _IMPORTANT:
        widest = column.width(rows)
        if column is _TAGS and not widest:
            continue
        wanted = max(len(column.title), widest)
        if column is _RUN:
            wanted = min(wanted, max(width // 3, 8))
        # Tags are cut rather than left out.
        if column is _TAGS and len(column.title) + GAP + 8 <= left < wanted + GAP:
            wanted = left - GAP
        gap = GAP if widths else 0
        if wanted + gap > left and widths:
            break
        widths[column] = wanted
        left -= wanted + gap
    return [(column, widths[column]) for column in COLUMNS if column in widths]


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Text from outside in exactly `width` cells."""
    text = clean(text, width)
    free = " " * (width - cell_len(text))
    return free + text if right else text + free
