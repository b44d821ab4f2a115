"""Whose network looks at the images: the runs that have a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from ddpm_tui.sanitize import clean
from ddpm_tui.views.dialog import Dialog, DialogScreen, Options
from ddpm_tui.views.forward.prober import Network
from ddpm_tui.views.forward.schedules import describe
from ddpm_tui.widgets.choice import Choice
from engine.errors import EngineError
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, list_runs

_OFFERED = 200  # the newest; reading ten thousand configs takes a while
NONE_YET = "No run has a checkpoint yet. 1 lists the runs; n there trains one."


@dataclass(frozen=True)
class Trained:
    """A run with weights.

    Attributes:
        about: data set, schedule and newest step, for a person.
        steps: of its checkpoints, oldest first.
    """

    run: Run
    about: str
    steps: tuple[int, ...]


def trained_runs(runs_dir: Path) -> list[Trained]:
    """The newest runs that have a checkpoint and a config that can be read, newest first.

    Raises:
        RunError: the folder cannot be read.
    """
    found: list[Trained] = []
    for run in list_runs(runs_dir):
        steps = tuple(checkpoint.step for checkpoint in list_checkpoints(run))
        if not steps:
            continue
        try:
            config = run.config()
        except EngineError:
            continue  # the Runs view says what is wrong with it
        parts = (config.data.dataset, describe(config.diffusion), f"step {steps[-1]:,}")
        found.append(Trained(run, " · ".join(parts), steps))
        if len(found) == _OFFERED:
            break
    return found


class TrainedRead(Message):
    """What there is to choose from, or why nobody knows."""

    def __init__(self, found: Sequence[Trained], problem: str = "") -> None:
        super().__init__()
        self.found, self.problem = tuple(found), problem


class ChooseNetwork(DialogScreen[Network | None]):
    """Returns the network of a run's checkpoint, or None.

    Args:
        present: the network that looks now.
        wanted: the run to begin with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("j", "move('down')", "Down", show=False),
        Binding("k", "move('up')", "Up", show=False),
        Binding("left,h", "checkpoint(-1)", "Checkpoint before", show=False),
        Binding("right,l", "checkpoint(1)", "Next checkpoint", show=False),
    ]
    DEFAULT_CSS = """
    ChooseNetwork Options { max-height: 20; }
    ChooseNetwork #none { height: auto; color: $foreground 80%; }
    ChooseNetwork #which { height: 1; margin-top: 1; display: none; }
    ChooseNetwork.-tiny #which { margin-top: 0; }
    ChooseNetwork #which Label { width: 12; color: $text-muted; }
    ChooseNetwork.-some #which { display: block; }
    ChooseNetwork.-some #none { display: none; }
    """

    def __init__(self, runs_dir: Path, present: Network | None, wanted: Run | None) -> None:
        super().__init__()
        self._runs_dir, self._present, self._wanted = runs_dir, present, wanted
        self._found: tuple[Trained, ...] = ()

    def compose(self) -> ComposeResult:
        keys = ("enter chooses", "↑ ↓ run", "◂ ▸ checkpoint", "esc back")
        with Dialog("Whose network looks", keys):
            yield Static("Looking for checkpoints …", id="none", markup=False)
            yield Options()
            with Horizontal(id="which"):
                yield Label("checkpoint")
                yield Choice(["best"], id="checkpoint")

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._read()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _read(self) -> None:
        worker = get_current_worker()
        try:
            message = TrainedRead(trained_runs(self._runs_dir))
        except EngineError as error:
            message = TrainedRead((), str(error))
        if not worker.is_cancelled:
            self.post_message(message)

    def on_trained_read(self, message: TrainedRead) -> None:
        self._found = message.found
        self.query_one("#none", Static).update(clean(message.problem or NONE_YET))
        self.set_class(bool(self._found), "-some")
        options = self.query_one(OptionList)
        width = max((len(trained.run.name) for trained in self._found), default=0)
        for trained in self._found:
            options.add_option(
                Option(clean(f"{trained.run.name:<{min(width, 24)}}  {trained.about}", 200))
            )
        if self._found:
            wanted = self._present.run if self._present else self._wanted
            runs = [trained.run for trained in self._found]
            options.highlighted = runs.index(wanted) if wanted in runs else 0

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        trained, present = self._found[event.option_index], self._present
        values = ["best", "last", *(str(step) for step in reversed(trained.steps))]
        same = present is not None and present.run == trained.run and present.which in values
        which = present.which if present is not None and same else "best"
        self.query_one(Choice).set_values(values, which)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        told = self._present.told if self._present else True
        run = self._found[event.option_index].run
        self.dismiss(Network(run, self.query_one(Choice).value, told))

    def action_move(self, direction: str) -> None:
        options = self.query_one(OptionList)
        if direction == "down":
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_checkpoint(self, by: int) -> None:
        self.query_one(Choice).action_step(by)
