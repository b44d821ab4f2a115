"""The App: views as modes, the training thread, telemetry, colours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.worker import get_current_worker

from ddpm_tui.preferences import Preferences
from ddpm_tui.sanitize import clean
from ddpm_tui.shell import Shell
from ddpm_tui.views.base import View
from ddpm_tui.views.leave import Leave, Way
from ddpm_tui.views.modes import MODES
from ddpm_tui.worker import TrainingEnded, TrainingFrame, TrainingNews, TrainingThread
from engine.errors import EngineError
from engine.events import Waiting
from engine.gpus import TorchGpus
from engine.runs.folder import Run, create_run, open_run
from engine.runs.requests import ask
from engine.telemetry import Telemetry, TelemetrySampler

if TYPE_CHECKING:
    from ddpm_tui.views.train import TrainView

_TELEMETRY_INTERVAL = 1.0


class TelemetryRead(Message):
    """A new reading of the devices."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self.telemetry = telemetry


class TorchLoaded(Message):
    """torch and the engine are imported; training starts without a wait."""


class Workbench(Shell):
    """The terminal workbench.

    Args:
        runs_dir: the folder of the runs; it need not exist yet.
        data_dir: where to look for data sets first.
        device: what trains and samples: auto, cpu, cuda, cuda:1.
        train: a run to train at once, on the Train view.
        watch: a run to look at and nothing else, on the Train view; no key changes anything.
        preferences: keys and theme of the person; by default the program's own, and what they
            choose is not remembered.
        reads_devices: whether to show what the devices do; a picture of a screen is always the
            same without.
    """

    TITLE = "ddpm-tui"
    CSS_PATH = "workbench.tcss"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = MODES
    # Screens watch these: a screen that is not composed yet cannot be told. A reactive of the app
    # that repaints would send the whole screen again, each second.
    activity: var[str] = var("loading torch …")
    telemetry: var[Telemetry | None] = var(None)
    held_back: var[str] = var("")

    def __init__(
        self,
        runs_dir: Path,
        *,
        data_dir: Path | None = None,
        device: str = "auto",
        train: str | None = None,
        watch: str | None = None,
        preferences: Preferences | None = None,
        reads_devices: bool = True,
    ) -> None:
        super().__init__(preferences or Preferences())
        self.runs_dir = runs_dir
        self.data_dir = data_dir
        self.device = device
        self.training: TrainingThread | None = None
        self.torch_ready = False  # loaded, or known not to load
        self.torch_fails = False
        self._loads_behind = False
        self._train_at_start = train
        self.watches = watch is not None
        self.current_run: Run | None = open_run(runs_dir, watch) if watch else None
        self._reads_devices = reads_devices
        self._torch_gpus: TorchGpus | None = None

    def on_mount(self) -> None:
        self.choose_theme()
        self.switch_mode("train" if self._train_at_start or self.watches else "runs")
        self.show_activity()
        self.set_interval(_TELEMETRY_INTERVAL, self._tell_top_bar)
        if self._train_at_start or self.watches:
            self.load_behind()
        if self._train_at_start:
            self.start_training(open_run(self.runs_dir, self._train_at_start))

    def end_screen(self) -> None:
        """End, whatever is being trained: it is for others then. From any thread."""
        # It may not run yet, or not any more.
        with suppress(RuntimeError):
            self.call_from_thread(self.exit)

    def load_behind(self) -> None:
        """The first view has what it shows. What it should not wait for follows its paint, once.

        The import of torch leaves little to other threads: the list of the runs would come later.
        """
        if not self._loads_behind:
            self._loads_behind = True
            self.screen.call_after_refresh(self._load_behind)

    def _load_behind(self) -> None:
        if not self.watches:
            self._load_torch()
        if self._reads_devices:
            self._read_telemetry()

    @work(thread=True, group="torch", exit_on_error=False)
    def _load_torch(self) -> None:
        """Import what training and sampling need, behind the first paint."""
        # Imported for their effect: torch is loaded when the first key needs it.
        try:
            import engine.sampling
            import engine.train  # noqa: F401
            from engine.device import torch_gpus

            self._torch_gpus = torch_gpus()
        except EngineError:
            self.torch_fails = True  # what needs it says why
        self.post_message(TorchLoaded())

    def on_torch_loaded(self) -> None:
        self.torch_ready = True
        self.show_activity()

    @work(thread=True, group="telemetry", exit_on_error=False)
    def _read_telemetry(self) -> None:
        worker, pause = get_current_worker(), threading.Event()
        with TelemetrySampler(lambda: self._torch_gpus) as sampler:
            # A worker that begins while the app ends is cancelled by nobody, and would keep it.
            while self.is_running and not worker.is_cancelled:
                self.post_message(TelemetryRead(sampler.read()))
                pause.wait(_TELEMETRY_INTERVAL)

    def on_telemetry_read(self, message: TelemetryRead) -> None:
        self.telemetry = message.telemetry

    def _tell_top_bar(self) -> None:
        self.held_back = self.link.state
        self.show_activity()  # a pause may have been asked for elsewhere

    # --- Training ------------------------------------------------------------------------------

    def show_activity(self) -> None:
        """Say in the top bar what goes on in the background."""
        self.waits_for_room = False
        if self.training is not None and self.training.alive:
            self.waits_for_room = self.training.waits
            state = "paused" if self.training.paused else "training"
            state = "no room ·" if self.waits_for_room else state
            self.activity = f"{state} {self.training.run.name}"
        elif self.watches:
            self.activity = "only watching"
        else:
            ready = "PyTorch does not load" if self.torch_fails else ""
            self.activity = ready if self.torch_ready else "loading torch …"

    def trains(self, run: Run | None) -> bool:
        """Whether this process trains the run now."""
        return (
            run is not None
            and self.training is not None
            and self.training.alive
            and self.training.run == run
        )

    def start_training(self, run: Run) -> None:
        """Train a run in a thread and show it; one at a time."""
        if self.training is not None and self.training.alive:
            busy = self.training.run.name
            self.notify(f"{busy} is being trained here; stop it first (x)", severity="warning")
            return
        self.training = TrainingThread(
            run, self._hear_of_training, device=self.device, data_dir=self.data_dir
        )
        self.training.start()
        self.open_run(run)
        self.show_activity()

    def _hear_of_training(self, message: Message) -> None:
        # The training outlives the app, and its loop.
        with suppress(RuntimeError):
            self.post_message(message)

    def open_run(self, run: Run) -> None:
        """Make a run the current one and show it in the Train view."""
        self.current_run = run
        self.switch_mode("train")

    @property
    def _train_view(self) -> TrainView | None:
        """The Train view, while it is shown."""
        # An app that ends has no screens any more, and a training may still have news for it.
        screen = self.screen_stack[-1] if self.screen_stack else None
        here = isinstance(screen, View) and screen.VIEW == "train"
        return cast("TrainView", screen) if here else None

    def on_training_news(self, message: TrainingNews) -> None:
        self.show_activity()
        if (view := self._train_view) is not None:
            view.on_news(message)
        seen = view is not None and self.current_run == message.run
        if isinstance(message.event, Waiting) and not seen:
            text = clean(message.event.reason)
            self.notify(text, title=message.run.name, severity="warning", timeout=20, markup=False)

    def on_training_frame(self, _message: TrainingFrame) -> None:
        picture = self.training.frames.take() if self.training else None
        view = self._train_view
        if picture is not None and view is not None:
            view.show_frame(picture)

    def on_training_ended(self, message: TrainingEnded) -> None:
        self.show_activity()
        if message.error:
            text = clean(message.error)
            self.notify(text, title=message.run.name, severity="error", timeout=20, markup=False)
            return
        try:
            status = message.run.status()
        except EngineError as error:  # it was deleted just now
            self.complain(error)
            return
        self.notify(
            f"{message.run.name} {status.state} at step {status.step:,}. s draws pictures from it.",
            markup=False,
        )

    def new_run(self) -> None:
        """Open the form; what it returns is trained at once."""

        def started(run: Run | None) -> None:
            if run is not None:
                self.start_training(run)

        def idle() -> bool:
            return self.torch_ready and not (self.training is not None and self.training.alive)

        from ddpm_tui.views.new_run import NewRun

        form = NewRun(self.runs_dir, self.data_dir, device=self.device, free=idle)
        self.push_screen(form, started)

    def train_first_run(self) -> None:
        """Train a first model as the defaults have it, with pictures from the first seconds on."""
        from ddpm_tui.views.first_run import FIRST_COMMAND, first_config

        try:
            run = create_run(self.runs_dir, first_config(self.data_dir), command=FIRST_COMMAND)
        except EngineError as error:
            self.complain(error)
        else:
            self.start_training(run)

    def resume_run(self, run: Run) -> None:
        try:
            status = run.status()
        except EngineError as error:
            self.complain(error)
            return
        if status.state == "finished":
            self.notify(f"{run.name} is finished; s draws pictures from it.", markup=False)
        elif self.trains(run):
            self.open_run(run)
        elif status.state in ("running", "paused"):
            self.notify(f"{run.name} is being trained by another process.", markup=False)
            self.open_run(run)
        else:
            self.start_training(run)

    def sample_run(self, run: Run) -> None:
        """Show a run in the Sample view."""
        self.current_run = run
        self.switch_mode("sample")

    # --- Actions -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.watches and action == "view":
            return False
        return super().check_action(action, parameters)

    def action_view(self, name: str) -> None:
        if not isinstance(self.screen, View):
            return
        if self.screen.VIEW == "compare" and name == self.screen.TAB:
            self.pop_screen()
        self.switch_mode(name)

    async def action_quit(self) -> None:
        """ctrl+q, which Textual binds on every screen, asks as q does."""
        self.action_leave()

    def action_leave(self) -> None:
        if any(isinstance(screen, Leave) for screen in self.screen_stack):
            return
        training = self.training
        if training is None or not training.alive:
            self.exit()
            return

        def decided(way: Way | None) -> None:
            if way in ("stop", "hand over"):
                self._part_from(training, hand_over=way == "hand over")

        self.push_screen(Leave(training.run.name), decided)

    @work(thread=True, group="leave", exit_on_error=False)
    def _part_from(self, training: TrainingThread, *, hand_over: bool) -> None:
        """Have a training save and stop, or go on in a process of its own; then end."""
        from ddpm_tui.headless.detaching import detach, told

        run, paused = training.run, training.paused
        self.call_from_thread(self.notify, f"Saving {run.name} …", timeout=60, markup=False)
        training.request("stop")
        training.join()
        message = None
        try:
            if hand_over and run.status().state == "stopped":
                note = f"Handing {run.name} over …"
                self.call_from_thread(self.notify, note, timeout=60, markup=False)
                pid = detach(run, device=self.device, data_dir=self.data_dir)
                message = clean(told(run, pid))
                if paused:
                    with suppress(EngineError):  # it was just finished
                        ask(run, "pause")
        except EngineError as error:
            # It is stopped, with a checkpoint: `r` goes on.
            self.call_from_thread(self.complain, error)
            return
        self.call_from_thread(self.exit, message=message)
