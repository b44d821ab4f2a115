"""What every view with pictures of its own does with their keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.binding import BindingType

from ddpm_tui import keys
from ddpm_tui.views.base import View
from ddpm_tui.widgets.pixels import PixelGrid


class PictureView(View):
    """A view whose pictures can be made larger, paged and panned, all in step."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("pictures")]

    def on_mount(self) -> None:
        self.watch(self.app, "graphics_on", self._draw_natively, init=False)
        more = f"{self.workbench.key_table['pictures.next'].display} more"
        for grid in self.query(PixelGrid):
            grid.more = more

    def on_screen_suspend(self) -> None:
        # Not below a dialog, nor while another view is shown.
        self._draw_natively(False)

    def on_screen_resume(self) -> None:
        self._draw_natively(self.workbench.graphics_on)

    def _draw_natively(self, on: bool) -> None:
        for grid in self.query(PixelGrid):
            grid.native = on and self.is_current

    def _seen(self) -> Iterator[PixelGrid]:
        return (grid for grid in self.query(PixelGrid) if grid.is_on_screen)

    def action_zoom_pictures(self, by: int) -> None:
        for grid in self._seen():
            grid.zoom(by)

    def action_turn_pictures(self, by: int) -> None:
        for grid in self._seen():
            grid.turn(by)

    def action_pan_pictures(self, across: int, down: int) -> None:
        for grid in self._seen():
            grid.pan(across, down)

    def action_whole_pictures(self) -> None:
        for grid in self._seen():
            grid.whole()
