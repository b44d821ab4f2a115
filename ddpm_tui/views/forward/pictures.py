"""The images of the Forward view, beside each other and in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize
from textual.markup import escape

from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import for_display
from ddpm_tui.views.train.titles import entitle
from ddpm_tui.widgets.pixels import PixelGrid, layout
from engine.images import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ddpm_tui.views.forward.prober import Seen

_TITLE_ROOM = 18  # cells that the title of a column of the strip takes with its t
NO_PREDICTION = "there is no noise to see through yet"
ASKING = "the network is being asked …"


class Column(PixelGrid):
    """Images below each other: as many as fit, so that neighbouring columns stay in step."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._stack: tuple[Pixels, tuple[str, ...] | None] | None = None

    def stack(self, images: Pixels, labels: Sequence[str] | None = None) -> None:
        """Show the first of these images, (N, H, W) or (N, H, W, 3), with captions or without."""
        self._stack = images, None if labels is None else tuple(labels)
        self._restack()

    def clear(self, message: str = "") -> None:
        self._stack = None
        super().clear(message)

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self._restack()

    def _restack(self) -> None:
        columns, rows = self.size
        if self._stack is None or not columns or not rows:
            return
        images, labels = self._stack
        height, width = images.shape[1:3]
        one = layout(1, height, width, columns, rows, captions=labels is not None)
        if one.enlarge > 1:  # rather more images than a larger one
            room = min(columns, 2 * width - 1)
            one = layout(1, height, width, room, rows, captions=labels is not None)
        # A caption takes the place of the gap below its image; below the last is no gap.
        fit = (rows + (0 if one.captions else 1)) // (one.height + 1)
        shown = max(fit, 1)
        self.show(images[:shown], labels[:shown] if labels and one.captions else None)


class Pictures(Horizontal):
    """The images under two schedules, the article's strip, or what a network makes of them.

    All that are shown get the same width to the cell, so that they look alike.
    """

    DEFAULT_CSS = """
    Pictures PixelGrid {
        border-top: solid $foreground 25%; border-title-color: $foreground 80%; display: none;
    }
    Pictures.-beside .side, Pictures.-strip Column, Pictures.-network Column { display: block; }
    Pictures.-network #column-4 { display: none; }
    """

    def __init__(self, *, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes)
        self._offset = 0

    def compose(self) -> ComposeResult:
        yield PixelGrid("Loading torch and the images …", id="side-a", classes="side")
        yield PixelGrid("", id="side-b", classes="side")
        for index in range(5):
            yield Column(id=f"column-{index}")

    def choose(self, mode: str) -> None:
        """`beside`, `strip` or `network`."""
        for name in ("beside", "strip", "network"):
            self.set_class(name == mode, f"-{name}")
        self._divide()

    def begin_with(self, image: int) -> None:
        """Which image comes first in what is shown from now on; those before it come last."""
        self._offset = image

    def on_resize(self) -> None:
        self._divide()

    def _divide(self) -> None:
        shown = [child for child in self.children if child.display]
        for child in shown:
            child.styles.width = max(self.size.width // len(shown), 1)

    def say(self, text: str) -> None:
        """A message in place of images."""
        for grid in self.query(PixelGrid):
            grid.clear(clean(text) if grid.id in ("side-a", "column-0") else "")

    def show_beside(
        self, pictures: Sequence[Pixels], titles: Sequence[str], names: Sequence[str]
    ) -> None:
        """A and B, uint8 (N, C, H, W) each."""
        for which, images, title in zip("ab", pictures, titles, strict=True):
            grid = self.query_one(f"#side-{which}", PixelGrid)
            grid.offer(self._turned(images), self._turned_list(names))
            entitle(grid, escape(clean(title)))

    def show_strip(self, pictures: Sequence[Pixels], stations: Sequence[tuple[str, int]]) -> None:
        """The originals and the article's four stations."""
        for index, (images, (label, t)) in enumerate(zip(pictures, stations, strict=True)):
            column = self.query_one(f"#column-{index}", Column)
            column.stack(self._turned(images))
            roomy = t >= 0 and column.size.width >= _TITLE_ROOM
            entitle(column, f"{label} · t = {t}" if roomy else label)

    def show_noised(
        self, originals: Pixels, x_t: Pixels, error: NDArray[Any], t: int, names: Sequence[str]
    ) -> None:
        """x_0 and x_t, at once; what the network makes of them follows."""
        captions = (names, [f"MSE {value:.3f}" for value in error])
        titles = ("x_0", f"x_t, t = {t}" if t >= 0 else "no noise yet")
        for index, images in enumerate((originals, x_t)):
            column = self.query_one(f"#column-{index}", Column)
            column.stack(self._turned(images), self._turned_list(captions[index]))
            entitle(column, titles[index])
        if t < 0:
            self._say_of_predictions(NO_PREDICTION)

    def show_seen(self, seen: Seen, t: int) -> None:
        """x̂_0 and |x̂_0 − x_0|; of another t, while the network is still asked about this one."""
        captions = (
            [f"MSE {value:.3f}" for value in seen.x0_error],
            [f"max {value:.2f}" for value in seen.largest],
        )
        late = "" if seen.t == t else f" of t = {seen.t}"
        for index, title in ((2, f"x̂_0{late}"), (3, f"|x̂_0 − x_0|{late}")):
            column = self.query_one(f"#column-{index}", Column)
            column.stack(self._turned(seen.rows[index]), self._turned_list(captions[index - 2]))
            entitle(column, title)

    def forget_seen(self) -> None:
        """Another network is asked."""
        self._say_of_predictions(ASKING)

    def _say_of_predictions(self, text: str) -> None:
        for index, title in ((2, "x̂_0"), (3, "|x̂_0 − x_0|")):
            column = self.query_one(f"#column-{index}", Column)
            column.clear(text if index == 2 else "")
            entitle(column, title)

    def _turned(self, images: Pixels) -> Pixels:
        return np.roll(for_display(images), -self._offset, axis=0)

    def _turned_list(self, names: Sequence[str]) -> list[str]:
        return [*names[self._offset :], *names[: self._offset]]
