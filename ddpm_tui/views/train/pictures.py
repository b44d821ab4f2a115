"""The sample grids of a run: the newest, or those of earlier steps, by EMA and raw weights."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize
from textual.message import Message

from ddpm_tui.feed import Grid, Snapshot
from ddpm_tui.views.base import for_display
from ddpm_tui.views.train.titles import entitle
from ddpm_tui.widgets.pixels import PixelGrid
from engine.images import Pixels

_WEIGHTS = ("ema", "raw", "both")
_TITLES = {"ema": "samples", "raw": "samples by the raw weights", "both": "samples, EMA and raw"}


class GridHistory(Container, can_focus=True):
    """The grid of a step; always the same seeds, so one sees the model grow."""

    DEFAULT_CSS = """
    GridHistory { layout: horizontal; }
    GridHistory.-stacked { layout: vertical; }
    GridHistory PixelGrid { width: 1fr; height: 1fr; }
    GridHistory #raw { display: none; }
    GridHistory.-raw #ema { display: none; }
    GridHistory.-raw #raw, GridHistory.-both #raw { display: block; }
    GridHistory.-both PixelGrid {
        border-top: solid $foreground 20%; border-title-color: $foreground 80%;
    }
    GridHistory:focus { border-title-style: bold; }
    """
    BORDER_TITLE: ClassVar[str] = "samples"

    class Wanted(Message):
        """The grid of another step should be brought; None is the newest."""

        def __init__(self, step: int | None) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._steps: tuple[int, ...] = ()
        self._total = 0
        self._at: int | None = None  # None follows the newest
        self._grid: Grid | None = None
        self._weights = "ema"
        self._painting = ""

    def compose(self) -> ComposeResult:
        yield PixelGrid("No samples yet.", id="ema")
        yield PixelGrid("", id="raw")

    def on_mount(self) -> None:
        for name, title in (("ema", "EMA"), ("raw", "raw")):
            self._pane(name).entitle(title)
            self.watch(self._pane(name), "summary", self._tell)

    def on_resize(self, event: Resize) -> None:
        # Cells are twice as high as wide.
        self.set_class(2 * event.size.height > event.size.width, "-stacked")

    def _pane(self, name: str) -> PixelGrid:
        return self.query_one(f"#{name}", PixelGrid)

    @property
    def follows(self) -> bool:
        """Whether the newest grid is shown as soon as it is there."""
        return self._at is None

    def clear(self, message: str) -> None:
        """Nothing of a run is known yet."""
        self._steps, self._at, self._grid, self._painting = (), None, None, ""
        for name in ("ema", "raw"):
            self._pane(name).clear(message)
        self._tell()

    def show_run(self, snapshot: Snapshot) -> None:
        """Draw the grid that a snapshot brings, if it is another one."""
        self._steps, self._total = snapshot.previews.ema, snapshot.status.total_steps
        if snapshot.grid is not None and snapshot.grid is not self._grid:
            wanted = self._at is None or snapshot.grid.step == self._at
            if wanted and not (self._painting and self.follows):
                self._grid = snapshot.grid
                self._draw(snapshot.grid)
        self._tell()

    def _draw(self, grid: Grid) -> None:
        missing = {
            "ema": "cannot be read",
            "raw": "none at this step",
        }
        pictures: dict[str, Pixels | None] = {"ema": grid.ema, "raw": grid.raw}
        for name, pixels in pictures.items():
            if pixels is None:
                self._pane(name).clear(missing[name])
            else:
                self._pane(name).show(for_display(pixels))

    def show_frame(self, pixels: Pixels, step: int, t: int, *, finished: bool) -> None:
        """A frame of the grid that is painted at present, unless one looks back."""
        self._painting = "" if finished else f"painting step {step:,}: t = {t}"
        if self.follows:
            self._pane("ema").offer(for_display(pixels))
        self._tell()

    def scrub(self, by: int) -> None:
        """To an earlier grid (−1), or a later one (+1); beyond the last, follow again."""
        if not self._steps:
            return
        here = len(self._steps) - 1 if self._at is None else bisect_left(self._steps, self._at)
        self._go(here + by)

    def scrub_to(self, index: int) -> None:
        """To the first grid (0), or to the newest and those that come after it (−1)."""
        if self._steps:
            self._go(index % len(self._steps))

    def _go(self, index: int) -> None:
        index = max(index, 0)
        newest = index >= len(self._steps) - 1
        self._at = None if newest else self._steps[index]
        self._grid = None
        self.post_message(self.Wanted(self._at))
        self._tell()

    def cycle_weights(self) -> None:
        """EMA, raw, or both beside each other."""
        self._weights = _WEIGHTS[(_WEIGHTS.index(self._weights) + 1) % len(_WEIGHTS)]
        self.set_class(self._weights == "raw", "-raw")
        self.set_class(self._weights == "both", "-both")
        self._tell()

    def _tell(self) -> None:
        title = _TITLES[self._weights]
        if self._painting and self.follows:
            title = self._painting
        elif self._steps:
            step = self._steps[-1] if self._at is None else self._at
            title += f" · step {step:,}"
        if self._at is not None:
            place = f"{bisect_left(self._steps, self._at) + 1}/{len(self._steps)}"
            title += f" of {self._total:,} · {place} · end follows"
        if self._weights != "both":  # each of both has a title of its own
            summary = self._pane(self._weights).summary
            title = " · ".join(part for part in (title, summary) if part)
        entitle(self, title)
