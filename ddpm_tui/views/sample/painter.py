"""Painting a mask on a picture, by keys or mouse: what is marked is painted anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Static

from ddpm_tui import keys
from ddpm_tui.color import ColorMode, mode_of
from ddpm_tui.views.dialog import Dialog, DialogScreen
from ddpm_tui.widgets.pixels import PixelGrid
from engine.images import Pixels

_TINT = np.array([255, 80, 80])  # of what is marked
_CURSOR = np.array([255, 255, 0])
_BRUSHES = (1, 3, 5, 9)
_MOST_COPIES = 64


@dataclass(frozen=True, eq=False)
class Painted:
    """A mask and how many results are asked for.

    Attributes:
        repaint: bool (H, W), True where to paint.
    """

    repaint: NDArray[np.bool_]
    copies: int


class Canvas(PixelGrid):
    """One picture that tells which of its pixels the mouse is pressed on."""

    class Touched(Message):
        """A pixel was pressed, or the mouse was dragged over it."""

        def __init__(self, row: int, column: int, *, pressed: bool) -> None:
            super().__init__()
            self.row, self.column, self.pressed = row, column, pressed

    _held = False

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._held = True
        self._touch(event, pressed=True)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held and event.button:
            self._touch(event, pressed=False)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        self._held = False

    def _touch(self, event: events.MouseEvent, *, pressed: bool) -> None:
        plan = self.arrangement
        x, y = event.x - plan.left, event.y - plan.top
        if 0 <= x < plan.width and 0 <= y < plan.height:
            row = y * 2 * plan.shrink // plan.enlarge
            self.post_message(self.Touched(row, x * plan.shrink // plan.enlarge, pressed=pressed))


class MaskPainter(DialogScreen[Painted | None]):
    """Returns the mask, or None.

    Args:
        picture: uint8 (C, H, W).
        copies: results to ask for at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("paint")]
    DEFAULT_CSS = """
    MaskPainter PixelGrid { height: 1fr; }
    MaskPainter Static { height: auto; max-height: 3; }
    MaskPainter.-tiny #keys { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, picture: Pixels, copies: int = 4) -> None:
        super().__init__()
        channels = picture if picture.shape[0] == 3 else picture.repeat(3, axis=0)
        self._picture = np.moveaxis(channels, 0, -1)  # (H, W, 3)
        height, width = picture.shape[1:]
        self._mask: NDArray[np.bool_] = np.zeros((height, width), dtype=bool)
        self._row, self._column = height // 2, width // 2
        self._corner: tuple[int, int] | None = None
        self._brush = 1
        self._copies = copies
        self._marking = True  # what dragging does

    def compose(self) -> ComposeResult:
        keys = ("enter paint", "space mark", "esc back")
        with Dialog("What should be painted anew?", keys):
            yield Canvas(id="canvas")
            yield Static("", id="state", markup=False)
            yield Static("", id="keys", markup=False)

    def on_mount(self) -> None:
        parts = (
            "arrows move, with shift they mark",
            "b brush",
            "r rectangle",
            "i invert",
            "c clear",
            "+ − copies",
        )
        self.query_one("#keys", Static).update(" · ".join(parts))
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        shown = self._picture.astype(np.int64)
        if mode_of(self.app) is ColorMode.NONE:
            # Without colour, a chequered pattern; it is in no picture by chance.
            rows, columns = np.indices(self._mask.shape)
            pattern = np.where((rows // 2 + columns) % 2, 255, 0)
            shown = np.where(self._mask[..., None], pattern[..., None], shown)
        else:
            shown = np.where(self._mask[..., None], (shown + 2 * _TINT) // 3, shown)
        if self._corner is not None:
            shown[self._rectangle()] = (shown[self._rectangle()] + _CURSOR) // 2
        shown[self._under_brush()] = _CURSOR
        self.query_one("#canvas", PixelGrid).show(shown[None].astype(np.uint8))
        marked = int(self._mask.sum())
        results = "1 result" if self._copies == 1 else f"{self._copies} results"
        self.query_one("#state", Static).update(
            f"row {self._row} · column {self._column} · brush {self._brush} · "
            f"{marked} of {self._mask.size} pixels ({marked / self._mask.size:.0%}) · {results}"
        )

    def _under_brush(self) -> tuple[slice, slice]:
        reach = self._brush // 2
        return (
            slice(max(self._row - reach, 0), self._row + reach + 1),
            slice(max(self._column - reach, 0), self._column + reach + 1),
        )

    def _rectangle(self) -> tuple[slice, slice]:
        assert self._corner is not None
        rows = sorted((self._corner[0], self._row))
        columns = sorted((self._corner[1], self._column))
        return slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)

    # --- Keys ----------------------------------------------------------------------------------

    def action_move(self, across: int, down: int) -> None:
        height, width = self._mask.shape
        self._row = min(max(self._row + down, 0), height - 1)
        self._column = min(max(self._column + across, 0), width - 1)
        self._show()

    def action_stroke(self, across: int, down: int) -> None:
        """Mark, move, mark."""
        self._mask[self._under_brush()] = True
        self.action_move(across, down)
        self._mask[self._under_brush()] = True
        self._show()

    def action_mark(self) -> None:
        self._mask[self._under_brush()] = not self._mask[self._row, self._column]
        self._show()

    def action_rectangle(self) -> None:
        """The first corner, then the second."""
        if self._corner is None:
            self._corner = self._row, self._column
        else:
            self._mask[self._rectangle()] = True
            self._corner = None
        self._show()

    def action_brush(self) -> None:
        self._brush = _BRUSHES[(_BRUSHES.index(self._brush) + 1) % len(_BRUSHES)]
        self._show()

    def action_invert(self) -> None:
        self._mask = ~self._mask
        self._show()

    def action_clear(self) -> None:
        self._mask[:], self._corner = False, None
        self._show()

    def action_copies(self, by: int) -> None:
        self._copies = min(max(self._copies + by, 1), _MOST_COPIES)
        self._show()

    def action_paint(self) -> None:
        if self._corner is not None:
            self.action_rectangle()
        if not self._mask.any():
            self.notify("Mark at least one pixel first: space, or shift with an arrow.")
            return
        self.dismiss(Painted(self._mask.copy(), self._copies))

    # --- Mouse ---------------------------------------------------------------------------------

    def on_canvas_touched(self, message: Canvas.Touched) -> None:
        """A press turns the pixel round, dragging does the same to the others."""
        height, width = self._mask.shape
        self._row, self._column = min(message.row, height - 1), min(message.column, width - 1)
        if message.pressed:
            self._marking = not self._mask[self._row, self._column]
        self._mask[self._under_brush()] = self._marking
        self._show()
