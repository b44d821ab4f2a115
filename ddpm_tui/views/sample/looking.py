"""Looking at a take: pictures, titles and figures at the playhead, and the keys that move it."""

from __future__ import annotations

import time

from textual import on

from ddpm_tui.views.base import for_display
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.views.sample.performer import Performer
from ddpm_tui.views.sample.playhead import Playhead
from ddpm_tui.views.sample.readout import Figures, LookPane, Readout
from ddpm_tui.views.sample.recording import LOOKS, Recording
from ddpm_tui.views.sample.settings import RunOffer
from ddpm_tui.widgets.pacing import output_backlog
from ddpm_tui.widgets.timeline import Timeline

TICK = 1 / 15  # seconds
_AHEAD = 0.3  # seconds of playing that are computed before they are looked at
ALL, BESIDE = "all", "beside"

NOTHING_YET = "d draws pictures first."

_TITLES = {
    "x_t": "x_t · what the network sees",
    "x0": "x̂_0 · the picture that it believes in",
    "eps": "ε · the noise that it sees, −3 … 3",
}
_SHORT = {"x_t": "x_t", "x0": "x̂_0", "eps": "ε"}
_RESULT_TITLE = "the result"


class Looking(PictureView):
    """A take on the screen, and where in it one is."""

    def __init__(self) -> None:
        super().__init__()
        self._offer: RunOffer | None = None
        self._recording: Recording | None = None
        self._performer: Performer | None = None
        self._playhead = Playhead()
        self._wanted_index = 0
        self._reading = False  # whether it is not known yet what there is to draw with
        self._coming = False  # whether a take has begun that has told nothing yet
        self._chosen = 0  # the picture that turns are about
        self._look = ALL
        self._ticked_at = 0.0

    def on_mount(self) -> None:
        self._timer = self.set_interval(TICK, self._tick, pause=True)
        self._choose_look(ALL)

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
            recipe, offer = recording.recipe, self._offer
            score = offer.score_of(recipe.run, recipe.checkpoint) if offer is not None else None
            self.query_one(Figures).show(recording, index, score)
        if not head.playing:
            self._timer.pause()

    def _show_pane(self, pane: LookPane, recording: Recording, index: int) -> None:
        lane = int(pane.id == BESIDE)
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
            asked = recording.asked(at, lane)
            captions = [f"{number} {words}".rstrip() for number, words in enumerate(asked)]
            pane.offer(pixels, captions)
        # Lane 1 is at its end last.
        is_result = index == recording.num_steps and (not lane or recording.complete)
        pane.entitle(self._title(recording, look, lane, is_result))

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
            where = f"the result, after {steps} step{'s' * (steps != 1)}"
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
        for name in (*LOOKS, ALL):
            self.set_class(name == shown, f"-look-{name}")

    def _shown_look(self) -> str:
        """The one look where there is only room for one."""
        return LOOKS[0] if self._look == ALL else self._look

    @property
    def _is_large(self) -> bool:
        return self.has_class("-large")

    def _say_nothing_yet(self) -> None:
        """Why a key that is about pictures has no effect."""
        if self._reading and self._performer is None:
            self.notify("Loading torch and looking for checkpoints …")
        elif self._performer is not None:
            self.notify("Loading torch and the network; the first step is still to come.")
        else:
            self.notify(NOTHING_YET)

    # --- Keys: through time --------------------------------------------------------------------

    def action_toggle_play(self) -> None:
        recording, head = self._recording, self._playhead
        if recording is None:
            self._say_nothing_yet()
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
            self._say_nothing_yet()
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
            self._say_nothing_yet()
            return
        self._wanted_index = min(index, recording.num_steps)
        self._playhead.move_to(self._wanted_index, recording.num_steps)
        if self._performer is not None:
            self._performer.want(self._wanted_index + 1)
        self._show()
        self._pace()

    def action_speed(self, factor: float) -> None:
        self._playhead.change_speed(factor > 1)
        if self._recording is None:
            self.notify(f"{self._playhead.speed} steps a second")
        self._show()

    def action_look(self) -> None:
        versus = self._recording is not None and len(self._recording.lanes) > 1
        cycle = (ALL, *LOOKS) if self.has_class("-wide") and not versus else LOOKS
        shown = LOOKS[0] if self._look == ALL and ALL not in cycle else self._look
        self._choose_look(cycle[(cycle.index(shown) + 1) % len(cycle)])
        self._show()

    def action_choose(self, by: int) -> None:
        if self._recording is None or not len(self._recording):
            self._say_nothing_yet()
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
