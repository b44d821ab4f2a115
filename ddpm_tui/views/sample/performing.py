"""Performing takes: what is sampled, one take after the other, and what becomes of a failure."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from ddpm_tui.sanitize import clean
from ddpm_tui.take_command import command
from ddpm_tui.views.sample.favourites import words_of
from ddpm_tui.views.sample.looking import Looking
from ddpm_tui.views.sample.performer import Models, Performed, Performer
from ddpm_tui.views.sample.playhead import Playhead
from ddpm_tui.views.sample.readout import LookPane
from ddpm_tui.views.sample.recording import LOOKS, Recording
from ddpm_tui.views.sample.settings import DrawSettings, pictures, start_advice
from ddpm_tui.widgets.timeline import Timeline
from engine.errors import EngineError, RunGoneError
from engine.runs.folder import Run
from engine.takes.recipe import FromNoise, Recipe


class Told(Message):
    """A performer has taken a step, begun, or failed."""

    def __init__(self, performer: Performer, news: Performed) -> None:
        super().__init__()
        self.performer, self.news = performer, news


class Performing(Looking):
    """A take of a run with its settings; another one replaces it, and undo goes back."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: DrawSettings | None = None
        self._models: Models | None = None
        self._before: Recording | None = None  # what a take that fails gives way to
        self._past: list[Recipe] = []  # what undo goes back to

    @property
    def runs_shown(self) -> tuple[Run, ...]:
        return (self._settings.run,) if self._settings is not None else ()

    def on_unmount(self) -> None:
        self._dismiss_performer()

    def _say(self, text: str) -> None:
        """A message in place of pictures."""
        for pane in self.query(LookPane):
            pane.entitle("")
            pane.clear(clean(text) if pane.id == LOOKS[0] else "")
        self._choose_look(self._look)

    def _tell_settings(self) -> None:
        """The lines above and below the pictures: what is sampled, what was done, the command."""
        settings, recording = self._settings, self._recording
        if settings is None:
            return
        advice: list[str] = []
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
            if isinstance(recipe.origin, FromNoise):
                # In front, where a narrow window shows it.
                advice = start_advice(recording.schedule, sampling)
            line = self._command(recipe)
        words = Content(clean(" · ".join(parts)))
        for text in advice:
            words = Content.assemble((text, "$text-warning"), " · ", words)
        self.query_one("#settings", Static).update(words)
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
            why = f"{error} " if isinstance(error, RunGoneError) else ""
            self._say(f"{why}Nothing was drawn. d tries again, o changes the settings.")
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
