"""Several runs beside one another: curves, figures, differences, pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.worker import get_current_worker

from ddpm_tui import keys
from ddpm_tui.comparing import sections
from ddpm_tui.sanitize import clean
from ddpm_tui.views.compare.colors import MOST
from ddpm_tui.views.compare.curves import RunCurves
from ddpm_tui.views.compare.feed import CompareFeed, Sides
from ddpm_tui.views.compare.samples import SideBySide
from ddpm_tui.views.compare.table import SideTable
from ddpm_tui.views.panes import PanedView
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.worker import sparing_the_training
from engine.compare.files import Row, write_comparison
from engine.compare.standing import GONE, Comparison, facts
from engine.errors import EngineError
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.compare.drawing import Drawn

# Below these, one pane at a time.
_SMALL_WIDTH, _SMALL_HEIGHT = 70, 20
# A frame of what is being drawn, at most so often.
_FRAME_SECONDS = 0.1
# Under the folder of the runs; without a run.json it is none of them.
_FOLDER = "comparisons"


class LaneNews(Message):
    """Something of the drawing of a run; `ticket` says of which drawing.

    Attributes:
        news: pictures, or why there are none; None while the checkpoint is loaded.
    """

    def __init__(self, ticket: int, index: int, news: Drawn | str | None) -> None:
        super().__init__()
        self.ticket, self.index, self.news = ticket, index, news


class CompareView(PanedView, PictureView):
    """Runs beside one another.

    Args:
        runs: at least one; of more than there are colours for, the first ones.
    """

    VIEW = "compare"
    TAB = "runs"
    AUTO_FOCUS = "#curves"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("compare")]
    PANES = ("curves", "scores", "samples", "differences")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012 - as in View

    DEFAULT_CSS = """
    CompareView #curves { height: 1fr; padding-right: 1; }
    CompareView #scores { height: auto; max-height: 50%; }
    CompareView #samples { height: 1fr; }
    CompareView #differences { height: auto; max-height: 33%; }
    CompareView.-low #differences { display: none; }
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._runs = tuple(runs)[:MOST]
        self._left_out = len(runs) - len(self._runs)
        self._feed = CompareFeed(self._runs, self.post_message)
        self._sides: Sides | None = None
        self._told_gone: frozenset[str] = frozenset()
        self._at: int | None = None  # the step of the grids that was asked for
        self._seed = 0
        self._which = "best"
        self._like: int | None = None
        self._ticket = 0

    def body(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with Vertical(id="left", classes="column"):
                yield RunCurves(message="No losses yet.", log_y=True, id="curves", classes="pane")
                yield SideTable(id="scores", classes="pane")
            with Vertical(id="right", classes="column"):
                yield SideBySide(self._runs, id="samples", classes="pane")
                yield SideTable(id="differences", classes="pane")

    @property
    def _curves(self) -> RunCurves:
        return self.query_one(RunCurves)

    @property
    def _samples(self) -> SideBySide:
        return self.query_one(SideBySide)

    def _table(self, name: str) -> SideTable:
        return self.query_one(f"#{name}", SideTable)

    def on_mount(self) -> None:
        self._feed.start()
        if self._left_out:
            self.notify(
                f"The first {MOST} are compared; {self._left_out} more would not be told apart.",
                severity="warning",
            )
        if len(self._runs) == 1:
            self.notify("One run is shown; mark several in the list to compare them.")

    def on_unmount(self) -> None:
        self._feed.close()

    def on_screen_resume(self) -> None:
        self._look()

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < _SMALL_WIDTH or event.size.height < _SMALL_HEIGHT
        if small != self.has_class("-small"):
            self.set_class(small, "-small")
            if small:
                self.show_alone(self.focused)
            else:
                self.show_all()
        self.call_after_refresh(self._show_tables)

    # --- What the folders say ------------------------------------------------------------------

    def on_sides_changed(self) -> None:
        if self.is_current:
            self._look()

    def _look(self) -> None:
        """Draw what the folders say; while another view is shown, it waits in the mailbox."""
        sides = self._feed.sides.take()
        if sides is None:
            return
        self._sides = sides
        self._tell_gone(sides.comparison)
        self._curves.show_sides(sides)  # which has the tables shown
        self._samples.show_sides(sides)

    def _tell_gone(self, comparison: Comparison) -> None:
        gone = {each.name: each for each in comparison.standings if each.status.state == GONE}
        for name in sorted(gone.keys() - self._told_gone):
            self.notify(
                clean(f"{gone[name].status.reason} What was known of it stays.", 400),
                severity="warning",
                timeout=12,
                markup=False,
            )
        self._told_gone = frozenset(gone)

    def on_run_curves_cursor_moved(self) -> None:
        self._show_tables()

    def _show_tables(self) -> None:
        """Where there is no room for a pane of their own, the differences follow the scores."""
        if self._sides is None:
            return
        comparison = self._sides.comparison
        names = [each.name for each in comparison.standings]
        scores, differences = sections(comparison)
        if row := self._curves.at_cursor():
            scores = replace(scores, rows=(row, *scores.rows))
        low = self.has_class("-low")
        self._table("scores").show_sections(names, [scores, differences] if low else [scores])
        self._table("differences").show_sections(names, [differences])

    # --- Drawing -------------------------------------------------------------------------------

    def action_draw(self) -> None:
        self._ticket += 1
        self._samples.begin(self._choice())
        source = None if self._like is None else self._runs[self._like]
        self._draw(self._ticket, self._seed, self._which, source)

    @work(thread=True, exclusive=True, group="draw", exit_on_error=False)
    def _draw(self, ticket: int, seed: int, which: str, source: Run | None) -> None:
        """A run after the other: the weights of eight need not fit into memory together."""
        from engine.compare.drawing import draw_run

        worker = get_current_worker()

        def superseded() -> bool:
            return worker.is_cancelled

        for index, run in enumerate(self._runs):
            if superseded():
                return
            self.post_message(LaneNews(ticket, index, None))
            shown = 0.0
            try:
                like = None if source is None else source.config().sampling
                with sparing_the_training(self.workbench.training):
                    for drawn in draw_run(
                        run, seed, like=like, which=which, device=self.workbench.device
                    ):
                        if superseded():
                            return
                        now = time.monotonic()
                        if drawn.done == drawn.of or now - shown > _FRAME_SECONDS:
                            shown = now
                            self.post_message(LaneNews(ticket, index, drawn))
            except EngineError as error:
                self.post_message(LaneNews(ticket, index, str(error)))
            except Exception as error:  # the other runs can be drawn all the same
                text = f"{type(error).__name__}: {error}"
                self.post_message(LaneNews(ticket, index, text))

    def on_lane_news(self, message: LaneNews) -> None:
        if message.ticket != self._ticket or not self._samples.drawn:
            return
        if message.news is None:
            self._samples.say_loading(message.index)
        elif isinstance(message.news, str):
            self._samples.fail(message.index, clean(message.news))
        else:
            self._samples.show_drawn(message.index, message.news)

    def _choice(self) -> str:
        """How the next pictures are drawn."""
        own = "each run's own sampler"
        like = own if self._like is None else f"the sampler of {self._runs[self._like].name}"
        which = "best checkpoints" if self._which == "best" else "newest checkpoints"
        return f"seed {self._seed} · {which} · {like}"

    def _tell_choice(self) -> None:
        self.notify(f"d draws with {self._choice()}.", markup=False)

    def action_seed(self) -> None:
        self._seed += 1
        self.action_draw()

    def action_weights(self) -> None:
        self._which = "last" if self._which == "best" else "best"
        self._tell_choice()

    def action_settings(self) -> None:
        """Each run's own, then those of every run in turn."""
        following = 0 if self._like is None else self._like + 1
        self._like = following if following < len(self._runs) else None
        self._tell_choice()

    def action_grids(self) -> None:
        """What is being drawn is not waited for."""
        self._ticket += 1
        self.workers.cancel_group(self, "draw")
        self._samples.show_grids()

    # --- Saving --------------------------------------------------------------------------------

    def action_save(self) -> None:
        if self._sides is not None:
            self._save(self._sides.comparison, self._samples.rows())

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, comparison: Comparison, rows: Sequence[Row]) -> None:
        try:
            files = write_comparison(self.workbench.runs_dir / _FOLDER, facts(comparison), rows)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
            return
        text = f"Saved {files.json}" + (f" and {files.png.name}" if files.png else ", no pictures")
        self.app.call_from_thread(self.notify, clean(text), timeout=12, markup=False)

    # --- Keys: the panes -----------------------------------------------------------------------

    def action_curve(self) -> None:
        self._curves.cycle_curve()

    def action_axis(self) -> None:
        self._curves.cycle_axis()

    def action_smooth(self) -> None:
        self._curves.toggle_smoothing()

    def action_log_y(self) -> None:
        self._curves.log_y = not self._curves.log_y

    def _focused_table(self) -> SideTable | None:
        return self.focused if isinstance(self.focused, SideTable) else None

    def action_move(self, by: int) -> None:
        if table := self._focused_table():
            table.scroll_runs(by)
        elif self._samples.has_focus:
            self.action_scrub(by)
        else:
            self._curves.move(by)

    def action_edge(self, index: int) -> None:
        if table := self._focused_table():
            table.scroll_rows(-10_000 if index == 0 else 10_000)
        elif self._samples.has_focus:
            self._scrub_to(index)
        else:
            self._curves.jump(to_end=index == -1)

    def action_scroll_rows(self, by: int) -> None:
        (self._focused_table() or self._table("scores")).scroll_rows(by)

    def action_scrub(self, by: int) -> None:
        """To earlier grids (−1), or later ones (+1); beyond the last, follow the newest."""
        sides = self._sides
        if sides is None or not sides.grids:
            return
        if self._samples.drawn:
            self.action_grids()
            return
        # By what was asked for last, not by what is here: keys are faster than files.
        here = self._samples.step if self._at is None else self._at
        places = list(sides.grids)
        following = places.index(here) + by if here in places else len(places) - 1
        self._scrub_to(max(following, 0))

    def _scrub_to(self, index: int) -> None:
        places = self._sides.grids if self._sides else ()
        if places:
            newest = index == -1 or index >= len(places)
            self._at = None if newest else places[index]
            self._feed.look_at(self._at)

    # --- Keys: one pane alone ------------------------------------------------------------------

    def action_full(self) -> None:
        """One pane, or all of them again; where there is room for one only, the next."""
        if self.has_class("-small"):
            panes = [self.query_one(f"#{name}") for name in self.PANES[:3]]
            alone = next((i for i, pane in enumerate(panes) if pane.has_class("-alone")), 0)
            self.show_alone(panes[(alone + 1) % len(panes)])
        elif self.is_full:
            self.show_all()
        else:
            self.show_alone(self.focused)

    def action_back(self) -> None:
        if self.is_full and not self.has_class("-small"):
            self.show_all()
        elif self._curves.cursor is not None:
            self._curves.jump(to_end=True)
        else:
            self.app.pop_screen()
