"""The Sample view: the reverse process, paused, stepped, turned and looked at at any t."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ddpm_tui import keys
from ddpm_tui.sanitize import clean
from ddpm_tui.take_command import command
from ddpm_tui.views.base import for_display
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.views.sample import forms
from ddpm_tui.views.sample.favourites import Favourites, words_of
from ddpm_tui.views.sample.forms import Place
from ddpm_tui.views.sample.painter import MaskPainter, Painted
from ddpm_tui.views.sample.performer import Models, Performed, Performer
from ddpm_tui.views.sample.playhead import Playhead
from ddpm_tui.views.sample.readout import Figures, LookPane, Readout
from ddpm_tui.views.sample.recording import LOOKS, Recording
from ddpm_tui.views.sample.settings import DrawSettings, RunOffer, SampleSettings, pictures
from ddpm_tui.widgets.pacing import output_backlog
from ddpm_tui.widgets.timeline import Timeline
from engine.errors import EngineError
from engine.runs.checkpoint import find_checkpoint, list_checkpoints
from engine.runs.folder import Run, list_runs, open_run
from engine.takes.recipe import FromNoise, Inpaint, Recipe

if TYPE_CHECKING:
    from engine.takes.favourites import Favourite

_RUNS_OFFERED = 100
_TICK = 1 / 15  # seconds
_AHEAD = 0.3  # seconds of playing that are computed before they are looked at
_ALL, _BESIDE = "all", "beside"

NO_RUNS = "There is no trained run yet. 1 lists the runs; n there trains a first model."
NO_CHECKPOINT = (
    "{run} has no checkpoint yet, so there is nothing to draw with. 2 shows its training, "
    "c saves a checkpoint there. o chooses another run."
)
READY = "d draws {num} from {run}. o changes the settings."
NOTHING_YET = "d draws pictures first."

_TITLES = {
    "x_t": "x_t · what the network sees",
    "x0": "x̂_0 · the picture that it believes in",
    "eps": "ε · the noise that it sees, −3 … 3",
}
_SHORT = {"x_t": "x_t", "x0": "x̂_0", "eps": "ε"}
_RESULT_TITLE = "the result"


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


class Told(Message):
    """A performer has taken a step, begun, or failed."""

    def __init__(self, performer: Performer, news: Performed) -> None:
        super().__init__()
        self.performer, self.news = performer, news


class SampleView(PictureView):
    """Perform takes: pause, step, look, and change what happens at any step."""

    VIEW = "sample"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("sample")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (28, "-tall")]  # noqa: RUF012

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
        self._offer: RunOffer | None = None
        self._seen_current: Run | None = None  # the workbench's current run, last time
        self._settings: DrawSettings | None = None
        self._models: Models | None = None
        self._performer: Performer | None = None
        self._recording: Recording | None = None
        self._before: Recording | None = None  # what a take that fails gives way to
        self._past: list[Recipe] = []  # what undo goes back to
        self._playhead = Playhead()
        self._wanted_index = 0
        self._coming = False  # whether a take has begun that has told nothing yet
        self._chosen = 0  # the picture that turns are about
        self._look = _ALL
        self._ticked_at = 0.0

    def body(self) -> ComposeResult:
        yield Static("", id="settings", markup=False)
        yield Static("", id="turns", markup=False)
        with Horizontal(id="looks"):
            for look in LOOKS:
                yield LookPane("Looking for runs …", id=look)
            yield LookPane("", id=_BESIDE)
            yield Figures()
        yield Timeline()
        yield Readout()
        yield Static("", id="command", markup=False)

    def on_mount(self) -> None:
        self._timer = self.set_interval(_TICK, self._tick, pause=True)
        self._choose_look(_ALL)

    def on_unmount(self) -> None:
        self._dismiss_performer()

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
            self.post_message(RunsRead(tuple(others), offer, quick))

    def on_runs_unread(self, message: RunsUnread) -> None:
        if self._recording is None:
            self._say(str(message.error))

    def on_runs_read(self, message: RunsRead) -> None:
        self._runs, self._offer = message.runs, message.offer
        offer = message.offer
        if offer is None:
            self._say(NO_RUNS)
        elif self._settings is None:
            self._settings = offer.defaults(quick=message.quick)
            self._tell_settings()
            if not offer.checkpoints:
                self._say(NO_CHECKPOINT.format(run=offer.run.name))
        idle = self._recording is None and self._performer is None
        if offer is not None and offer.checkpoints and idle:
            self._say_ready()

    def _say(self, text: str) -> None:
        """A message in place of pictures."""
        for pane in self.query(LookPane):
            pane.entitle("")
            pane.clear(clean(text) if pane.id == LOOKS[0] else "")
        self._choose_look(self._look)

    def _say_ready(self) -> None:
        if self._settings is not None:
            run, num = self._settings.run.name, pictures(self._settings.num)
            self._say(READY.format(num=num, run=run))

    def _tell_settings(self) -> None:
        """The lines above and below the pictures: what is sampled, what was done, the command."""
        settings, recording = self._settings, self._recording
        if settings is None:
            return
        if recording is None:
            parts = [
                settings.run.name,
                *settings.asked_for(),
                f"checkpoint {settings.checkpoint}",
                settings.sampler,
                f"{settings.steps} of {settings.timesteps} timesteps",
                pictures(settings.num),
                f"seed {settings.seed}",
            ]
            line = settings.command(self.workbench.runs_dir)
        else:
            recipe, sampling = recording.recipe, recording.recipe.sampling
            asked = [sampling.prompt] if sampling.prompt else []
            if sampling.guidance_scale != 1:
                asked.append(f"guidance {sampling.guidance_scale:g}")
            variance = f" {sampling.variance_type}" if sampling.sampler == "ddpm" else ""
            parts = [
                recipe.run,
                *asked,
                f"checkpoint at step {recipe.checkpoint:,}",
                sampling.sampler + variance,
                f"{sampling.num_inference_steps} of "
                f"{recording.schedule.num_train_timesteps} timesteps",
                pictures(recipe.num),
                f"seed {recipe.seed}",
            ]
            line = self._command(recipe)
        self.query_one("#settings", Static).update(clean(" · ".join(parts)))
        self.query_one("#command", Static).update(clean(f"$ {line}", 2000))
        turned = recording is not None and bool(
            recording.recipe.turns
            or recording.recipe.versus
            or not isinstance(recording.recipe.origin, FromNoise)
        )
        self.set_class(turned, "-turned")
        if recording is not None and turned:
            done = words_of(recording.recipe).split(" · ", 3)[3:]
            self.query_one("#turns", Static).update(clean(f"{''.join(done)} · u takes back"))

    def _command(self, recipe: Recipe) -> str:
        try:
            return command(recipe, self.workbench.runs_dir)
        except EngineError as error:
            return str(error)

    # --- Performing ----------------------------------------------------------------------------

    def action_draw(self) -> None:
        settings = self._settings
        if settings is None:
            self.notify("There is no run to draw from yet; 1 lists the runs.")
            return

        def recipe() -> Recipe:
            from engine.config import override_sampling

            sampling = override_sampling(settings.run.config(), settings.overrides())
            step = find_checkpoint(settings.run, settings.checkpoint).step
            return Recipe(settings.run.name, step, sampling, settings.seed)

        self._recording = None
        self._past.clear()
        self._chosen = 0
        self._tell_settings()
        self._empty()
        self._say("Loading the network …" if self.workbench.torch_ready else "Loading torch …")
        self._perform(recipe, settings.run, at=0)

    def _dismiss_performer(self) -> None:
        if self._performer is not None:
            self._performer.stop()
            self._performer = None

    def _perform(
        self, make: Callable[[], Recipe], run: Run, *, at: int, playing: bool = True
    ) -> None:
        """Begin a take; what it shares with the one on the screen is not computed again."""
        self._dismiss_performer()
        if self._models is None:
            self._models = Models(self.workbench.device)
        training = self.workbench.training
        self._before = self._recording
        self._performer = Performer(
            run,
            make,
            self._models,
            earlier=self._recording,
            data_dir=self.workbench.data_dir,
            modest=training is not None and training.alive,
            tell=self._told,
        )
        self._playhead = Playhead(float(at), playing, self._playhead.speed)
        self._wanted_index, self._coming = at, True
        self._performer.want(at + 1)
        self._performer.start()

    def _told(self, performer: Performer, news: Performed) -> None:
        """In the performer's thread."""
        self.post_message(Told(performer, news))

    def _change(self, recipe: Recipe | None, at: int) -> None:
        """Perform another recipe of the run that is on the screen; undo comes back to this one."""
        if recipe is None or self._recording is None or self._settings is None:
            return
        self._past.append(self._recording.recipe)
        self._perform(lambda: recipe, self._settings.run, at=at)

    def on_told(self, message: Told) -> None:
        if message.performer is not self._performer:
            return  # of a take that was given up
        self._coming = False
        recording, error = message.news.recording, message.news.error
        if error is not None:
            self._failed(error)
            return
        if recording is not None and recording is not self._recording:
            self._recording, self._before = recording, None
            self._prepare_timeline(recording)
            self._tell_settings()
            self._choose_look(self._look)
            self._pace()
        if not self._playhead.playing:
            self._show()

    def _failed(self, error: Exception) -> None:
        """Say what is wrong, and go back to what there was before."""
        self._performer = None
        if isinstance(error, EngineError):
            self.workbench.complain(error)
        else:
            text = clean(f"{type(error).__name__}: {error}", 300)
            self.notify(text, title="Not done", severity="error", timeout=20, markup=False)
        kept = self._before or self._recording
        if kept is None or self._settings is None:
            self._say("Nothing was drawn. d tries again, o changes the settings.")
            return
        self._recording = kept
        if self._past and self._past[-1] == kept.recipe:
            self._past.pop()
        recipe, at = kept.recipe, min(self._playhead.index, max(len(kept) - 1, 0))
        # The same failure again would go on for ever.
        if self._before is not None and len(kept):
            self._perform(lambda: recipe, self._settings.run, at=at, playing=False)
        self._show()

    def _prepare_timeline(self, recording: Recording) -> None:
        lane, timeline = recording.lanes[0], self.query_one(Timeline)
        timeline.frames = recording.num_steps + 1
        timeline.ends = (
            (lane.path[0].t, lane.noise_levels[0]),
            (lane.path[-1].t, lane.noise_levels[-1]),
        )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            text = clean(f"{type(event.worker.error).__name__}: {event.worker.error}", 300)
            self.notify(text, title="Not done", severity="error", timeout=20, markup=False)

    # --- Looking -------------------------------------------------------------------------------

    def _pace(self) -> None:
        """Tick only while something plays: an idle screen sends nothing, a paused one computes
        nothing."""
        if self._recording is not None and self._playhead.playing and self.is_current:
            self._ticked_at = time.monotonic()
            self._timer.resume()
        else:
            self._timer.pause()

    def _tick(self) -> None:
        recording, head = self._recording, self._playhead
        if recording is None or self._coming or output_backlog(self.app) > 0:
            return
        now = time.monotonic()
        head.advance(now - self._ticked_at, len(recording) - 1)
        self._ticked_at = now
        if self._performer is not None:
            self._performer.want(head.index + 2 + round(_AHEAD * head.speed))
        self._show()

    @on(LookPane.Exposed)
    def _show(self) -> None:
        """Bring pictures, timeline and readout in line with the playhead."""
        recording, head = self._recording, self._playhead
        frames = 0 if recording is None else len(recording)
        if recording is None or frames == 0 or self._coming:
            return
        if not head.playing:
            # A frame that was asked for before it was there.
            head.position = float(min(self._wanted_index, frames - 1))
        index = min(head.index, frames - 1)
        if index == recording.num_steps:
            head.playing = False
            self._wanted_index = index
        for pane in self.query(LookPane):
            if pane.display and pane.id:
                self._show_pane(pane, recording, index)
        timeline = self.query_one(Timeline)
        timeline.drawn, timeline.position = frames, index
        self.query_one(Readout).parts = self._figures(recording, index)
        if self.has_class("-figures"):
            self.query_one(Figures).show(recording, index)
        if not head.playing:
            self._timer.pause()

    def _show_pane(self, pane: LookPane, recording: Recording, index: int) -> None:
        lane = int(pane.id == _BESIDE)
        look = self._shown_look() if lane else str(pane.id)
        at = index
        if lane:
            if len(recording.lanes) == 1:
                return
            at = recording.beside(index)
            if at < 0:
                pane.clear("")
                return
        pixels = for_display(recording.frame(at, look, lane))
        self._chosen = min(self._chosen, len(pixels) - 1)
        if self._is_large:
            pane.offer(pixels[self._chosen : self._chosen + 1])
        else:
            pane.selected = self._chosen
            pane.offer(pixels, [str(number) for number in range(len(pixels))])
        pane.entitle(self._title(recording, look, lane, index == recording.num_steps))

    def _title(self, recording: Recording, look: str, lane: int, is_result: bool) -> str:
        result = is_result and look == "x_t"
        if len(recording.lanes) == 1:
            title = _RESULT_TITLE if result else _TITLES[look]
        else:
            own = recording.lanes[lane].recipe
            values = {**own.sampling.model_dump(), "checkpoint": own.checkpoint}
            told = (f"{key} {values[key]}" for key in recording.recipe.versus)
            title = " · ".join((_RESULT_TITLE if result else _SHORT[look], *told))
        return f"{title} · picture {self._chosen}" if self._is_large else title

    def _figures(self, recording: Recording, index: int) -> tuple[str, str]:
        """Where the playhead is, and how x_t and the playing go there."""
        steps, lane = recording.num_steps, recording.lanes[0]
        figures = recording.statistics(index)
        if index < steps:
            where = f"step {index + 1:>{len(str(steps))}}/{steps} · t = {lane.path[index].t}"
            where += f" · noise √(1−ᾱ_t) {lane.noise_levels[index]:.3f}"
        else:
            where = f"the result, after {steps} steps"
        how = [f"x_t mean {figures.mean:+.2f} std {figures.std:.2f}", self._state(recording, index)]
        if not recording.complete:
            how.append(f"computed {min(len(recording), steps)}")
        how += [f"{self._playhead.speed} steps/s", f"picture {self._chosen}"]
        return where, " · ".join(how).replace("-", "−")

    def _state(self, recording: Recording, index: int) -> str:
        if self._playhead.playing:
            return "playing"
        return "done" if index == recording.num_steps else "paused"

    def _choose_look(self, look: str) -> None:
        self._look = look
        versus = self._recording is not None and len(self._recording.lanes) > 1
        self.set_class(versus, "-versus")
        shown = self._shown_look() if versus else look
        for name in (*LOOKS, _ALL):
            self.set_class(name == shown, f"-look-{name}")

    def _shown_look(self) -> str:
        """The one look where there is only room for one."""
        return LOOKS[0] if self._look == _ALL else self._look

    @property
    def _is_large(self) -> bool:
        return self.has_class("-large")

    # --- Keys: through time --------------------------------------------------------------------

    def action_toggle_play(self) -> None:
        recording, head = self._recording, self._playhead
        if recording is None:
            self.notify(NOTHING_YET)
            return
        if not head.playing and head.index == recording.num_steps:
            head.position = 0.0  # play again
        head.playing = not head.playing
        self._wanted_index = head.index
        if not head.playing and self._performer is not None:
            self._performer.want(head.index + 1)  # the process itself waits
        self._show()
        self._pace()

    def action_cancel(self) -> None:
        """All pictures again, else pause."""
        if self._is_large:
            self.action_large()
        elif self._playhead.playing and self._recording is not None:
            self.action_toggle_play()

    def action_scrub(self, by: int) -> None:
        self._move_to(max(self._playhead.index + by, 0))

    def action_scrub_to(self, index: int) -> None:
        recording = self._recording
        if recording is None:
            return
        if index == -1 and not recording.complete:
            # Play there: who skips the way to the end does not see it, but it has to be taken.
            self._playhead.position = float(max(len(recording) - 1, 0))
            self._playhead.playing = True
            self._pace()
            return
        self._move_to(recording.num_steps if index == -1 else index)

    def _move_to(self, index: int) -> None:
        """Show a frame and stay there; what is not computed yet is."""
        recording = self._recording
        if recording is None:
            return
        self._wanted_index = min(index, recording.num_steps)
        self._playhead.move_to(self._wanted_index, recording.num_steps)
        if self._performer is not None:
            self._performer.want(self._wanted_index + 1)
        self._show()
        self._pace()

    def action_speed(self, factor: float) -> None:
        self._playhead.change_speed(factor > 1)
        self._show()

    def action_look(self) -> None:
        versus = self._recording is not None and len(self._recording.lanes) > 1
        cycle = (_ALL, *LOOKS) if self.has_class("-wide") and not versus else LOOKS
        shown = LOOKS[0] if self._look == _ALL and _ALL not in cycle else self._look
        self._choose_look(cycle[(cycle.index(shown) + 1) % len(cycle)])
        self._show()

    def action_choose(self, by: int) -> None:
        if self._recording is None or not len(self._recording):
            return
        index = min(self._playhead.index, len(self._recording) - 1)
        self._chosen = (self._chosen + by) % len(self._recording.values(index))
        self._show()

    def action_large(self) -> None:
        self.toggle_class("-large")
        self.action_whole_pictures()
        self._show()

    def action_figures(self) -> None:
        self.toggle_class("-figures")
        self._show()

    # --- Keys: turns ---------------------------------------------------------------------------

    def _place(self) -> Place | None:
        """Where one is, and what can be done there; says so when that is nowhere."""
        recording = self._recording
        if recording is None or not len(recording):
            self.notify(NOTHING_YET)
            return None
        if self._playhead.playing:
            self.action_toggle_play()
        index = min(self._playhead.index, len(recording) - 1)
        path = recording.lanes[0].path

        def check(recipe: Recipe) -> None:
            from engine.prompts import parse_prompt
            from engine.takes.recipe import Ask, Branch
            from engine.takes.versus import lay_lanes

            lay_lanes(recording.schedule, recipe)
            for turn in recipe.turns:
                asked = turn.prompts if isinstance(turn, Branch) else ()
                if isinstance(turn, Ask) and turn.prompt:
                    asked = (turn.prompt,)
                for prompt in asked:
                    parse_prompt(prompt, names)

        names = self._offer.class_names if self._offer is not None else ()
        t = path[index].t if index < len(path) else -1
        return Place(recording.recipe, index, t, self._chosen, names, check)

    def _question(self, form: Screen[Recipe | None], at: int) -> None:
        self.app.push_screen(form, lambda recipe: self._change(recipe, at))

    def action_ask(self) -> None:
        if place := self._place():
            self._question(forms.ask(place), place.at)

    def action_renoise(self) -> None:
        if (place := self._place()) and self._recording is not None:
            total = self._recording.schedule.num_train_timesteps
            self._question(forms.renoise(place, total), place.at)

    def action_branch(self) -> None:
        if place := self._place():
            self._question(forms.branch(place), place.at)

    def action_start(self) -> None:
        if (place := self._place()) and self._settings is not None:
            grids = sorted(self._settings.run.samples_path.glob("*.png"), key=_changed)
            self._question(forms.start(place, grids[-1].name if grids else ""), 0)

    def action_compare(self) -> None:
        if place := self._place():
            checkpoints = self._offer.checkpoints if self._offer is not None else ()
            self._question(forms.compare(place, checkpoints[::-1]), 0)

    def action_mask(self) -> None:
        """Paint on what the network believes in at this step, or on the finished picture."""
        place, recording, settings = self._place(), self._recording, self._settings
        if place is None or recording is None or settings is None:
            return
        at_end = place.at == recording.num_steps
        believed = recording.frame(place.at, "x_t" if at_end else "x0")
        at = place.at if at_end else place.at + 1

        def painted(answer: Painted | None) -> None:
            from engine.takes.sources import save_mask

            if answer is None:
                return
            try:
                name = save_mask(settings.run, answer.repaint)
                recipe = place.then(Inpaint(at, place.picture, name, answer.copies))
            except EngineError as error:
                self.workbench.complain(error)
            else:
                self._chosen = 0
                self._change(recipe, at)

        self.app.push_screen(MaskPainter(believed[place.picture]), painted)

    def action_undo(self) -> None:
        if not self._past or self._recording is None or self._settings is None:
            self.notify("There is no turn to take back.")
            return
        recipe = self._past.pop()
        turns = self._recording.recipe.turns
        at = turns[-1].at if len(turns) > len(recipe.turns) else 0
        self._perform(lambda: recipe, self._settings.run, at=at, playing=False)

    def action_settings(self) -> None:
        if self._settings is None:
            self.notify("There is no run to draw from yet; 1 lists the runs.")
            return

        def chosen(settings: DrawSettings | None) -> None:
            if settings is not None:
                self._settings = settings
                self.action_draw()
                self._read_runs(settings.run)

        self.app.push_screen(
            SampleSettings(self._settings, self._runs, self.workbench.runs_dir), chosen
        )

    # --- Keys: keeping -------------------------------------------------------------------------

    def action_keep(self) -> None:
        recording, settings = self._recording, self._settings
        if recording is None or settings is None or not len(recording):
            self.notify(NOTHING_YET)
            return
        from engine.takes.favourites import add_favourite

        image = None
        if recording.complete:
            image = recording.frame(recording.num_steps)[self._chosen]
        try:
            kept = add_favourite(settings.run, recording.recipe, self._chosen, image)
        except EngineError as error:
            self.workbench.complain(error)
            return
        where = kept.thumbnail or settings.run.path
        self.notify(
            clean(f"picture {self._chosen} is a favourite: {where}. S lists them."), markup=False
        )

    def action_favourites(self) -> None:
        if self._settings is None:
            self.notify("There is no run yet; 1 lists the runs.")
            return

        def chosen(favourite: Favourite | None) -> None:
            if favourite is None:
                return
            try:
                run = open_run(self.workbench.runs_dir, favourite.recipe.run)
            except EngineError as error:
                self.workbench.complain(error)
                return
            if self._recording is not None:
                self._past.append(self._recording.recipe)
            self._chosen = favourite.picture
            self._perform(lambda: favourite.recipe, run, at=0)

        self.app.push_screen(Favourites(self._settings.run), chosen)

    def action_copy_command(self) -> None:
        if self._recording is None:
            self.notify(NOTHING_YET)
            return
        line = self._command(self._recording.recipe)
        self.app.copy_to_clipboard(line)
        self.notify(clean(f"$ {line}", 2000), title="Copied", markup=False)

    def action_save(self, every_step: bool = False) -> None:
        recording, settings = self._recording, self._settings
        if recording is None or settings is None or not recording.complete:
            self.notify("There is something to save after the last step; End plays there.")
            return
        self._save(recording, settings.run, every_step)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, recording: Recording, run: Run, every_step: bool) -> None:
        from engine.takes.files import save_take

        steps = (
            (lane, step) for lane in range(len(recording.lanes)) for step in recording.steps(lane)
        )
        try:
            files = save_take(run, recording.recipe, recording.lanes, steps, trajectory=every_step)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
            return
        names = [str(files.png), files.gif.name, files.recipe.name]
        names += [path.name for path in files.trajectories]
        text = clean("\n".join(names)) + "\n" + clean(f"$ {self._command(recording.recipe)}", 2000)
        self.app.call_from_thread(self.notify, text, title="Saved", timeout=15, markup=False)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
