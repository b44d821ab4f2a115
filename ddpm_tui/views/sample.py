"""The Sample view: the reverse process as an instrument, drawn once and looked at at any t."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult, RenderResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Show
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ddpm_tui import keys
from ddpm_tui.sanitize import clean
from ddpm_tui.trajectory import LOOKS, Playhead, Trajectory, memory_needed
from ddpm_tui.views.base import View, for_display
from ddpm_tui.views.sampling_settings import DrawSettings, RunOffer, SampleSettings, pictures
from ddpm_tui.widgets.pacing import output_backlog
from ddpm_tui.widgets.pixels import PixelGrid
from ddpm_tui.widgets.timeline import Timeline
from engine.errors import ConfigError, EngineError
from engine.images import Pixels, frame_indices
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, list_runs

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.sampling import TrainedModel

_MEMORY_LIMIT = 1 << 30
_RUNS_OFFERED = 100
_TICK = 1 / 15  # seconds
_ALL = "all"

NO_RUNS = "There is no trained run yet. 1 lists the runs; n there trains a first model."
NO_CHECKPOINT = (
    "{run} has no checkpoint yet, so there is nothing to draw with. 2 shows its training, "
    "c saves a checkpoint there. o chooses another run."
)
READY = "d draws {num} from {run}. o changes the settings."

_TITLES = {
    "x_t": "x_t · what the network sees",
    "x0": "x̂_0 · the picture that it believes in",
    "eps": "ε · the noise that it sees, −3 … 3",
}
_RESULT_TITLE = "the result"


# --- What comes from the threads ---------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A drawing, perhaps still going on: what was asked, and what came of it so far."""

    settings: DrawSettings
    sampling: SamplingConfig
    step: int  # of the checkpoint
    trajectory: Trajectory


class RunsRead(Message):
    """What there is to draw with; `offer` is None when there is no run with a checkpoint."""

    def __init__(self, runs: tuple[Run, ...], offer: RunOffer | None, quick: bool) -> None:
        super().__init__()
        self.runs, self.offer, self.quick = runs, offer, quick


