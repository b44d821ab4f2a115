"""The pictures of the runs beside one another: sample grids of the training, or drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Container
from textual.events import Resize

from ddpm_tui.views.base import for_display
from ddpm_tui.views.compare.colors import COLORS, numbered
from ddpm_tui.views.compare.feed import Sides
from ddpm_tui.views.train.titles import entitle
from ddpm_tui.widgets.pixels import PixelGrid
from engine.compare.differences import settings_of
from engine.compare.files import Row
from engine.images import Pixels
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.compare.drawing import Drawn


@dataclass
class _Lane:
    """What is shown of a run."""

    pixels: Pixels | None = None
    about: dict[str, Any] | None = None
    title: str = ""


def columns_for(count: int, width: int, height: int) -> int:
    """In how many columns `count` panes have the largest squares; a cell is twice as high."""

    def side(columns: int) -> float:
        rows = -(-count // columns)
        return min(width / columns, 2 * (height / rows - 1))

    return max(range(1, count + 1), key=lambda columns: (side(columns), -columns))


class SideBySide(Container, can_focus=True):
    """A grid of pictures a run."""

    DEFAULT_CSS = """
    SideBySide { layout: grid; grid-gutter: 0 1; }
    SideBySide PixelGrid {
        border-top: solid $foreground 20%; border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
    }
    SideBySide:focus { border-title-style: bold; }
    """

    def __init__(self, runs: Sequence[Run], *, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes)
        self._runs = tuple(runs)
        self._lanes = [_Lane() for _ in runs]
        self._sides: Sides | None = None
        self.drawn = False
        """Whether pictures that were drawn here are shown, and not the training's grids."""

    def compose(self) -> ComposeResult:
        for _ in self._runs:
            yield PixelGrid("Reading …")

    def on_mount(self) -> None:
        for pane in self.query(PixelGrid):
            self.watch(pane, "summary", self._entitle_all, init=False)

    def on_resize(self, event: Resize) -> None:
        columns = columns_for(len(self._runs), event.size.width, event.size.height)
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = -(-len(self._runs) // columns)
        self.call_after_refresh(self._entitle_all)

    def _pane(self, index: int) -> PixelGrid:
        return self.query(PixelGrid)[index]

    def _entitle(self, index: int, about: str) -> None:
        """The name of a run over its pictures; where there is room what is said of them, and how
        many are not seen.
        """
        self._lanes[index].title = about
        pane = self._pane(index)
        name = self._runs[index].name
        room = pane.outer_size.width - 2  # a cell of the border on either side
        parts = [part for part in (about, *pane.summary.split(" · ")) if part]
        while parts and cell_len(f"{index + 1} {' · '.join([name, *parts])}") > room:
            parts.pop()
        entitle(pane, " · ".join([numbered(index, name, room), *parts]))
        color = Color.parse(self.app.theme_variables.get(COLORS[index], COLORS[index]))
        if pane.styles.border_title_color != color:
            pane.styles.border_title_color = color

    def _entitle_all(self) -> None:
        for index, lane in enumerate(self._lanes):
            self._entitle(index, lane.title)

    # --- Grids of the training -----------------------------------------------------------------

    def show_sides(self, sides: Sides) -> None:
        """Show the grids that the folders have, unless pictures were drawn."""
        self._sides = sides
        if not self.drawn:
            self._show_grids()

    def show_grids(self) -> None:
        """The grids of the training again."""
        self.drawn = False
        self._lanes = [_Lane() for _ in self._runs]
        self._show_grids()

    def _show_grids(self) -> None:
        sides = self._sides
        if sides is None:
            return
        for index, snapshot in enumerate(sides.snapshots):
            grid = snapshot.grid if snapshot else None
            lane = self._lanes[index]
            if grid is None or grid.ema is None:
                lane.pixels, lane.about = None, None
                self._pane(index).clear("No sample grid; d draws.")
            elif lane.pixels is not grid.ema:
                lane.pixels = grid.ema
                lane.about = {"run": self._runs[index].name, "preview_step": grid.step}
                self._pane(index).show(for_display(grid.ema))
        self._tell(sides)

    @property
    def step(self) -> int | None:
        """The latest step whose grid is shown."""
        steps = [lane.about["preview_step"] for lane in self._lanes if lane.about]
        return None if self.drawn else max(steps, default=None)

    def _tell(self, sides: Sides) -> None:
        """The step, once where it is the same for all of them."""
        parts = ["samples"]
        steps = [lane.about["preview_step"] if lane.about else None for lane in self._lanes]
        shown = {step for step in steps if step is not None}
        if len(shown) == 1:
            parts.append(f"step {max(shown):,}")
        elif shown:
            parts.append("steps differ")
        for index, step in enumerate(steps):
            alone = step is not None and len(shown) > 1
            self._entitle(index, f"step {step:,}" if alone else "")
        if sides.at is not None:
            parts.append("end follows")
        if other := _noise_differs(sides):
            parts.append(f"{other} differ")
        entitle(self, " · ".join(parts))

    # --- Pictures that are drawn ---------------------------------------------------------------

    def begin(self, how: str) -> None:
        """Pictures are about to be drawn."""
        self.drawn = True
        entitle(self, f"drawn · {how}")
        for index in range(len(self._runs)):
            self._lanes[index] = _Lane()
            self._pane(index).clear("waiting")
            self._entitle(index, "")

    def say_loading(self, index: int) -> None:
        self._pane(index).clear("loading the checkpoint …")

    def show_drawn(self, index: int, drawn: Drawn) -> None:
        """Some steps of the reverse process of a run are done."""
        finished = drawn.done == drawn.of
        lane = self._lanes[index]
        lane.pixels = drawn.pixels if finished else None
        lane.about = (
            {
                "run": drawn.run.name,
                "step": drawn.step,
                "seed": drawn.seed,
                **drawn.sampling.model_dump(),
            }
            if finished
            else None
        )
        pane = self._pane(index)
        if finished:
            pane.show(for_display(drawn.pixels))
        else:
            pane.offer(for_display(drawn.pixels))
        self._entitle(index, f"step {drawn.step:,}" if finished else f"{drawn.done}/{drawn.of}")

    def fail(self, index: int, reason: str) -> None:
        """Why there are no pictures of a run."""
        self._lanes[index] = _Lane()
        self._pane(index).clear(reason)
        self._entitle(index, "not drawn")

    def rows(self) -> list[Row]:
        """What is shown, for a file."""
        return [Row(lane.about or {}, lane.pixels) for lane in self._lanes]


def _noise_differs(sides: Sides) -> str:
    """The setting by which the grids do not start from the same noise; empty when they do."""
    settings = [settings_of(each.config) for each in sides.snapshots if each and each.grid]
    if len({each["seed"] for each in settings}) > 1:
        return "seeds"
    shapes = {
        each.grid.ema.shape[1:]
        for each in sides.snapshots
        if each and each.grid and each.grid.ema is not None
    }
    return "image sizes" if len(shapes) > 1 else ""
