"""What all views share: the bar on top, the keys below, access to the app with its real type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult, RenderResult
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from ddpm_tui.sanitize import clean
from ddpm_tui.views.going_on import GoingOn
from ddpm_tui.views.jump import Jump, panes
from ddpm_tui.widgets.key_bar import KeyBar
from engine.errors import RunGoneError
from engine.runs.moved import gone, still_gone

if TYPE_CHECKING:
    from ddpm_tui.app import Workbench
    from engine.images import Pixels
    from engine.runs.folder import Run

# How often a view looks whether its runs are still there, in seconds.
_LOOK_EVERY = 1.0

VIEWS = (
    ("runs", "Runs"),
    ("train", "Train"),
    ("sample", "Sample"),
    ("forward", "Forward"),
    ("inspect", "Inspect"),
)


def for_display(pixels: Pixels) -> Pixels:
    """(N, C, H, W) -> (N, H, W) for grey or (N, H, W, 3) for colour, as `PixelGrid` takes it."""
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)


class TopBar(Widget):
    """The name, the views with their keys, and on the right what goes on in the background.

    A click on a view opens it.
    """

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; dock: top; }
    TopBar > .top-bar--here { background: $primary; color: $background; text-style: bold; }
    TopBar > .top-bar--name { text-style: bold; color: $primary; }
    TopBar > .top-bar--quiet { color: $foreground 75%; }
    TopBar > .top-bar--activity { color: $success; }
    TopBar > .top-bar--attention { color: $warning; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "top-bar--here",
        "top-bar--name",
        "top-bar--quiet",
        "top-bar--activity",
        "top-bar--attention",
    }
    ALLOW_SELECT = False

    activity: reactive[str] = reactive("")
    held_back: reactive[str] = reactive("")

    def __init__(self, view: str) -> None:
        super().__init__()
        self._view = view

    def on_mount(self) -> None:
        self.watch(self.app, "activity", self._follow)
        self.watch(self.app, "held_back", self._follow_link)

    def _follow(self, activity: str) -> None:
        self.activity = activity

    def _follow_link(self, held_back: str) -> None:
        self.held_back = held_back

    def _tabs(self) -> list[tuple[int, str, str]]:
        """Column, view and text of every tab; the name of the program goes where it is narrow."""
        table = cast("Workbench", self.app).key_table
        x = 10 if self.size.width >= 80 else 0
        tabs = []
        for view, title in VIEWS:
            if cast("Workbench", self.app).watches and view != self._view:
                continue
            text = f" {table[f'app.{view}'].display} {title} "
            tabs.append((x, view, text))
            x += len(text)
        return tabs

    def render(self) -> RenderResult:
        def style(part: str) -> str:
            return str(self.get_component_rich_style(f"top-bar--{part}", partial=True))

        text = Text(no_wrap=True, overflow="crop")
        for x, view, tab in self._tabs():
            if x and not text:
                text.append(" ddpm-tui ", style("name"))
            text.append(tab, style("here" if view == self._view else "quiet"))
        parts = [part for part in (self.held_back, self.activity) if part]
        activity = clean(" · ".join(parts), max(0, self.size.width - text.cell_len - 2))
        room = self.size.width - text.cell_len - len(activity) - 1
        text.append(" " * max(room, 1))
        waits = cast("Workbench", self.app).waits_for_room
        text.append(activity, style("attention" if waits else "activity"))
        return text

    def on_click(self, event: events.Click) -> None:
        for x, view, text in self._tabs():
            if x <= event.x < x + len(text):
                cast("Workbench", self.app).action_view(view)


class RunsLookedFor(Message):
    """Which of the runs of a view are gone."""

    def __init__(self, found: tuple[RunGoneError, ...]) -> None:
        super().__init__()
        self.found = found


class View(GoingOn, Screen[None]):
    """A screen of the workbench. Widgets with the class `pane` can be jumped to and enlarged."""

    VIEW: ClassVar[str]
    # The tab above that a view belongs to, where it has none of its own.
    TAB: ClassVar[str] = ""
    # The key that chooses another run for the view.
    CHOOSES_RUN: ClassVar[str] = ""

    DEFAULT_CSS = """
    View { layers: base jump; }
    View > #gone { display: none; height: auto; max-height: 4; padding: 0 1; color: $text-warning; }
    View.-gone > #gone { display: block; }
    """
    ALLOW_IN_MAXIMIZED_VIEW = "TopBar, KeyBar"

    # Textual's own declaration is no ClassVar, and mypy wants the two alike.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._jump: Jump | None = None
        self._gone: tuple[RunGoneError, ...] = ()

    def compose(self) -> ComposeResult:
        yield TopBar(self.TAB or self.VIEW)
        yield Static("", id="gone", markup=False)
        yield from self.body()
        yield KeyBar()

    def body(self) -> ComposeResult:
        """The widgets of the view."""
        raise TypeError(f"{type(self).__name__} has no body")

    @property
    def workbench(self) -> Workbench:
        return cast("Workbench", self.app)

    # --- Runs that somebody else deletes, renames or removes -----------------------------------

    @property
    def runs_shown(self) -> Sequence[Run]:
        """The runs that the view is about at present."""
        return ()

    def on_mount(self) -> None:
        self.set_interval(_LOOK_EVERY, self._look_for_runs)

    def on_screen_resume(self) -> None:
        self._look_for_runs()

    def _look_for_runs(self) -> None:
        if self.is_current and (self._gone or self.runs_shown):
            self._find_gone(tuple(self.runs_shown), self._gone)

    @work(thread=True, exclusive=True, group="gone", exit_on_error=False)
    def _find_gone(self, runs: Sequence[Run], known: Sequence[RunGoneError]) -> None:
        worker = get_current_worker()
        before = {error.name: error for error in known}
        found = [still_gone(run.path, before.get(run.name)) for run in runs]
        if not worker.is_cancelled:
            self.post_message(RunsLookedFor(tuple(error for error in found if error)))

    def on_runs_looked_for(self, message: RunsLookedFor) -> None:
        if [str(error) for error in message.found] == [str(error) for error in self._gone]:
            return
        came_back = bool(self._gone) and not message.found
        self._gone = message.found
        table = self.workbench.key_table
        keys = f"{table['app.runs'].display} lists the runs"
        if self.workbench.watches:
            keys = f"{table['app.leave'].display} quits"
        elif self.CHOOSES_RUN:
            keys = f"{table[self.CHOOSES_RUN].display} chooses another run, {keys}"
        # What happened in rows of its own, so that no command below is broken where it wraps.
        happened = "\n".join(clean(error.message, 400) for error in self._gone)
        helps = " · ".join([*(clean(error.hint, 400) for error in self._gone), keys])
        words = Content.assemble((happened, "bold"), f"\n{helps}")
        self.query_one("#gone", Static).update(words)
        self.set_class(bool(self._gone), "-gone")
        if came_back:
            self.run_came_back()

    def run_came_back(self) -> None:
        """What was gone is there again."""

    def is_here(self, run: Run) -> bool:
        """Whether a run can be used; says what became of one that cannot."""
        error = gone(run.path)
        if error is not None:
            self.workbench.complain(error)
        return error is None

    # --- Jump mode -----------------------------------------------------------------------------

    @property
    def jumping(self) -> bool:
        """Whether the next key goes to a pane."""
        return self._jump is not None

    def begin_jump(self) -> None:
        """Lay a letter over every pane; an enlarged one goes back to its place first."""
        if self.maximized is not None:
            self.minimize()
            return
        self._jump = Jump(self, panes(self))
        self._jump.show()

    @on(events.Resize)
    def _follow_panes(self) -> None:
        if self._jump is not None:
            self.call_after_refresh(self._jump.place)

    def end_jump(self, key: str) -> None:
        """Go where the key says; any other key only ends it."""
        jump, self._jump = self._jump, None
        if jump is not None:
            jump.press(key)
