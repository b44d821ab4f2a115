"""The orders that a listing of runs can be in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

Row = Mapping[str, Any]

# What one sorts by, the key of `summary`, and whether the largest is first.
SORTS: dict[str, tuple[str, bool]] = {
    "created": ("created", True),
    "name": ("name", False),
    "state": ("state", False),
    "data": ("dataset", False),
    "net": ("model", False),
    "step": ("step", True),
    "loss": ("loss", False),
    "held-out": ("eval_loss", False),
    "age": ("updated", True),
}

_DIGITS = re.compile(r"(\d+)")


def sorted_rows(rows: Iterable[Row], by: str, *, turned: bool = False) -> list[Row]:
    """Rows by a key of `SORTS`; those that have no such value last.

    Args:
        rows: in the order of creation, newest first; equal ones stay in it.
        turned: the other way round.
    """
    field, down = SORTS[by]
    rows = list(rows)
    if by == "created":
        return rows[::-1] if turned else rows
    known = [row for row in rows if row.get(field) is not None]
    unknown = [row for row in rows if row.get(field) is None]
    if by == "name":
        # run2 before run10.
        known.sort(key=lambda row: _natural(row[field]), reverse=turned)
    else:
        known.sort(key=lambda row: row[field], reverse=down != turned)
    return known + unknown


@lru_cache(maxsize=1 << 15)
def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    parts = _DIGITS.split(name.lower())
    return tuple(
        (0, int(part), "") if i % 2 and len(part) < 100 else (1, 0, part)
        for i, part in enumerate(parts)
    )