class RunsUnread(Message):
    """The runs could not be read."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


class DrawingBegan(Message):
    """The checkpoint is loaded and the first step is on its way."""

    def __init__(self, number: int, drawn: Drawn) -> None:
        super().__init__()
        self.number, self.drawn = number, drawn


class DrawingEnded(Message):
    """The result is there, or an error, or the drawing was cancelled."""

    def __init__(self, number: int, error: EngineError | None = None) -> None:
        super().__init__()
        self.number, self.error = number, error


# --- The view ----------------------------------------------------------------------------------


class LookPane(PixelGrid):
    """A grid that asks for its picture when it comes into sight."""

    class Exposed(Message):
        """It can be seen from now on."""

    def on_show(self, _event: Show) -> None:
        self.post_message(self.Exposed())


class Readout(Widget):
    """Figures in one line; in two where it has two."""

    DEFAULT_CSS = """
    Readout { height: 1; padding: 0 1; }
    """

    parts: reactive[tuple[str, str]] = reactive(("", ""))

    def render(self) -> RenderResult:
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        between = "\n" if self.size.height > 1 else " · "
        return text.append(between.join(part for part in self.parts if part))


class SampleView(View):
    """Draw pictures; stop, scrub and look at any step."""

    VIEW = "sample"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("sample")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (28, "-tall")]  # noqa: RUF012

    DEFAULT_CSS = """
    SampleView #settings { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    SampleView #looks { height: 1fr; }
    SampleView LookPane {
        display: none;
        border-top: solid $foreground 25%;
        border-title-color: $foreground 80%;
    }
    SampleView.-look-x_t #x_t, SampleView.-look-x0 #x0, SampleView.-look-eps #eps,
    SampleView.-look-all #x_t, SampleView.-wide.-look-all LookPane { display: block; }
    SampleView.-wide.-look-all LookPane { margin: 0 1; }
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
        self._settings: DrawSettings | None = None
        self._drawn: Drawn | None = None
        self._drawing = 0  # the number of the drawing that goes on; 0 when none does
        self._drawings = 0  # how many were begun
        self._playhead = Playhead()
        self._look = _ALL
        self._ticked_at = 0.0

    def body(self) -> ComposeResult:
        yield Static("", id="settings", markup=False)
        with Horizontal(id="looks"):
            for look in LOOKS:
                yield LookPane("Looking for runs …", id=look)
        yield Timeline()
        yield Readout()
        yield Static("", id="command", markup=False)

    def on_mount(self) -> None:
        self._timer = self.set_interval(_TICK, self._tick, pause=True)
        self._choose_look(_ALL)

    def on_screen_resume(self) -> None:
        current = self.workbench.current_run
        if current is not None and current != self._seen_current:
            self._seen_current = current
            if self._settings is None or current != self._settings.run:
                self._forget()
        self._read_runs(current if self._settings is None else self._settings.run)
        self._pace()

    def on_screen_suspend(self) -> None:
        self._timer.pause()

    def _forget(self) -> None:
        """Make room for another run."""
        self.action_cancel()
        self._settings = self._drawn = None
        self._playhead = Playhead(speed=self._playhead.speed)
        self.query_one(Timeline).frames = 0
        self.query_one(Readout).parts = ("", "")
        self._say("Looking for checkpoints …")

    # --- Runs ----------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def _read_runs(self, wanted: Run | None) -> None:
        """Find out what there is to draw with: the wanted run, else the newest that can."""
        worker = get_current_worker()
        try:
            listed = list_runs(self.workbench.runs_dir)
            able = (run for run in listed if list_checkpoints(run))
            chosen = wanted or next(able, None) or next(iter(listed), None)
            offer = None if chosen is None else RunOffer.read(chosen)
            others = [run for run in listed[:_RUNS_OFFERED] if list_checkpoints(run)]
        except EngineError as error:
            if not worker.is_cancelled:
                self.post_message(RunsUnread(error))
            return
        from engine.device import resolve_device  # brings torch

        quick = resolve_device("auto").type == "cpu"
        if not worker.is_cancelled:
            self.post_message(RunsRead(tuple(others), offer, quick))

    def on_runs_unread(self, message: RunsUnread) -> None:
        if self._drawn is None:
            self._say(str(message.error))

    def on_runs_read(self, message: RunsRead) -> None:
        self._runs = message.runs
        offer = message.offer
        if offer is None:
            self._say(NO_RUNS)
        elif self._settings is None:
            self._settings = offer.defaults(quick=message.quick)
            self._tell_settings()
            if not offer.checkpoints:
                self._say(NO_CHECKPOINT.format(run=offer.run.name))
        if offer is not None and offer.checkpoints and self._drawn is None and not self._drawing:
            self._say_ready()

    def _say(self, text: str) -> None:
        """A message in place of pictures."""
        for pane in self.query(LookPane):
            pane.border_title = ""
            pane.clear(clean(text) if pane.id == LOOKS[0] else "")
        self._choose_look(self._look)

    def _say_ready(self) -> None:
        if self._settings is not None:
            run, num = self._settings.run.name, pictures(self._settings.num)
            self._say(READY.format(num=num, run=run))

    def _tell_settings(self) -> None:
        settings = self._settings
        if settings is None:
            return
        checkpoint = settings.checkpoint
        drawn = self._drawn
        if drawn is not None and drawn.settings == settings:
            if not checkpoint.isdecimal():
                checkpoint += f" (step {drawn.step:,})"
            # `best` is another one tomorrow; the command should stay true.
            settings = replace(settings, checkpoint=str(drawn.step))
        parts = (
            settings.run.name,
            *settings.asked_for(),
            f"checkpoint {checkpoint}",
            settings.sampler,
            f"{settings.steps} of {settings.timesteps} timesteps",
            pictures(settings.num),
            f"seed {settings.seed}",
        )
        self.query_one("#settings", Static).update(clean(" · ".join(parts)))
        command = settings.command(self.workbench.runs_dir)
        self.query_one("#command", Static).update(clean(f"$ {command}"))

    # --- Drawing -------------------------------------------------------------------------------

    def action_draw(self) -> None:
        if self._settings is None:
            self.notify("There is no run to draw from yet; 1 lists the runs.")
            return
        self._drawings += 1
        self._drawing = self._drawings
        self._drawn = None
        self._playhead = Playhead(playing=True, speed=self._playhead.speed)
        self._tell_settings()
        self.query_one(Timeline).frames = 0
        self.query_one(Readout).parts = ("", "")
        self._say("Loading the network …" if self.workbench.torch_ready else "Loading torch …")
        self._draw(self._settings, self._drawing)

    @work(thread=True, exclusive=True, group="draw", exit_on_error=False)
    def _draw(self, settings: DrawSettings, number: int) -> None:
        worker = get_current_worker()
        try:
            from engine.config import override_sampling
            from engine.sampling import load_trained

            trained = load_trained(settings.run, which=settings.checkpoint)
            sampling = override_sampling(trained.config, settings.overrides())
            trajectory = _trajectory(trained, sampling)
            drawn = Drawn(settings, sampling, trained.step, trajectory)
            self.post_message(DrawingBegan(number, drawn))
            for step in trained.draw(sampling, settings.seed, range(settings.num)):
                if worker.is_cancelled:
                    break
                trajectory.append(step)
        except EngineError as error:
            self.post_message(DrawingEnded(number, error))
        else:
            self.post_message(DrawingEnded(number))

    def on_drawing_began(self, message: DrawingBegan) -> None:
        if message.number != self._drawing:
            return
        self._drawn = message.drawn
        trajectory = message.drawn.trajectory
        timeline = self.query_one(Timeline)
        timeline.frames = trajectory.num_steps + 1
        timeline.ends = (
            (trajectory.timesteps[0], trajectory.noise_levels[0]),
            (trajectory.timesteps[-1], trajectory.noise_levels[-1]),
        )
        self._tell_settings()
        self._choose_look(self._look)
        self._pace()

    def on_drawing_ended(self, message: DrawingEnded) -> None:
        if message.number != self._drawing:
            self._show()  # it was cancelled, and may have made a last step since
            return
        self._drawing = 0
        if message.error is not None:
            self._drawn = None
            self._say("Nothing was drawn. d tries again, o changes the settings.")
            self.workbench.complain(message.error)
        self._show()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error that is nobody's typing mistake, such as no memory left on the GPU."""
        if event.state is WorkerState.ERROR:
            if event.worker.group == "draw":
                self.action_cancel()
            text = clean(f"{type(event.worker.error).__name__}: {event.worker.error}", 300)
            self.notify(text, title="Not done", severity="error", timeout=20, markup=False)

    def action_cancel(self) -> None:
        """Stop drawing; what there is stays to be looked at."""
        if not self._drawing:
            return
        self._drawing = 0
        self.workers.cancel_group(self, "draw")
        if self._drawn is None:
            self._say_ready()
        self._show()

    # --- Looking -------------------------------------------------------------------------------

    def _pace(self) -> None:
        """Tick only while something moves: an idle screen sends nothing."""
        moves = self._drawn is not None and (bool(self._drawing) or self._playhead.playing)
        if moves and self.is_current:
            self._ticked_at = time.monotonic()
            self._timer.resume()
        else:
            self._timer.pause()

    def _tick(self) -> None:
        if self._drawn is None or output_backlog(self.app) > 0:
            return
        now = time.monotonic()
        self._playhead.advance(now - self._ticked_at, len(self._drawn.trajectory) - 1)
        self._ticked_at = now
        self._show()

    @on(LookPane.Exposed)
    def _show(self) -> None:
        """Bring pictures, timeline and readout in line with the playhead."""
        drawn, head = self._drawn, self._playhead
        frames = len(drawn.trajectory) if drawn is not None else 0
        if drawn is None or frames == 0:
            return
        trajectory = drawn.trajectory
        at_end = head.index == frames - 1
        if at_end and not self._drawing:
            head.playing = False
        for pane in self.query(LookPane):
            if pane.display and pane.id:
                pane.offer(for_display(trajectory.frame(head.index, pane.id)))
                _set_title(pane, head.index == trajectory.num_steps)
        timeline = self.query_one(Timeline)
        timeline.drawn, timeline.position = frames, head.index
        self.query_one(Readout).parts = self._figures(trajectory)
        if not self._drawing and not head.playing:
            self._timer.pause()

    def _figures(self, trajectory: Trajectory) -> tuple[str, str]:
        """Where the playhead is, and how x_t and the playing go there."""
        index, steps = self._playhead.index, trajectory.num_steps
        mean, std = trajectory.moments(index)
        if index < steps:
            where = (
                f"step {index + 1:>{len(str(steps))}}/{steps} · t = {trajectory.timesteps[index]}"
            )
            where += f" · noise √(1−ᾱ_t) {trajectory.noise_levels[index]:.3f}"
        else:
            where = f"the result, after {steps} steps"
        drawn = min(len(trajectory), steps)
        how = [f"x_t mean {mean:+.2f} std {std:.2f}", self._state(trajectory)]
        if self._drawing:
            how.append(f"drawn {drawn}")
        elif not trajectory.complete:
            how.append(f"stopped after {drawn}")
        how.append(f"{self._playhead.speed} steps/s")
        return where, " · ".join(how).replace("-", "−")

    def _state(self, trajectory: Trajectory) -> str:
        if self._playhead.playing:
            return "playing"
        return "done" if self._playhead.index == trajectory.num_steps else "paused"

    def _choose_look(self, look: str) -> None:
        self._look = look
        for name in (*LOOKS, _ALL):
            self.set_class(name == look, f"-look-{name}")

    # --- Keys ----------------------------------------------------------------------------------

    def action_toggle_play(self) -> None:
        if self._drawn is None:
            self.notify("d draws pictures first.")
            return
        head, trajectory = self._playhead, self._drawn.trajectory
        if not head.playing and head.index == trajectory.num_steps:
            head.position = 0.0  # play again
        head.playing = not head.playing
        self._show()
        self._pace()

    def action_scrub(self, by: int) -> None:
        self._move_to(max(self._playhead.index + by, 0))

    def action_scrub_to(self, index: int) -> None:
        self._move_to(index)

    def _move_to(self, index: int) -> None:
        """Show a frame and stay there; −1 is the newest, which is followed while more come."""
        if self._drawn is None or not len(self._drawn.trajectory):
            return
        last = len(self._drawn.trajectory) - 1
        self._playhead.move_to(last if index == -1 else index, last)
        self._playhead.playing = index == -1 and bool(self._drawing)
        self._show()
        self._pace()

    def action_speed(self, factor: float) -> None:
        self._playhead.change_speed(factor > 1)
        self._show()

    def action_look(self) -> None:
        cycle = (_ALL, *LOOKS) if self.has_class("-wide") else LOOKS
        shown = LOOKS[0] if self._look == _ALL and _ALL not in cycle else self._look
        self._choose_look(cycle[(cycle.index(shown) + 1) % len(cycle)])

    def action_settings(self) -> None:
        if self._settings is None:
            self.notify("There is no run to draw from yet; 1 lists the runs.")
            return

        def chosen(settings: DrawSettings | None) -> None:
            if settings is not None:
                self._settings = settings
                self.action_draw()

        self.app.push_screen(
            SampleSettings(self._settings, self._runs, self.workbench.runs_dir), chosen
        )

    def action_save(self) -> None:
        if self._drawn is None or not self._drawn.trajectory.complete:
            waiting = "when the last step is drawn" if self._drawing else "after d has drawn"
            self.notify(f"There is something to save {waiting}.")
            return
        self._save(self._drawn)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, drawn: Drawn) -> None:
        from engine.sample_files import save_samples

        trajectory, settings = drawn.trajectory, drawn.settings
        frames: list[Pixels] = [
            # What step i leaves is what step i + 1 sees.
            trajectory.frame(index + 1, "x_t")
            for index in frame_indices(trajectory.num_steps)
        ]
        try:
            files = save_samples(settings.run, frames, drawn.sampling, settings.seed, drawn.step)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
            return
        command = replace(settings, checkpoint=str(drawn.step)).command(self.workbench.runs_dir)
        text = clean(f"{files.png} and {files.gif.name}") + "\n" + clean(f"$ {command}")
        self.app.call_from_thread(self.notify, text, title="Saved", timeout=15, markup=False)


def _trajectory(trained: TrainedModel, sampling: SamplingConfig) -> Trajectory:
    """An empty one for what is about to be drawn.

    Raises:
        ConfigError: it would take too much memory.
    """
    from engine.schedule import inference_timesteps

    steps, num, shape = sampling.num_inference_steps, sampling.num, trained.image_shape
    needed = memory_needed(steps, num, shape)
    if needed > _MEMORY_LIMIT:
        raise ConfigError(
            f"{steps} steps of {num} pictures take {needed / 2**30:.1f} GB to look at",
            "Choose fewer pictures or fewer steps.",
        )
    schedule = trained.schedule
    timesteps = inference_timesteps(schedule.num_train_timesteps, steps, sampling.timestep_spacing)
    levels = schedule.noise_level.cpu()[timesteps].tolist()
    return Trajectory(timesteps, levels, num, shape)


def _set_title(pane: LookPane, is_result: bool) -> None:
    title = _RESULT_TITLE if is_result and pane.id == "x_t" else _TITLES[pane.id or ""]
    if pane.summary:
        title += f" · {pane.summary}"
    if pane.border_title != title:
        pane.border_title = title
