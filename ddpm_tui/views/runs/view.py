"""The Runs view: every run folder as a row, to find, to open and to keep in order."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.binding import BindingType

from ddpm_tui import keys
from ddpm_tui.sanitize import clean
from ddpm_tui.views.runs.keeping import Keeping
from ddpm_tui.views.runs.run_list import RunList
from engine.errors import EngineError
from engine.runs.folder import Run


class RunsView(Keeping):
    """The list of runs, and what can be done with one of them."""

    VIEW = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("runs")]

    @on(RunList.Opened)
    def action_open(self) -> None:
        if self._listed and not self.listing.rows:
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

    def action_compare(self) -> None:
        from ddpm_tui.views.compare import CompareView

        if runs := self.marked_runs():
            self.app.push_screen(CompareView(runs))
        else:
            self.notify("There is no run to compare yet; n trains one.")

    def action_export(self) -> None:
        if run := self._selected():
            self._export(run)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, run: Run) -> None:
        from ddpm_tui.views.runs.exporting import export

        try:
            folder = export(run, self.workbench.device, self._tell)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
        else:
            self._tell(f"{run.name} is exported to {folder}")

    def _tell(self, text: str) -> None:
        self.app.call_from_thread(self.notify, clean(text), timeout=12, markup=False)
