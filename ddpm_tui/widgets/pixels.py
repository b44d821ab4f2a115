"""Pictures in a terminal: a grid of equal images drawn with half blocks.

A cell shows two pixels, one above the other: "▀" with the upper pixel as its foreground and the
lower one as its background. Cells are about twice as high as wide, so pixels come out square.

From images to the wire:

1. `layout` decides how many images fit, and at which scale.
2. `_codes` turns pixels into colours that the terminal has (quantised, so that styles repeat).
3. The whole content is one array of cells; comparing it with the previous one tells which rows
   changed, and only those are refreshed. An unchanged frame costs no byte.
4. `strips.TerseStrip` writes a row with as few escape sequences as it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.filter import LineFilter
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.color import ColorMode, keep_palette, mode_of
from ddpm_tui.widgets.pacing import Pacer
from ddpm_tui.widgets.strips import TerseStrip, fit, message_line

Images = NDArray[np.uint8]

HALF_BLOCK = "▀"
ASCII_RAMP = " .:-=+*#%@"
"""From no ink to most ink, for terminals without colour."""

_GAP = 1  # cells between images, both ways; a caption takes the row of the gap below its image
_ENOUGH = 4  # that many images at native size are preferred to more images at half size


# --- Where the images go -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """How `total` images are laid out in a space of cells. All lengths are in cells."""

    total: int
    shown: int  # the first `shown` images are visible, in reading order
    across: int
    down: int
    enlarge: int  # 1 = native; 2 = every pixel drawn 2 × 2
    shrink: int  # 1 = native; 2 = blocks of 2 × 2 pixels averaged
    width: int
    height: int  # of one image, without its caption
    captions: bool
    left: int  # the grid is centred: this many columns
    top: int  # and rows are free before it

    def origin(self, index: int) -> tuple[int, int]:
        """Column and row of the upper left cell of image `index`."""
        row, column = divmod(index, self.across)
        return (
            self.left + column * (self.width + _GAP),
            self.top + row * (self.height + _GAP),
        )


def layout(n: int, h: int, w: int, columns: int, rows: int, *, captions: bool = False) -> Layout:
    """Lay out `n` images of `h` × `w` pixels in `columns` × `rows` cells. Images stay whole.

    If all of them fit at native size, they are enlarged by the largest whole factor at which they
    still do. If at least four (or n) fit at native size, as many as fit are shown. Otherwise half
    size is tried, if that shows more; and if not even one image fits, it is shrunk until it does.
    """
    if n < 1 or h < 1 or w < 1 or columns < 1 or rows < 1:
        return Layout(max(n, 0), 0, 0, 0, 1, 1, 0, 0, False, 0, 0)

    def size(enlarge: int, shrink: int) -> tuple[int, int]:
        """Cells of one image: width, height."""
        pixels_wide, pixels_high = (-(-length // shrink) * enlarge for length in (w, h))
        return pixels_wide, -(-pixels_high // 2)

    def capacity(enlarge: int, shrink: int) -> tuple[int, int]:
        """How many images fit: across, down."""
        width, height = size(enlarge, shrink)
        across = (columns + _GAP) // (width + _GAP)
        down = (rows if captions else rows + _GAP) // (height + _GAP)
        return across, down

    def count(enlarge: int, shrink: int) -> int:
        across, down = capacity(enlarge, shrink)
        return min(across * down, n)

    enlarge = shrink = 1
    if count(1, 1) == n:
        while count(enlarge + 1, 1) == n:
            enlarge += 1
    elif count(1, 1) < min(_ENOUGH, n) and count(1, 2) > count(1, 1):
        shrink = 2
    while count(enlarge, shrink) == 0:
        shrink += 1
        if captions and shrink > 2:  # a picture is worth more than its caption
            return layout(n, h, w, columns, rows, captions=False)

    across, down = capacity(enlarge, shrink)
    if across * down >= n:
        # All fit. Of the shapes that do, take the one with the fewest empty places, then the
        # widest: 16 images become 8 × 2 or 4 × 4 rather than 6 + 6 + 4.
        across = min(range(-(-n // down), min(across, n) + 1), key=lambda k: (-n % k, -k))
        down = -(-n // across)
    width, height = size(enlarge, shrink)
    used_width = across * (width + _GAP) - _GAP
    used_height = down * (height + _GAP) - (0 if captions else _GAP)
    return Layout(
        total=n,
        shown=min(across * down, n),
        across=across,
        down=down,
        enlarge=enlarge,
        shrink=shrink,
        width=width,
        height=height,
        captions=captions,
        left=(columns - used_width) // 2,
        top=(rows - used_height) // 2,
    )


def _scale(images: Images, enlarge: int, shrink: int) -> Images:
    """Enlarge by repeating pixels, shrink by averaging blocks; a partial block at the right or
    bottom edge is completed with the edge pixels. (n, h, w, …) → (n, h', w', …)."""
    if shrink > 1:
        n, h, w = images.shape[:3]
        padding = [(0, 0), (0, -h % shrink), (0, -w % shrink), (0, 0)][: images.ndim]
        padded = np.pad(images, padding, mode="edge")
        blocks = padded.reshape(
            n, -(-h // shrink), shrink, -(-w // shrink), shrink, *images.shape[3:]
        )
        images = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    if enlarge > 1:
        images = images.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    return images


# --- Colours -----------------------------------------------------------------------------------

# A cell is one integer: upper × _RADIX + lower. Each half is a colour code (0xRRGGBB, a palette
# index, or, without colour, the code point of a character in both) or _EMPTY, the widget's own
# background.
_EMPTY = 1 << 24
_RADIX = 1 << 25
_BLANK_CELL = _EMPTY * _RADIX + _EMPTY

_CUBE_LEVELS = np.array([0, 95, 135, 175, 215, 255])  # of palette entries 16 … 231, per channel
_RAMP_LEVELS = np.arange(8, 239, 10)  # of palette entries 232 … 255


def _lightness(grey: NDArray[Any]) -> NDArray[np.float64]:
    """CIE L* (0 … 100) of an sRGB grey (0 … 255): equal steps look equal."""
    s = np.asarray(grey, dtype=np.float64) / 255
    luminance = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    return np.where(
        luminance <= (6 / 29) ** 3, luminance * (29 / 3) ** 3, 116 * np.cbrt(luminance) - 16
    )


@cache
def _grey_table() -> NDArray[np.int64]:
    """Palette index of each grey 0 … 255: the nearest in lightness among the 24 steps of the grey
    ramp and the six neutral corners of the colour cube (black and white among them)."""
    levels = np.concatenate([_RAMP_LEVELS, _CUBE_LEVELS])
    indices = np.concatenate([np.arange(232, 256), 16 + 43 * np.arange(6)])
    distance = np.abs(_lightness(np.arange(256))[:, None] - _lightness(levels)[None, :])
    return np.asarray(indices[distance.argmin(axis=1)], dtype=np.int64)


@cache
def _cube_table() -> NDArray[np.int64]:
    """Palette index of each colour with five bits per channel, (32, 32, 32): the nearer of the
    best entry of the colour cube and the best grey."""
    axis = np.rint(np.arange(32) * 255 / 31).astype(np.int64)
    level = np.abs(axis[:, None] - _CUBE_LEVELS).argmin(axis=1)
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    nearest = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1)
    cube_distance = ((_CUBE_LEVELS[nearest] - rgb) ** 2).sum(axis=-1)
    ramp = np.clip(np.rint((rgb.mean(axis=-1) - 8) / 10), 0, 23).astype(np.int64)
    ramp_distance = ((_RAMP_LEVELS[ramp][..., None] - rgb) ** 2).sum(axis=-1)
    cube = 16 + nearest @ np.array([36, 6, 1])
    return np.asarray(np.where(ramp_distance < cube_distance, 232 + ramp, cube), dtype=np.int64)


def _quantiser(bits: int) -> NDArray[np.int64]:
    """The value 0 … 255 nearest to each of 0 … 255 that `bits` bits can tell apart."""
    steps = 2**bits - 1
    value = np.rint(np.rint(np.arange(256) * steps / 255) * 255 / steps)
    return np.asarray(value, dtype=np.int64)


# Too fine to be seen on pixels of this size, coarse enough that pairs of colours come back, which
# is what the caches of styles live on. The channels share a quantiser so that greys stay grey.
_GREY_STEPS = _quantiser(6)
_CHANNEL_STEPS = _quantiser(5)


def _codes(images: Images, mode: ColorMode) -> NDArray[np.int64]:
    """A colour code for every pixel: (n, h, w) or (n, h, w, 3) → (n, h, w)."""
    if images.ndim == 3:
        table = _grey_table() if mode is ColorMode.COLOR256 else _GREY_STEPS * 0x010101
        return np.asarray(table.take(images), dtype=np.int64)
    red, green, blue = np.moveaxis(images, -1, 0)
    if mode is ColorMode.COLOR256:
        return np.asarray(_cube_table()[red >> 3, green >> 3, blue >> 3], dtype=np.int64)
    red, green, blue = (_CHANNEL_STEPS.take(channel) for channel in (red, green, blue))
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int64)


def _half_block_cells(images: Images, mode: ColorMode) -> NDArray[np.int64]:
    """Cells of images: (n, h, w, …) → (n, ⌈h/2⌉, w). A last odd row has nothing below it."""
    codes = _codes(images, mode)
    if codes.shape[1] % 2:
        codes = np.pad(codes, [(0, 0), (0, 1), (0, 0)], constant_values=_EMPTY)
    return codes[:, 0::2] * _RADIX + codes[:, 1::2]


def _ascii_cells(images: Images, dark: bool) -> NDArray[np.int64]:
    """Cells of images in one character each, whose ink is the mean of the two pixels."""
    grey = images.astype(np.float64)
    if grey.ndim == 4:
        grey = grey @ np.array([0.2126, 0.7152, 0.0722])
    if grey.shape[1] % 2:
        grey = np.pad(grey, [(0, 0), (0, 1), (0, 0)], mode="edge")
    mean = (grey[:, 0::2] + grey[:, 1::2]) / 2
    ramp = ASCII_RAMP if dark else ASCII_RAMP[::-1]  # on paper, ink is dark
    points = np.array([ord(character) for character in ramp], dtype=np.int64)
    chosen = points[np.rint(mean * (len(ramp) - 1) / 255).astype(np.int64)]
    return np.asarray(chosen * _RADIX + chosen, dtype=np.int64)


@lru_cache(maxsize=32768)
def _color(code: int, mode: ColorMode) -> Color:
    if mode is ColorMode.COLOR256:
        return Color.from_ansi(code)
    # What Color.from_rgb makes, in a third of the time.
    triplet = ColorTriplet(code >> 16, (code >> 8) & 255, code & 255)
    return Color(f"#{code:06x}", ColorType.TRUECOLOR, triplet=triplet)


# --- The widget --------------------------------------------------------------------------------

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
    """The image whose caption is highlighted; needs captions."""

    summary: reactive[str] = reactive("", repaint=False)
    """"showing 8 of 16", or "" when all images are visible. Also the border subtitle."""

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
        self._mode = ColorMode.TRUECOLOR
        self._cells = np.full((0, 0), _BLANK_CELL, dtype=np.int64)
        self._captions: dict[int, list[_Caption]] = {}  # by row
        self._base = Style()  # of the widget, when the strips were made
        self._strips: dict[int, Strip] = {}  # by row of the content
        self._segments: dict[int, Segment] = {}  # one cell wide, by cell
        self._terse: dict[int, tuple[Strip, TerseStrip]] = {}  # by row of the widget
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

    def get_line_filters(self) -> Sequence[LineFilter]:
        return keep_palette(super().get_line_filters())

    def render_line(self, y: int) -> Strip:
        base = self.visual_style.rich_style
        if base != self._base:  # another theme
            self._base = base
            self._strips.clear()
            self._segments.clear()
        strip = self._strips.get(y)
        if strip is None:
            width = self.size.width
            if self._images is None:
                strip = self._message_strip(y, width)
            elif y in self._captions:
                strip = self._caption_strip(self._captions[y], width)
            elif y < len(self._cells):
                strip = Strip(self._row_segments(self._cells[y]), width)
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

    def watch_selected(self) -> None:
        self._compose_cells()

    def on_mount(self) -> None:
        self._compose_cells()
        if self._offered is not None:
            self._pacer.request()

    def on_resize(self, _event: Resize) -> None:
        self._terse.clear()
        self._compose_cells()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()  # captions have styles of their own
        if self._mode is ColorMode.NONE:
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
        cells = np.full((rows, columns), _BLANK_CELL, dtype=np.int64)
        captions: dict[int, list[_Caption]] = {}
        mode = mode_of(self.app)
        if self._images is None:
            self.arrangement = layout(0, 0, 0, columns, rows)
        else:
            n, h, w = self._images.shape[:3]
            plan = layout(n, h, w, columns, rows, captions=self._labels is not None)
            self.arrangement = plan
            visible = _scale(self._images[: plan.shown], plan.enlarge, plan.shrink)
            if mode is ColorMode.NONE:
                pictures = _ascii_cells(visible, dark=self._is_dark())
            else:
                pictures = _half_block_cells(visible, mode)
            for index, picture in enumerate(pictures):
                x, y = plan.origin(index)
                cells[y : y + plan.height, x : x + plan.width] = picture
                if plan.captions and self._labels is not None:
                    text = self._labels[index] if index < len(self._labels) else ""
                    captions.setdefault(y + plan.height, []).append(
                        (x, plan.width, text, index == self.selected)
                    )

        if mode is not self._mode or cells.shape != self._cells.shape:
            changed = set(range(rows))
        else:
            changed = set(np.flatnonzero((cells != self._cells).any(axis=1)).tolist())
            changed |= {
                y
                for y in captions.keys() | self._captions.keys()
                if captions.get(y) != self._captions.get(y)
            }
        if mode is not self._mode:
            self._segments.clear()
        self._mode, self._cells, self._captions = mode, cells, captions
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self._pacer.refresh_rows(changed)

        hidden = self.arrangement.shown < self.arrangement.total
        summary = f"showing {self.shown} of {self.total}" if hidden else ""
        if summary != self.summary:
            self.summary = summary
            self.border_subtitle = summary

    def _is_dark(self) -> bool:
        background = self.visual_style.background
        return background is None or background.brightness < 0.5

    # --- rows -------------------------------------------------------------------------------

    def _row_segments(self, row: NDArray[np.int64]) -> list[Segment]:
        """Segments of one row; equal neighbours become one."""
        if not row.size:
            return []
        starts = np.concatenate([[0], np.flatnonzero(np.diff(row)) + 1])
        lengths = np.diff(starts, append=row.size).tolist()
        segments: list[Segment] = []
        for cell, length in zip(row[starts].tolist(), lengths, strict=True):
            segment = self._segments.get(cell)
            if segment is None:
                segment = self._segment(cell)
            segments.append(
                segment if length == 1 else Segment(segment.text * length, segment.style)
            )
        return segments

    def _segment(self, cell: int) -> Segment:
        """The segment of a single cell, remembered."""
        upper, lower = divmod(cell, _RADIX)
        base = self._base
        if cell == _BLANK_CELL:
            segment = Segment(" ", base)
        elif self._mode is ColorMode.NONE:
            segment = Segment(chr(upper), base)
        elif upper == lower:
            # A space has no seam between its halves, and needs one colour only.
            segment = Segment(" ", Style.from_color(None, _color(lower, self._mode)))
        else:
            background = base.bgcolor if lower == _EMPTY else _color(lower, self._mode)
            segment = Segment(HALF_BLOCK, Style.from_color(_color(upper, self._mode), background))
        if len(self._segments) >= 16384:  # bounded, and simple: pictures refill it in one frame
            self._segments.clear()
        self._segments[cell] = segment
        return segment

    def _caption_strip(self, captions: list[_Caption], width: int) -> Strip:
        plain = self.get_component_rich_style("pixel-grid--caption")
        highlighted = self.get_component_rich_style("pixel-grid--selected")
        segments: list[Segment] = []
        at = 0
        for x, room, text, is_selected in captions:
            segments.append(Segment(" " * (x - at), self._base))
            segments.append(Segment(fit(text, room), highlighted if is_selected else plain))
            at = x + room
        segments.append(Segment(" " * (width - at), self._base))
        return Strip([segment for segment in segments if segment.text], width)

    def _message_strip(self, y: int, width: int) -> Strip:
        style = self.get_component_rich_style("pixel-grid--message")
        return message_line(self._message, y, width, self.size.height, style, self._base)


def _checked(images: Images) -> Images:
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(
            f"images must be uint8 of shape (N, H, W) or (N, H, W, 3), "
            f"got {images.dtype} of shape {images.shape}"
        )
    return images.copy()
