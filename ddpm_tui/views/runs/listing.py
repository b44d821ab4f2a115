"""Which rows are listed and in which order: filter, sort, archive and marks. No widgets here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.runs.filter import Filter
from engine.runs.order import SORTS, sorted_rows

Row = Mapping[str, Any]


class Listing:
    """The rows of all runs and those of them that are shown.

    Attributes:
        rows: of every run, newest first.
        shown: those that are listed, in order.
        places: name -> index in `shown`.
        marked: names of the runs that are marked, shown or not.
        archived: how many runs are in the archive.
    """

    def __init__(self) -> None:
        self.rows: Sequence[Row] = ()
        self.shown: list[Row] = []
        self.places: dict[str, int] = {}
        self.marked: set[str] = set()
        self.archived = 0
        self.filter = Filter()
        self.sort = "created"
        self.turned = False
        self.with_archived = False
        self._ordered: list[Row] = []

    def replace(self, rows: Sequence[Row]) -> None:
        """These are the runs now."""
        self.rows = rows
        self.archived = sum(bool(row.get("archived")) for row in rows)
        self.marked &= {row["name"] for row in rows}
        self._order()

    def filter_by(self, filter: Filter) -> None:
        self.filter = filter
        self._choose()

    def sort_by(self, sort: str, *, turned: bool) -> None:
        """List by a key of `SORTS`, or the other way round."""
        self.sort, self.turned = sort, turned
        self._order()

    def show_archived(self, wanted: bool) -> None:
        self.with_archived = wanted
        self._order()

    def _order(self) -> None:
        wanted = (row for row in self.rows if self.with_archived or not row.get("archived"))
        self._ordered = sorted_rows(wanted, self.sort, turned=self.turned)
        self._choose()

    def _choose(self) -> None:
        self.shown = list(filter(self.filter.matches, self._ordered))
        self.places = {row["name"]: place for place, row in enumerate(self.shown)}

    # --- Marks -----------------------------------------------------------------------------------

    def toggle(self, name: str) -> None:
        """Mark a run, or take its mark away."""
        self.marked ^= {name}

    def toggle_all(self) -> None:
        """Mark all that are shown, or take the marks away if they all have one."""
        names = set(self.places)
        self.marked = self.marked - names if names <= self.marked else self.marked | names

    @property
    def marked_rows(self) -> list[Row]:
        """The marked ones among those shown: what one does not see, nothing is done to."""
        if not self.marked:
            return []
        return [row for row in self.shown if row["name"] in self.marked]

    # --- For a person ----------------------------------------------------------------------------

    @property
    def downwards(self) -> bool:
        """Whether the largest is first."""
        return SORTS[self.sort][1] != self.turned

    @property
    def order(self) -> str:
        """The order in words."""
        if self.sort == "created":
            return "oldest first" if self.turned else "newest first"
        return f"by {self.sort} {'↓' if self.downwards else '↑'}"
