"""The list of runs: read, filtered, sorted, marked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import View
from ddpm_tui.views.first_run import FirstRun
from ddpm_tui.views.runs.columns import CURVE_WIDTH
from ddpm_tui.views.runs.details import Details
from ddpm_tui.views.runs.listing import Listing
from ddpm_tui.views.runs.prompt import Prompt
from ddpm_tui.views.runs.run_list import RunList
from engine.errors import EngineError
from engine.runs.filter import parse_filter
from engine.runs.folder import Run, open_run
from engine.runs.index import RunIndex
from engine.runs.metrics import tail_losses
from engine.runs.order import SORTS

_INTERVAL = 2.0
_BREATH = 0.1
# Of the time, at most this share goes into listing: it is taken from a training.
_SHARE = 0.1
# Seconds of reading folders until there is something to see, and until there is more.
_FIRST_SLICE, _SLICE = 0.1, 2.0


class RunsListed(Message):
    """A fresh listing, newest run first, and the seconds that it took."""

    def __init__(self, rows: list[dict[str, Any]], took: float) -> None:
        super().__init__()
        self.rows = rows
        self.took = took


class RunsNotListed(Message):
    """The folder of the runs cannot be read."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


class CurvesRead(Message):
    """The curves of some runs, each with the time of the status that it belongs to."""

    def __init__(self, curves: dict[str, tuple[float, str]]) -> None:
        super().__init__()
        self.curves = curves


