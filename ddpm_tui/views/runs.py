"""The Runs view: every run folder as a row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from ddpm_tui import keys
from ddpm_tui.report import age, figure
from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import View
from ddpm_tui.views.compare import CompareView
from ddpm_tui.views.first_run import FirstRun
from ddpm_tui.widgets.sparkline import sparkline
from engine.errors import EngineError
from engine.runs.folder import Run, open_run
from engine.runs.index import RunIndex
from engine.runs.metrics import tail_losses

_INTERVAL = 2.0
_CURVE_WIDTH = 16
_COLUMNS = ("RUN", "STATE", "DATA", "NET", "STEP", "LOSS", "HELD-OUT", "CURVE", "AGE")
# Above figures that stand to the right.
_HEADERS = {"STEP": "STEP".rjust(15), "LOSS": "  LOSS", "AGE": " AGE"}
_STATE_STYLES = {
    "running": "bold green",
    "paused": "yellow",
    "finished": "",
    "stopped": "yellow",
    "failed": "bold red",
    "unreadable": "bold red",
    "created": "dim",
}


class RunsListed(Message):
    """A fresh listing, newest run first."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__()
        self.rows = rows


class RunsTable(DataTable[Text | str], inherit_bindings=False):
    """A DataTable that leaves enter to the view, so that the footer can say what it does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Up", show=False),
        Binding("down", "cursor_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home", "scroll_top", "First", show=False),
        Binding("end", "scroll_bottom", "Last", show=False),
    ]


class RunsView(View):
    """The list of runs."""

    VIEW = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("runs")]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, dict[str, Any]] = {}
        self._listed = False
        self._curves: dict[str, tuple[float, str]] = {}

    def body(self) -> ComposeResult:
        yield RunsTable(cursor_type="row", id="runs")
        yield FirstRun(id="empty")
        yield Static("", id="where", markup=False)

    def on_mount(self) -> None:
        self._index = RunIndex(self.workbench.runs_dir)
        table = self.query_one(RunsTable)
        table.add_columns(*((_HEADERS.get(name, name), name) for name in _COLUMNS))
        table.display = False
        self.set_interval(_INTERVAL, self._list)

    def on_screen_resume(self) -> None:
        self._list()

    @work(thread=True, exclusive=True, group="list", exit_on_error=False)
    def _list(self) -> None:
        worker = get_current_worker()
        try:
            rows = self._index.rows()
        except EngineError as error:
            self.app.call_from_thread(self._show_error, error)
            return
        for row in rows:
            updated = row.get("updated", 0.0)
            known = self._curves.get(row["name"])
            if known is None or known[0] != updated:
                losses = tail_losses(Path(row["path"]) / "metrics.jsonl")
                self._curves[row["name"]] = updated, sparkline(losses, _CURVE_WIDTH)
        if not worker.is_cancelled:
            self.post_message(RunsListed(rows))

    def _show_error(self, error: EngineError) -> None:
        self.query_one(RunsTable).display = False
        empty = self.query_one("#empty", Static)
        empty.display = True
        empty.update(clean(str(error)))

    def on_runs_listed(self, message: RunsListed) -> None:
        """Bring the table up to date, touching only cells that changed."""
        table, empty = self.query_one(RunsTable), self.query_one("#empty", Static)
        where = self.query_one("#where", Static)
        rows = {row["name"]: row for row in message.rows}
        table.display = bool(rows)
        empty.display = not rows
        if not rows:
            self.query_one(FirstRun).welcome(self.workbench.runs_dir, self.workbench.key_table)
            where.update("")
        else:
            where.update(f"{len(rows)} in {clean(str(self.workbench.runs_dir.resolve()))}")
            self._fill(table, rows)
        self._rows, self._listed = rows, True

    def _fill(self, table: RunsTable, rows: Mapping[str, Mapping[str, Any]]) -> None:
        if list(rows) != [key.value for key in table.rows]:
            at = self._selected_name()
            table.clear()
            for name, row in rows.items():
                table.add_row(*self._cells(row), key=name)
            if at is not None and at in rows:
                table.move_cursor(row=list(rows).index(at))
            if not table.has_focus:
                table.focus()
            return
        for name, row in rows.items():
            for column, cell in zip(_COLUMNS, self._cells(row), strict=True):
                if table.get_cell(name, column) != cell:
                    table.update_cell(name, column, cell, update_width=True)

    def _cells(self, row: Mapping[str, Any]) -> list[Text | str]:
        state = row["state"]
        cells: list[Text | str] = [clean(row["name"]), Text(state, _STATE_STYLES.get(state, ""))]
        if state == "unreadable":
            return [*cells, Text(clean(row["reason"], 40)), *[""] * (len(_COLUMNS) - 3)]
        step = f"{row['step']:,}/{row['total_steps']:,}"
        curve = self._curves.get(row["name"], (0.0, ""))[1]
        return [
            *cells,
            clean(row["dataset"]),
            clean(row["model"]),
            step.rjust(15),
            figure(row["loss"]).rjust(6),
            figure(row["eval_loss"]).rjust(8),
            Text(curve.ljust(_CURVE_WIDTH), "cyan"),
            age(time.time() - row["updated"]).rjust(4),
        ]

    def _selected_name(self) -> str | None:
        table = self.query_one(RunsTable)
        if not table.row_count or not table.is_valid_coordinate(table.cursor_coordinate):
            return None
        return table.coordinate_to_cell_key(Coordinate(table.cursor_row, 0)).row_key.value

    def _selected(self) -> Run | None:
        """The run under the cursor, if its folder can be opened."""
        name = self._selected_name()
        if name is None:
            self.notify("There is no run yet; n trains one.")
            return None
        try:
            return open_run(self.workbench.runs_dir, name)
        except EngineError as error:
            self.workbench.complain(error)
            return None

    def action_open(self) -> None:
        if self._listed and not self._rows:
            self.workbench.train_first_run()
        elif run := self._selected():
            self.workbench.open_run(run)

    def action_new(self) -> None:
        self.workbench.new_run()

    def action_resume(self) -> None:
        if run := self._selected():
            self.workbench.resume_run(run)

    def action_sample(self) -> None:
        if run := self._selected():
            self.workbench.sample_run(run)

    def action_cursor(self, direction: str) -> None:
        table = self.query_one(RunsTable)
        if direction == "down":
            table.action_cursor_down()
        else:
            table.action_cursor_up()

    def marked_runs(self) -> list[Run]:
        """The run under the cursor and the next newest one."""
        names = list(self._rows)
        if (run := self._selected()) is None:
            return []
        at = names.index(run.name)
        return [run, *(Run(Path(self._rows[name]["path"])) for name in names[at + 1 : at + 2])]

    def action_compare(self) -> None:
        if runs := self.marked_runs():
            self.app.push_screen(CompareView(runs))

    def action_export(self) -> None:
        if run := self._selected():
            self._export(run)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, run: Run) -> None:
        from engine.export import drawn_samples, export_run
        from engine.runs.checkpoint import find_checkpoint

        try:
            checkpoint = find_checkpoint(run)
            if drawn_samples(run, checkpoint.step) is None:
                self._tell(f"Drawing the pictures of {run.name} first; this can take a minute.")
                from engine.sample_files import write_samples
                from engine.sampling import load_trained

                trained = load_trained(
                    run, which=str(checkpoint.step), device=self.workbench.device
                )
                write_samples(trained, trained.config.sampling, seed=0)
            folder = export_run(run, checkpoint)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
        else:
            self._tell(f"{run.name} is exported to {folder}")

    def _tell(self, text: str) -> None:
        self.app.call_from_thread(self.notify, clean(text), timeout=12, markup=False)
