"""The Inspect view: a run taken apart, a page for each of its components."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState, get_current_worker

from ddpm_tui import keys
from ddpm_tui.inspection import network
from ddpm_tui.inspection.network import ORDERS
from ddpm_tui.inspection.study import Study, Subject, investigate, preset_subject, run_subject
from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import View
from ddpm_tui.views.inspect.chooser import ChooseRun
from ddpm_tui.views.inspect.page_bar import PageBar
from ddpm_tui.views.inspect.pages import PAGES, Look, Page
from ddpm_tui.views.inspect.pictures import EmbeddingMaps, ScheduleCurves
from ddpm_tui.widgets.sheet import Sheet
from ddpm_tui.worker import sparing_the_training
from engine.errors import EngineError, RunGoneError
from engine.runs.folder import Run, list_runs

if TYPE_CHECKING:
    from engine.layer_timing import Timing

_PRESETS = ("article", "default")
_NAMES = tuple(page.name for page in PAGES)
_MEASURED = ("network", "reverse")
_PROBE_SECONDS = 3.0
_TOLD_EVERY = 0.5  # seconds between two figures of the probe


class Studied(Message):
    """More is known."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study


class Timed(Message):
    """The network of a subject was measured; `done` when it is not measured further."""

    def __init__(self, subject: Subject, timing: Timing | None, *, done: bool) -> None:
        super().__init__()
        self.subject, self.timing, self.done = subject, timing, done