class Choosing(View):
    """The list, and the keys that find a run in it."""

    DEFAULT_CSS = """
    Choosing #runs-and-details { height: 1fr; layout: vertical; }
    Choosing Details { height: 2; }
    Choosing.-high Details { height: 3; }
    Choosing.-low Details { display: none; }
    Choosing.-wide.-high #runs-and-details { layout: horizontal; }
    Choosing.-wide.-high Details { width: 48; height: 1fr; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-middle"), (30, "-high")]  # noqa: RUF012 - as in View

    def __init__(self) -> None:
        super().__init__()
        self.listing = Listing()
        self._prompt = Prompt()
        self._listed = False
        self._listing_now = self._list_again = False
        self._curves: dict[str, tuple[float, str]] = {}
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        with Vertical(id="runs-and-details"):
            yield RunList(self.listing, id="runs")
            yield Details()
        yield FirstRun(id="empty")
        yield self._prompt
        yield Static("", id="where", markup=False)

    @property
    def _list(self) -> RunList:
        return self.query_one(RunList)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A slash that is typed begins no filter; Textual does not know it for a character."""
        if action == "filter" and self._prompt.is_open:
            return False
        return super().check_action(action, parameters)

    def on_mount(self) -> None:
        self._index = RunIndex(self.workbench.runs_dir)
        self._show_list(False)

    def on_screen_resume(self) -> None:
        self._look()

    # --- Listing -------------------------------------------------------------------------------

    def _look(self) -> None:
        """List the runs, and from then on every few seconds while somebody looks."""
        if self._listing_now:
            self._list_again = True
        else:
            self._listing_now = True
            self._read()

    @work(thread=True, group="list", exit_on_error=False)
    def _read(self) -> None:
        start = time.perf_counter()
        try:
            rows = self._index.rows(_SLICE if self._listed else _FIRST_SLICE)
        except EngineError as error:
            self.post_message(RunsNotListed(error))
        else:
            self.post_message(RunsListed(rows, time.perf_counter() - start))

    def _look_later(self, took: float) -> None:
        self._listing_now = False
        if self._list_again:
            self._list_again = False
            self._look()
            return

        def again() -> None:
            if self.is_current:
                self._look()

        if self._timer is not None:
            self._timer.stop()
        wait = _BREATH if self._index.unread else max(_INTERVAL, took / _SHARE)
        self._timer = self.set_timer(wait, again)

    def on_runs_not_listed(self, message: RunsNotListed) -> None:
        self._show_list(False)
        self.query_one(FirstRun).update(clean(str(message.error)))
        self.workbench.load_behind()
        self._look_later(0.0)

    def on_runs_listed(self, message: RunsListed) -> None:
        if self._listed or not self._index.unread:  # those that an index has are listed by now
            self.workbench.load_behind()
        if message.rows is not self.listing.rows or not self._listed:
            self.listing.replace(message.rows)
            self._listed = True
            self._show_list(bool(message.rows))
            if not message.rows:
                table = self.workbench.key_table
                self.query_one(FirstRun).welcome(self.workbench.runs_dir, table)
            self._show()
        else:
            self._list.show(measure=False)
        self._look_later(message.took)

    def _show_list(self, wanted: bool) -> None:
        self.query_one("#runs-and-details").display = wanted
        self.query_one("#empty").display = not wanted
        if wanted and self.focused is None:
            self._list.focus()

    def _show(self) -> None:
        """Bring the screen up to date with the listing."""
        listing, table = self.listing, self.workbench.key_table
        if listing.filter.text:
            clear = table["runs.clear"].display
            message = f"No run matches {listing.filter.text}; {clear} takes the filter away."
        else:
            message = f"All runs are archived; {table['runs.archived'].display} lists them."
        self._list.message = message
        self._list.show()
        self._show_where()

    def _show_where(self) -> None:
        listing = self.listing
        if not listing.rows:
            self.query_one("#where", Static).update("")
            return
        shown, total = len(listing.shown), len(listing.rows)
        runs = "run" if total == 1 else "runs"
        marked = len(listing.marked_rows)
        hidden = 0 if listing.with_archived else listing.archived
        parts = [
            f"{total:,} {runs}" if shown == total else f"{shown:,} of {total:,} {runs}",
            f"reading {self._index.unread:,} more" if self._index.unread else "",
            f"{marked:,} marked" if marked else "",
            listing.order,
            f"filter {listing.filter.text}" if listing.filter.text else "",
            f"{hidden:,} archived" if hidden else "",
            f"in {self.workbench.runs_dir.resolve()}",
        ]
        text = " · ".join(part for part in parts if part)
        self.query_one("#where", Static).update(clean(text, max(self.size.width - 2, 1)))

    def on_resize(self) -> None:
        self._show_where()

    # --- What the list says --------------------------------------------------------------------

    @on(RunList.Moved)
    def _show_chosen(self) -> None:
        self.query_one(Details).show(self._list.chosen_row)
        wanted = [
            (row["name"], row["updated"])
            for row in self._list.seen
            if "updated" in row and self._curves.get(row["name"], (-1.0,))[0] != row["updated"]
        ]
        if wanted and self._list.shows_curves:
            self._read_curves(wanted)

    @work(thread=True, exclusive=True, group="curves", exit_on_error=False)
    def _read_curves(self, wanted: list[tuple[str, float]]) -> None:
        """The curves of the runs that can be seen; nobody waits for those that were scrolled by."""
        # With numpy, which the first paint does not need.
        from ddpm_tui.widgets.sparkline import sparkline

        worker, curves = get_current_worker(), {}
        for name, updated in wanted:
            if worker.is_cancelled:
                return
            losses = tail_losses(self.workbench.runs_dir / name / "metrics.jsonl")
            curves[name] = updated, sparkline(losses, CURVE_WIDTH)
        self.post_message(CurvesRead(curves))

    def on_curves_read(self, message: CurvesRead) -> None:
        self._curves |= message.curves
        self._list.show_curves({name: curve for name, (_, curve) in self._curves.items()})

    @on(RunList.Sorted)
    def _sort_by_title(self, message: RunList.Sorted) -> None:
        same = message.sort == self.listing.sort
        self.listing.sort_by(message.sort, turned=same and not self.listing.turned)
        self._show()

    @on(RunList.Marked)
    def _marked(self) -> None:
        self._list.show(measure=False)
        self._show_where()

    # --- Which runs ----------------------------------------------------------------------------

    def marked_runs(self) -> list[Run]:
        """The marked runs in the order of the list, or the one under the cursor if none is."""
        rows = self.listing.marked_rows
        chosen = self._list.chosen_row
        if not rows and chosen is not None:
            rows = [chosen]
        return [Run(Path(row["path"])) for row in rows]

    def _selected(self) -> Run | None:
        """The run under the cursor, if its folder can be opened."""
        row = self._list.chosen_row
        if row is None:
            self.notify("There is no run here; n trains one.")
            return None
        if not self.is_here(Run(Path(row["path"]))):
            return None
        try:
            return open_run(self.workbench.runs_dir, row["name"])
        except EngineError as error:
            self.workbench.complain(error)
            return None

    # --- Actions: the list ---------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        self._list.move(rows)

    def action_page(self, pages: int) -> None:
        self._list.move(pages * max(self._list.rows_high - 1, 1))

    def action_edge(self, place: int) -> None:
        self._list.move_to(place if place >= 0 else len(self.listing.shown) + place)

    def action_mark(self) -> None:
        if self._list.chosen:
            self.listing.toggle(self._list.chosen)
            self._marked()
            self._list.move(1)

    def action_mark_all(self) -> None:
        self.listing.toggle_all()
        self._marked()

    def action_sort(self) -> None:
        orders = list(SORTS)
        following = orders[(orders.index(self.listing.sort) + 1) % len(orders)]
        self.listing.sort_by(following, turned=False)
        self._show()

    def action_turn(self) -> None:
        self.listing.sort_by(self.listing.sort, turned=not self.listing.turned)
        self._show()

    def action_archived(self) -> None:
        self.listing.show_archived(not self.listing.with_archived)
        self._show()

    def action_filter(self) -> None:
        if self.listing.rows:
            self._prompt.ask(
                "filter",
                self._filtered,
                value=self.listing.filter.text,
                hint="words in name, tags, notes; state:failed tag:x loss:<0.1 age:<2d -not",
                changed=self._filter,
                left=self._unfilter,
            )

    def _filter(self, text: str) -> None:
        self.listing.filter_by(parse_filter(text))
        self._show()

    def _filtered(self, text: str) -> None:
        self._filter(text)
        self._list.focus()

    def _unfilter(self) -> None:
        self._filtered("")

    def action_clear(self) -> None:
        if self._prompt.is_open:  # and left by tab
            self._prompt.action_leave()
        elif self.listing.filter.text:
            self._unfilter()
        else:
            self.listing.marked.clear()
            self._marked()
