"""The Sample view: the reverse process, paused, stepped, turned and looked at at any t."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from ddpm_tui import keys
from ddpm_tui.sanitize import clean
from ddpm_tui.views.sample.keeping import Keeping
from ddpm_tui.views.sample.looking import BESIDE
from ddpm_tui.views.sample.playhead import Playhead
from ddpm_tui.views.sample.readout import Figures, LookPane, Readout
from ddpm_tui.views.sample.recording import LOOKS
from ddpm_tui.views.sample.settings import DrawSettings, RunOffer, SampleSettings, pictures
from ddpm_tui.views.sample.turns import Turns
from ddpm_tui.widgets.timeline import Timeline
from engine.errors import EngineError
from engine.runs.checkpoint import find_checkpoint, list_checkpoints
from engine.runs.folder import Run, list_runs
from engine.runs.moved import gone
from engine.takes.recipe import Recipe

_RUNS_OFFERED = 100

NO_RUNS = "There is no trained run yet. 1 lists the runs; n there trains a first model."
NO_CHECKPOINT = (
    "{run} has no checkpoint yet, so there is nothing to draw with. 2 shows its training, "
    "c saves a checkpoint there. o chooses another run."
)
READY = "d draws {num} from {run}. o changes the settings."


class RunsRead(Message):
    """What there is to draw with; `offer` is None when there is no run with a checkpoint.

    Attributes:
        problem: why the run that was wanted is not the one that is offered; empty where it is.
    """

    def __init__(
        self, runs: tuple[Run, ...], offer: RunOffer | None, quick: bool, problem: str
    ) -> None:
        super().__init__()
        self.runs, self.offer, self.quick, self.problem = runs, offer, quick, problem


class RunsUnread(Message):
    """The runs could not be read."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