class NotStudied(Message):
    """Something stood in the way."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


class InspectView(View):
    """The current run, or a preset where there is none, in seven pages."""

    VIEW = "inspect"
    CHOOSES_RUN = "inspect.run"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("inspect")]

    DEFAULT_CSS = """
    InspectView #about { height: 1; padding: 0 1; color: $foreground 75%; }
    InspectView #about, InspectView #figures { text-wrap: nowrap; text-overflow: ellipsis; }
    InspectView #body { height: 1fr; padding: 0 1; }
    InspectView Sheet { width: 1fr; height: 1fr; }
    InspectView #side, InspectView #pictures { display: none; }
    InspectView LineChart, InspectView HeatStrip {
        border-top: solid $foreground 25%; border-title-color: $foreground 80%;
    }
    InspectView.-page-schedule #side { display: block; width: 2fr; margin-left: 1; }
    InspectView.-page-schedule Sheet { width: 3fr; }
    InspectView.-page-schedule.-narrow #side { display: none; }
    InspectView.-page-embedding #body { layout: vertical; }
    InspectView.-page-embedding Sheet { height: 5; }
    InspectView.-page-embedding.-narrow Sheet { height: 4; }
    InspectView.-page-embedding #pictures { display: block; height: 1fr; }
    InspectView #maps { height: 2fr; }
    InspectView #maps EmbeddingMap { width: 1fr; }
    InspectView #theirs { margin-left: 1; }
    InspectView #likeness { height: 1fr; }
    InspectView.-low #likeness { display: none; }
    InspectView #go-to { display: none; border: none; height: 1; padding: 0 1; }
    InspectView.-asking #go-to { display: block; }
    """
    # As in View; on a low screen the maps take all.
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]  # noqa: RUF012 - as in View

    def __init__(self) -> None:
        super().__init__()
        self._page = PAGES[0]
        self._study: Study | None = None
        self._look = Look()
        self._run: Run | None = None  # what the app's current run was when it was looked at
        self._preset = ""  # shown instead of the run
        self._problem = ""
        self._measuring: Subject | None = None
        self._places: dict[str, tuple[int, int]] = {}  # cursor and top of each page

    def body(self) -> ComposeResult:
        yield PageBar(tuple(page.title for page in PAGES), id="pages")
        yield Static("", id="about", markup=False)
        with Horizontal(id="body"):
            yield Sheet(id="sheet", classes="pane")
            yield ScheduleCurves(id="side")
            yield EmbeddingMaps(id="pictures")
        yield Input(placeholder="t, a timestep; enter goes there", id="go-to", compact=True,
                    max_length=6, restrict=r"\d*")  # fmt: skip

    def on_mount(self) -> None:
        forward_key = self.workbench.key_table["app.forward"].display
        self._look = replace(self._look, forward_key=forward_key)
        self._turn_to(PAGES[0])

    def on_screen_resume(self) -> None:
        """Look again: another run may be the current one, and a training goes on."""
        if self._run != self.workbench.current_run:
            self._preset = ""
        self._look_at()

    @property
    def runs_shown(self) -> tuple[Run, ...]:
        return (self._run,) if self._run is not None and not self._preset else ()

    def run_came_back(self) -> None:
        self._look_at()

    # --- What is looked at ---------------------------------------------------------------------

    def _look_at(self) -> None:
        """Study the current run, or the preset that is shown instead."""
        self._run = run = self.workbench.current_run
        try:
            if self._preset or run is None:
                subject = preset_subject(self._preset or "default", self.workbench.data_dir)
            else:
                subject = run_subject(run)
        except EngineError as error:
            studied = self._study.subject.run if self._study else None
            if not (isinstance(error, RunGoneError) and studied == run):
                self._study, self._problem = None, str(error)
            self._show()  # what was found out of a run that is gone stays
            return
        known = self._study if self._study and self._study.subject == subject else None
        self._problem = ""
        if known is None:
            self._study = Study(subject)
            self._places.clear()
        self._show()
        self._investigate(subject, known)

    @work(thread=True, exclusive=True, group="study", exit_on_error=False)
    def _investigate(self, subject: Subject, known: Study | None) -> None:
        worker, workbench = get_current_worker(), self.workbench
        studies = investigate(subject, known, workbench.data_dir)
        try:
            # The folder needs no torch, so it does not wait for it.
            self.post_message(Studied(next(studies)))
            with sparing_the_training(workbench.training), closing(studies):
                for study in studies:
                    if worker.is_cancelled:
                        return
                    self.post_message(Studied(study))
        except EngineError as error:
            if not worker.is_cancelled:
                self.post_message(NotStudied(error))

    def on_studied(self, message: Studied) -> None:
        study = self._study
        if study is None or message.study.subject != study.subject:
            return
        # The clock may have been faster.
        self._study = replace(message.study, timing=message.study.timing or study.timing)
        self._show()
        self._measure()

    def on_not_studied(self, message: NotStudied) -> None:
        self._problem = str(message.error)
        self._show()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            text = clean(f"{type(event.worker.error).__name__}: {event.worker.error}", 300)
            self.notify(text, title="Not done", severity="error", timeout=20, markup=False)

    # --- Measuring -----------------------------------------------------------------------------

    def _measure(self) -> None:
        """Measure the network, once, when somebody looks at what is measured."""
        study = self._study
        if study is None or study.anatomy is None or self._page.name not in _MEASURED:
            return
        if study.timing is None and self._measuring != study.subject:
            self._measuring = study.subject
            self._probe(study.subject)

    @work(thread=True, exclusive=True, group="probe", exit_on_error=False)
    def _probe(self, subject: Subject) -> None:
        """A few seconds of forward passes; on one core while a run is trained here."""
        from engine.layer_timing import probe

        worker, began, told = get_current_worker(), time.monotonic(), 0.0
        timing: Timing | None = None
        passes = probe(
            subject.config,
            subject.image_shape,
            subject.num_classes,
            device=self.workbench.device,
        )
        try:
            with sparing_the_training(self.workbench.training), closing(passes):
                for timing in passes:
                    now = time.monotonic()
                    if worker.is_cancelled or now - began > _PROBE_SECONDS:
                        break
                    if now - told > _TOLD_EVERY:
                        told = now
                        self.post_message(Timed(subject, timing, done=False))
        except EngineError as error:
            self.post_message(NotStudied(error))
        self.post_message(Timed(subject, timing, done=True))

    def on_timed(self, message: Timed) -> None:
        if message.done and self._measuring == message.subject:
            self._measuring = None
        study = self._study
        if study is not None and study.subject == message.subject and message.timing:
            self._study = replace(study, timing=message.timing)
            self._show()

    # --- Showing -------------------------------------------------------------------------------

    @property
    def _sheet(self) -> Sheet:
        return self.query_one("#sheet", Sheet)

    def _turn_to(self, page: Page) -> None:
        sheet = self._sheet
        self._places[self._page.name] = (sheet.cursor or 0, sheet.top)
        self._page = page
        self.query_one(PageBar).here = PAGES.index(page)
        for name in _NAMES:
            self.set_class(name == page.name, f"-page-{name}")
        self._end_asking()
        self._show(turned=True)
        self._measure()
        self.refresh_bindings()

    def _show(self, *, turned: bool = False) -> None:
        page, study, look = self._page, self._study, self._look
        sheet = self._sheet
        cursor, top = self._places.get(page.name, (0, 0)) if turned else (
            sheet.cursor or 0, sheet.top)  # fmt: skip
        heading = page.heading
        if study is None:
            sheet.show(lambda _width: [], message=clean(self._problem))
            self.query_one("#about", Static).update("")
            return
        sheet.show(
            lambda width: page.rows(study, width, look),
            (lambda width: heading(study, width, look)) if heading else None,
            cursor=cursor if page.cursor else None,
            top=top,
            message=clean(self._problem) or page.waits_for,
        )
        parts = (study.subject.title, page.about(study, look))
        self.query_one("#about", Static).update(clean(" · ".join(filter(None, parts))))
        if study.maths is not None and page.name == "schedule":
            self.query_one(ScheduleCurves).show(study.maths)
            self.query_one(ScheduleCurves).mark(sheet.cursor)
        elif study.maths is not None and page.name == "embedding":
            self.query_one(EmbeddingMaps).show(study, study.maths)

    # --- Keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The footer offers what the page has."""
        if action in ("open", "open_all", "order"):
            return self._page.name == "network"
        if action == "go_to":
            return self._page.name == "schedule"
        return super().check_action(action, parameters)

    def action_turn(self, by: int) -> None:
        self._turn_to(PAGES[(PAGES.index(self._page) + by) % len(PAGES)])

    @on(PageBar.Chosen)
    def _page_clicked(self, message: PageBar.Chosen) -> None:
        self._turn_to(PAGES[message.index])

    def action_move(self, by: int) -> None:
        if not self._sheet.count:
            self._say_loading()
            return
        self._sheet.move(by)

    def action_screenful(self, by: int) -> None:
        if not self._sheet.count:
            self._say_loading()
            return
        self._sheet.move(by * self._sheet.page)

    def action_end(self, where: str) -> None:
        if not self._sheet.count:
            self._say_loading()
            return
        self._sheet.go_to(0 if where == "first" else self._sheet.count - 1)

    @on(Sheet.Chosen)
    def _row_chosen(self, message: Sheet.Chosen) -> None:
        if self._page.name == "schedule":
            self.query_one(ScheduleCurves).mark(self._sheet.cursor)
        elif message.clicked:
            self.action_open()

    def action_open(self) -> None:
        study, at = self._study, self._sheet.cursor
        if study is None or study.anatomy is None or at is None:
            self._say_loading()
            return
        lines = network.lines(study.anatomy, study.timing, self._look.tree)
        if at < len(lines) and lines[at].part.has_parts:
            self._open(self._look.tree.opened ^ {lines[at].part.name})

    def action_open_all(self) -> None:
        if self._study is None or self._study.anatomy is None:
            self._say_loading()
            return
        everything = frozenset(part.name for part in self._study.anatomy.parts if part.has_parts)
        self._open(frozenset({""}) if self._look.tree.opened >= everything else everything)

    def _say_loading(self) -> None:
        """Why a key has no effect yet; what cannot be read is said where the rows would be."""
        if self._study is not None:
            self.notify(self._page.waits_for)

    def _open(self, names: frozenset[str]) -> None:
        self._look = replace(self._look, tree=replace(self._look.tree, opened=names))
        self._show()

    def action_order(self) -> None:
        orders = list(ORDERS)
        order = orders[(orders.index(self._look.tree.order) + 1) % len(orders)]
        self._look = replace(self._look, tree=replace(self._look.tree, order=order))
        self._show()

    def action_preset(self) -> None:
        """The run, the article's preset, the default's, and again."""
        shown = ("", *_PRESETS) if self.workbench.current_run else tuple(reversed(_PRESETS))
        at = shown.index(self._preset) if self._preset in shown else 0
        self._preset = shown[(at + 1) % len(shown)]
        self._look_at()

    def action_run(self) -> None:
        """Choose the run that this view, and the others, are about."""
        try:
            runs = list_runs(self.workbench.runs_dir)
        except EngineError as error:
            self.workbench.complain(error)
            return
        if not runs:
            self.notify("There are no runs yet; n on the first view trains one.", markup=False)
            return

        def chosen(run: Run | None) -> None:
            if run is not None:
                self.workbench.current_run, self._preset = run, ""
                self._look_at()

        self.app.push_screen(ChooseRun(runs, self.workbench.current_run), chosen)

    # --- Going to a timestep -------------------------------------------------------------------

    def action_go_to(self) -> None:
        if not self._sheet.count:
            self._say_loading()
            return
        self.add_class("-asking")
        self.query_one("#go-to", Input).focus()

    @on(Input.Submitted, "#go-to")
    def _go_to(self, event: Input.Submitted) -> None:
        if event.value:
            last = self._sheet.count - 1
            if int(event.value) > last:
                self.notify(f"The last timestep is {last:,}.", severity="warning")
            self._sheet.go_to(int(event.value))
        self._end_asking()

    @on(events.Key)
    def _leave_asking(self, event: events.Key) -> None:
        if event.key == "escape" and self.has_class("-asking"):
            event.stop()
            self._end_asking()

    def _end_asking(self) -> None:
        box = self.query_one("#go-to", Input)
        box.value = ""
        self.remove_class("-asking")
        if box.has_focus:
            self._sheet.focus()
