"""The widget: a grid of equal images, drawn row by row as they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.events import Hide, Resize, Show, Unmount
from textual.filter import LineFilter
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.color import ColorMode, keep_palette, mode_of
from ddpm_tui.terminal.kitty import Placements, Spot
from ddpm_tui.widgets.pacing import Pacer
from ddpm_tui.widgets.pixels.cells import BLANK, HOLE, Cells, Segments, half_block_cells
from ddpm_tui.widgets.pixels.ink import ink_cells
from ddpm_tui.widgets.pixels.layout import Images, Sight, layout, moved, sent, visible
from ddpm_tui.widgets.strips import TerseStrip, fit, message_line

_Caption = tuple[int, int, str, bool]  # column, width, text, selected


class PixelGrid(Widget):
    """A grid of equal images, or a message while there are none.

    Use from the UI thread only. `show` draws at once; `offer` is for a stream of frames: the
    newest wins, at most `max_fps` are drawn per second, and none while output is queued.
    """

    DEFAULT_CSS = """
    PixelGrid { width: 1fr; height: 1fr; }
    PixelGrid > .pixel-grid--message { color: $text-muted; }
    PixelGrid > .pixel-grid--caption { color: $text-muted; }
    PixelGrid > .pixel-grid--selected { color: $text; text-style: bold reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "pixel-grid--message",
        "pixel-grid--caption",
        "pixel-grid--selected",
    }
    ALLOW_SELECT = False

    selected: reactive[int | None] = reactive(None, repaint=False)
    """The image whose caption is highlighted, which needs captions; it is brought into sight."""

    summary: reactive[str] = reactive("", repaint=False)
    """"showing 8 of 16", or "" when all images are visible. Also the border subtitle."""

    more: reactive[str] = reactive("", repaint=False)
    """What `summary` adds to that: the key that shows the others."""

    native: reactive[bool] = reactive(False, repaint=False)
    """Whether the terminal draws the pictures in its own pixels; it has to offer that."""

    def __init__(
        self,
        message: str = "",
        *,
        max_fps: float = 10,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """
        Args:
            message: shown while there are no images.
            max_fps: the most frames per second that `offer` draws.
        """
        super().__init__(name=name, id=id, classes=classes)
        self.arrangement = layout(0, 0, 0, 0, 0)
        """Where the images are now, in cells of the content area."""
        self._message = message
        self._images: Images | None = None
        self._labels: tuple[str, ...] | None = None
        self._title: str | None = None  # None where the border is somebody else's
        self._sight = Sight()
        self._cells = np.full((0, 0), BLANK, dtype=np.int64)
        self._captions: dict[int, list[_Caption]] = {}  # by row
        self._segments = Segments(ColorMode.TRUECOLOR, Style())
        self._strips: dict[int, Strip] = {}  # by row of the content
        self._terse: dict[int, tuple[Strip, TerseStrip]] = {}  # by row of the widget
        self._placements = Placements(self._write)
        self._offered: tuple[Images, tuple[str, ...] | None] | None = None
        self._pacer = Pacer(self, self._show_offered, max_fps)

    @property
    def shown(self) -> int:
        """How many images are visible."""
        return self.arrangement.shown

    @property
    def total(self) -> int:
        """How many images there are."""
        return self.arrangement.total

    def show(self, images: Images, labels: Sequence[str] | None = None) -> None:
        """Draw `images` now. Only rows that changed are sent.

        Args:
            images: uint8, (N, H, W) for grey or (N, H, W, 3) for RGB; copied.
            labels: captions for the images; None for a grid without captions.
        """
        self._offered = None
        self._set(_checked(images), None if labels is None else tuple(labels))

    def offer(self, images: Images, labels: Sequence[str] | None = None) -> None:
        """Draw `images` soon, unless a newer frame is offered before. Arguments as for `show`."""
        self._offered = _checked(images), None if labels is None else tuple(labels)
        self._pacer.request()

    def clear(self, message: str = "") -> None:
        """Forget the images and show `message` in the middle."""
        self._offered = None
        if self._images is not None or message != self._message:
            self._message = message
            self._set(None, None)

    # --- what is seen ------------------------------------------------------------------------

    def zoom(self, by: int) -> None:
        """Draw the images `by` steps larger or, when negative, smaller."""
        if self.shown:
            self._look(replace(self._sight, scale=self.arrangement.zoomed(by)))

    def turn(self, by: int) -> None:
        """Show the images `by` pages further on; the first follow on the last."""
        plan = self.arrangement
        if self.shown:
            page = (plan.page + by) % plan.pages
            self._look(replace(self._sight, image=page * plan.across * plan.down))

    def pan(self, across: int, down: int) -> None:
        """Move on to another part of an image that is larger than the space: −1, 0 or 1 each."""
        if self.arrangement.partial:
            self._look(moved(self.arrangement, self._sight, across, down))

    def whole(self) -> None:
        """Show the images as large as fits again."""
        self._look(replace(self._sight, scale=None, x=0.5, y=0.5))

    def _look(self, sight: Sight) -> None:
        self._sight = sight
        self._compose_cells()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return keep_palette(super().get_line_filters())

    def render_line(self, y: int) -> Strip:
        base = self.visual_style.rich_style
        if base != self._segments.base:  # another theme
            self._segments = Segments(self._segments.mode, base)
            self._strips.clear()
        strip = self._strips.get(y)
        if strip is None:
            width = self.size.width
            if self._images is None:
                strip = self._message_strip(y, width)
            elif y in self._captions:
                strip = self._caption_strip(self._captions[y], width)
            elif y < len(self._cells):
                # After a change of width the cells are those of before until `on_resize`.
                strip = Strip(self._segments.row(self._cells[y]), self._cells.shape[1])
                strip = strip.adjust_cell_length(width, base)
            else:
                strip = Strip.blank(width, base)
            self._strips[y] = strip
        return strip

    def render_lines(self, crop: Region) -> list[Strip]:
        lines = super().render_lines(crop)
        terse: list[Strip] = []
        for y, strip in zip(crop.line_range, lines, strict=True):
            # Textual returns the same object for a row that did not change.
            cached = self._terse.get(y)
            if cached is None or cached[0] is not strip:
                cached = self._terse[y] = (strip, TerseStrip(strip, strip.cell_length))
            terse.append(cached[1])
        return terse

    def watch_selected(self, selected: int | None) -> None:
        if selected is not None:
            self._sight = replace(self._sight, image=selected)
        self._compose_cells()

    def watch_native(self) -> None:
        self._compose_cells()

    def watch_more(self) -> None:
        self._summarise()

    def entitle(self, title: str) -> None:
        """Set the title; `summary` stands after it from now on."""
        self._title = title
        self._tell()

    def watch_summary(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._title is None:
            return
        title = " · ".join(part for part in (self._title, self.summary) if part)
        if self.border_title != title:  # a new title repaints the frame
            self.border_title = title

    def on_mount(self) -> None:
        self._compose_cells()
        if self._offered is not None:
            self._pacer.request()

    def on_resize(self, _event: Resize) -> None:
        self._terse.clear()
        self._compose_cells()

    def on_show(self, _event: Show) -> None:
        self._place()

    def on_hide(self, _event: Hide) -> None:
        self._placements.clear()

    def on_unmount(self, _event: Unmount) -> None:
        self._placements.clear()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()  # captions have styles of their own
        if self._segments.mode is ColorMode.NONE:
            self._compose_cells()  # the ramp turns round with the background

    # --- frames -----------------------------------------------------------------------------

    def _show_offered(self) -> None:
        if self._offered is not None:  # not shown or cleared since
            images, labels = self._offered
            self._offered = None
            self._set(images, labels)

    def _set(self, images: Images | None, labels: tuple[str, ...] | None) -> None:
        was_empty = self._images is None
        self._images = images if images is not None and len(images) else None
        self._labels = labels
        if was_empty or self._images is None:
            self._strips.clear()
            self.refresh()
        self._compose_cells()

    def _compose_cells(self) -> None:
        """Work out the content for the current images and size; refresh the rows that changed."""
        if not self.is_mounted:
            return
        columns, rows = self.size
        cells = np.full((rows, columns), BLANK, dtype=np.int64)
        captions: dict[int, list[_Caption]] = {}
        mode = mode_of(self.app)
        if self._images is None:
            self.arrangement = layout(0, 0, 0, columns, rows)
        else:
            n, h, w = self._images.shape[:3]
            plan = self.arrangement = layout(
                n, h, w, columns, rows, captions=self._labels is not None, sight=self._sight
            )
            for place, picture in enumerate(self._pictures(self._images, mode)):
                x, y = plan.origin(place)
                cells[y : y + plan.height, x : x + plan.width] = picture
                if plan.captions and self._labels is not None:
                    index = plan.first + place
                    text = self._labels[index] if index < len(self._labels) else ""
                    captions.setdefault(y + plan.height, []).append(
                        (x, plan.width, text, index == self.selected)
                    )
        self._refresh_changed(cells, captions, mode)
        self._place()
        self._summarise()

    def _pictures(self, images: Images, mode: ColorMode) -> Cells:
        """Cells of the visible pictures: (shown, height, width)."""
        plan = self.arrangement
        if self.native:
            return np.full((plan.shown, plan.height, plan.width), HOLE, dtype=np.int64)
        seen = visible(images, plan)
        if mode is ColorMode.NONE:
            return ink_cells(seen, dark=self._is_dark())
        return half_block_cells(seen, mode)

    def _place(self) -> None:
        """Let the terminal draw what it has to."""
        plan, at = self.arrangement, self.content_region
        if not (self.native and self._images is not None and self.is_on_screen):
            self._placements.clear()
            return
        spots = []
        for place in range(plan.shown):
            x, y = plan.origin(place)
            spots.append(Spot(at.x + x, at.y + y, plan.width, plan.height))
        self._placements.show(list(zip(spots, sent(self._images, plan), strict=True)))

    def _write(self, data: str) -> None:
        driver = self.app._driver
        if driver is not None:
            driver.write(data)

    def _refresh_changed(
        self, cells: Cells, captions: dict[int, list[_Caption]], mode: ColorMode
    ) -> None:
        rows = cells.shape[0]
        if mode is not self._segments.mode or cells.shape != self._cells.shape:
            changed = set(range(rows))
        else:
            changed = set(np.flatnonzero((cells != self._cells).any(axis=1)).tolist())
            changed |= {
                y
                for y in captions.keys() | self._captions.keys()
                if captions.get(y) != self._captions.get(y)
            }
        if mode is not self._segments.mode:
            self._segments = Segments(mode, self._segments.base)
        self._cells, self._captions = cells, captions
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self._pacer.refresh_rows(changed)

    def _summarise(self) -> None:
        """Tell what is not seen, and the key that shows it."""
        plan = self.arrangement
        parts: list[str] = []  # the end is lost first where it is narrow
        if plan.shown < plan.total:
            parts += [f"showing {plan.shown} of {plan.total}", *filter(None, [self.more])]
        if plan.first:
            parts.append(f"page {plan.page + 1}/{plan.pages}")
        if plan.partial:
            parts.append("a part")
        summary = " · ".join(parts)
        if summary != self.summary:
            self.summary = summary
            self.border_subtitle = summary

    def _is_dark(self) -> bool:
        background = self.visual_style.background
        return background is None or background.brightness < 0.5

    # --- rows -------------------------------------------------------------------------------

    def _caption_strip(self, captions: list[_Caption], width: int) -> Strip:
        plain = self.get_component_rich_style("pixel-grid--caption")
        highlighted = self.get_component_rich_style("pixel-grid--selected")
        segments: list[Segment] = []
        at = 0
        for x, room, text, is_selected in captions:
            segments.append(Segment(" " * (x - at), self._segments.base))
            segments.append(Segment(fit(text, room), highlighted if is_selected else plain))
            at = x + room
        strip = Strip([segment for segment in segments if segment.text], at)
        return strip.adjust_cell_length(width, self._segments.base)

    def _message_strip(self, y: int, width: int) -> Strip:
        style = self.get_component_rich_style("pixel-grid--message")
        return message_line(self._message, y, width, self.size.height, style, self._segments.base)


def _checked(images: Images) -> Images:
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(
            f"images must be uint8 of shape (N, H, W) or (N, H, W, 3), "
            f"got {images.dtype} of shape {images.shape}"
        )
    return images.copy()