class SampleView(Turns, Keeping):
    """Perform takes: pause, step, look, and change what happens at any step."""

    VIEW = "sample"
    CHOOSES_RUN = "sample.settings"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("sample")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (28, "-tall")]  # noqa: RUF012 - as in View

    DEFAULT_CSS = """
    SampleView #settings, SampleView #turns {
        height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    SampleView #turns { display: none; color: $accent; }
    SampleView.-turned #turns { display: block; }
    SampleView #looks { height: 1fr; }
    SampleView LookPane {
        display: none;
        border-top: solid $foreground 25%;
        border-title-color: $foreground 80%;
    }
    SampleView.-look-x_t #x_t, SampleView.-look-x0 #x0, SampleView.-look-eps #eps,
    SampleView.-look-all #x_t, SampleView.-wide.-look-all LookPane { display: block; }
    SampleView.-wide.-look-all LookPane { margin: 0 1; }
    SampleView #beside, SampleView.-wide.-look-all #beside { display: none; }
    SampleView.-versus #beside { display: block; margin-left: 1; }
    SampleView.-figures Figures { display: block; }
    SampleView.-narrow.-figures #looks { layout: vertical; }
    SampleView.-narrow.-figures Figures { width: 1fr; height: 2fr; margin: 0; layout: horizontal; }
    SampleView.-narrow.-figures LookPane { height: 3fr; }
    SampleView.-narrow Figures Static { width: 24; }
    SampleView.-narrow Readout { height: 2; }
    SampleView #command {
        height: auto; max-height: 2; padding: 0 1; color: $foreground 65%;
    }
    SampleView.-short #command { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: tuple[Run, ...] = ()
        self._seen_current: Run | None = None  # the workbench's current run, last time
        self._draws_when_read = False  # d was pressed before it was known what to draw with

    def body(self) -> ComposeResult:
        yield Static("", id="settings", markup=False)
        yield Static("", id="turns", markup=False)
        with Horizontal(id="looks"):
            for look in LOOKS:
                yield LookPane("Looking for runs …", id=look)
            yield LookPane("", id=BESIDE)
            yield Figures()
        yield Timeline()
        yield Readout()
        yield Static("", id="command", markup=False)

    def on_screen_resume(self) -> None:
        current = self.workbench.current_run
        if current is not None and current != self._seen_current:
            self._seen_current = current
            if self._settings is None or current != self._settings.run:
                self._forget()
        self._reading = True
        self._read_runs(current if self._settings is None else self._settings.run)
        self._pace()

    def on_screen_suspend(self) -> None:
        self._timer.pause()

    def _forget(self) -> None:
        """Make room for another run."""
        self._dismiss_performer()
        self._settings = self._recording = self._before = None
        self._past.clear()
        self._playhead = Playhead(speed=self._playhead.speed)
        self._empty()
        self._say("Looking for checkpoints …")

    def _empty(self) -> None:
        self.query_one(Timeline).frames = 0
        self.query_one(Readout).parts = ("", "")

    # --- Runs ----------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def _read_runs(self, wanted: Run | None) -> None:
        """Find out what there is to draw with: the wanted run, else the newest that can."""
        worker = get_current_worker()
        try:
            listed = list_runs(self.workbench.runs_dir)
            able = (run for run in listed if list_checkpoints(run))
            problem = ""
            if wanted is not None and (error := gone(wanted.path)):
                wanted, problem = None, str(error)
            chosen = wanted or next(able, None) or next(iter(listed), None)
            offer = None if chosen is None else RunOffer.read(chosen)
            others = [run for run in listed[:_RUNS_OFFERED] if list_checkpoints(run)]
            from engine.device import resolve_device  # brings torch

            quick = resolve_device(self.workbench.device).type == "cpu"
        except EngineError as error:
            if not worker.is_cancelled:
                self.post_message(RunsUnread(error))
            return
        if not worker.is_cancelled:
            self.post_message(RunsRead(tuple(others), offer, quick, problem))

    def on_runs_unread(self, message: RunsUnread) -> None:
        self._reading, self._draws_when_read = False, False
        if self._recording is None:
            self._say(str(message.error))

    def run_came_back(self) -> None:
        if self._settings is not None:
            self._read_runs(self._settings.run)

    def on_runs_read(self, message: RunsRead) -> None:
        self._reading = False
        draws, self._draws_when_read = self._draws_when_read, False
        self._runs = message.runs
        if message.problem and self._settings is not None:
            return  # the line above says it, and what is on the screen stays
        self._offer = offer = message.offer
        if message.problem:
            self.notify(clean(message.problem), severity="warning", timeout=12, markup=False)
            draws = False
        if offer is None:
            self._say(f"{message.problem.rstrip('.')}. {NO_RUNS}" if message.problem else NO_RUNS)
        elif self._settings is None:
            self._settings = offer.defaults(quick=message.quick)
            self._tell_settings()
            if not offer.checkpoints:
                self._say(NO_CHECKPOINT.format(run=offer.run.name))
        idle = self._recording is None and self._performer is None
        if offer is not None and offer.checkpoints and idle:
            self._say_ready()
            if draws:
                self.action_draw()

    def _say_ready(self) -> None:
        if self._settings is not None:
            run, num = self._settings.run.name, pictures(self._settings.num)
            self._say(READY.format(num=num, run=run))

    # --- Keys -------------------------------------------------------------------------------------

    def action_draw(self) -> None:
        settings = self._settings
        if settings is None:
            if self._reading:
                self._draws_when_read = True
                self._say("Loading torch and looking for checkpoints … then it draws.")
            else:
                self.notify("There is no run to draw from yet; 1 lists the runs.")
            return
        if not self.is_here(settings.run):
            return  # what is on the screen stays

        def recipe() -> Recipe:
            from engine.config import override_sampling

            sampling = override_sampling(settings.run.config(), settings.overrides())
            found = find_checkpoint(settings.run, settings.checkpoint)
            for line in found.passed_over:
                self.notify(clean(line), severity="warning", markup=False)
            return Recipe(settings.run.name, found.step, sampling, settings.seed)

        self._recording = None
        self._past.clear()
        self._chosen = 0
        self._tell_settings()
        self._empty()
        self._say("Loading the network …" if self.workbench.torch_ready else "Loading torch …")
        self._perform(recipe, settings.run, at=0)

    def action_settings(self) -> None:
        if self._settings is None:
            self.notify(
                "Loading torch and looking for checkpoints …"
                if self._reading
                else "There is no run to draw from yet; 1 lists the runs."
            )
            return

        def chosen(settings: DrawSettings | None) -> None:
            if settings is not None:
                self._settings = settings
                self.action_draw()
                self._read_runs(settings.run)

        self.app.push_screen(
            SampleSettings(self._settings, self._runs, self.workbench.runs_dir), chosen
        )
