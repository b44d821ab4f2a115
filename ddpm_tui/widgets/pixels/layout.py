"""Where the images go: how many are seen, at which scale, and which part of a large one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

_GAP = 1  # cells between images, both ways; a caption takes the row of the gap below its image
_ENOUGH = 4  # that many images at native size are preferred to more images at half size
_LARGEST = 15  # the scale at which a pixel is 16 cells wide
_FEWEST = 4  # pixels across or down that a shrunk image keeps when one asks for smaller ones


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person chose to see.

    Attributes:
        scale: 0 is native; k draws every pixel (k + 1) × (k + 1); −k averages blocks of
            (k + 1) × (k + 1) pixels; None is as large as fits.
        image: the image that has to be seen, when not all are.
        x, y: the middle of what is seen of an image that is larger than the space, in shares
            of the image.
    """

    scale: int | None = None
    image: int = 0
    x: float = 0.5
    y: float = 0.5


@dataclass(frozen=True, slots=True)
class Layout:
    """How `total` images are laid out in a space of cells. All lengths are in cells."""

    total: int
    first: int  # the images from this one on are visible, in reading order
    shown: int  # so many
    across: int
    down: int
    enlarge: int  # 1 = native; 2 = every pixel drawn 2 × 2
    shrink: int  # 1 = native; 2 = blocks of 2 × 2 pixels averaged
    width: int
    height: int  # of what is seen of one image, without its caption
    captions: bool
    left: int  # the grid is centred: this many columns
    top: int  # and rows are free before it
    hidden: tuple[int, int] = (0, 0)  # columns and rows of an image that are not seen
    cut: tuple[int, int] = (0, 0)  # columns and rows of them that are before what is seen
    # The smallest scale that one may ask for, the one that fits, and the largest.
    scales: tuple[int, int, int] = (0, 0, 0)

    @property
    def scale(self) -> int:
        """As in `Sight`."""
        return self.enlarge - self.shrink

    @property
    def partial(self) -> bool:
        """Whether only a part of an image is seen."""
        return self.hidden != (0, 0)

    @property
    def page(self) -> int:
        """How many pages of images come before this one."""
        return self.first // max(self.across * self.down, 1)

    @property
    def pages(self) -> int:
        """How many pages of images there are."""
        return -(-self.total // max(self.across * self.down, 1))

    def zoomed(self, by: int) -> int | None:
        """The scale `by` steps larger, as far as there is one; None where it is what fits."""
        smallest, fitting, largest = self.scales
        scale = min(max(self.scale + by, smallest), largest)
        return None if scale == fitting else scale

    def origin(self, index: int) -> tuple[int, int]:
        """Column and row of the upper left cell of the visible image `index`, from 0."""
        row, column = divmod(index, self.across)
        return (
            self.left + column * (self.width + _GAP),
            self.top + row * (self.height + _GAP),
        )


@dataclass(frozen=True, slots=True)
class _Space:
    """Images of `h` × `w` pixels and the cells that there are for `n` of them."""

    n: int
    h: int
    w: int
    columns: int
    rows: int
    captions: bool

    def size(self, scale: int) -> tuple[int, int]:
        """Cells of one image: width, height."""
        enlarge, shrink = max(scale, 0) + 1, max(-scale, 0) + 1
        pixels_wide, pixels_high = (-(-length // shrink) * enlarge for length in (self.w, self.h))
        return pixels_wide, -(-pixels_high // 2)

    def capacity(self, scale: int) -> tuple[int, int]:
        """How many images fit: across, down."""
        width, height = self.size(scale)
        across = (self.columns + _GAP) // (width + _GAP)
        down = (self.rows if self.captions else self.rows + _GAP) // (height + _GAP)
        return across, down

    def count(self, scale: int) -> int:
        """How many images fit, of those that there are."""
        across, down = self.capacity(scale)
        return min(across * down, self.n)

    def fitting(self) -> int:
        """The scale at which images stay whole and as many of them are seen as is sensible.

        If all of them fit at native size, they are enlarged by the largest whole factor at which
        they still do. If at least four (or n) fit at native size, as many as fit are shown.
        Otherwise half size is tried, if that shows more; and if not even one image fits, it is
        shrunk until it does.
        """
        scale = 0
        if self.count(0) == self.n:
            while self.count(scale + 1) == self.n:
                scale += 1
        elif self.count(0) < min(_ENOUGH, self.n) and self.count(-1) > self.count(0):
            scale = -1
        while self.count(scale) == 0:
            scale -= 1
        return scale

    def bounds(self, fitting: int) -> tuple[int, int]:
        """The smallest and the largest scale that one may ask for: the images need be no smaller
        than where all of them are seen."""
        smallest = fitting
        while self.count(smallest) < self.n and min(self.h, self.w) >= _FEWEST * (2 - smallest):
            smallest -= 1
        return smallest, max(fitting, _LARGEST)


def layout(
    n: int,
    h: int,
    w: int,
    columns: int,
    rows: int,
    *,
    captions: bool = False,
    sight: Sight | None = None,
) -> Layout:
    """Lay out `n` images of `h` × `w` pixels in `columns` × `rows` cells.

    Images stay whole, as large as lets enough of them be seen, unless `sight` asks for another
    scale. One that is then too large for the space is seen in part, and alone.
    """
    if n < 1 or h < 1 or w < 1 or columns < 1 or rows < 1:
        return Layout(max(n, 0), 0, 0, 0, 0, 1, 1, 0, 0, False, 0, 0)
    sight = sight or Sight()
    space = _Space(n, h, w, columns, rows, captions and rows > 1)
    scale = fitting = space.fitting()
    if space.captions and fitting < -1:  # a picture is worth more than its caption
        return layout(n, h, w, columns, rows, sight=sight)
    smallest, largest = space.bounds(fitting)
    if sight.scale is not None:
        scale = min(max(sight.scale, smallest), largest)

    width, height = space.size(scale)
    across, down = space.capacity(scale)
    hidden = 0, 0
    if not across * down:
        room = rows - space.captions
        hidden = max(width - columns, 0), max(height - room, 0)
        width, height, across, down = min(width, columns), min(height, room), 1, 1
    elif across * down >= n:
        # All fit. Of the shapes that do, take the one with the fewest empty places, then the
        # widest: 16 images become 8 × 2 or 4 × 4 rather than 6 + 6 + 4.
        across = min(range(-(-n // down), min(across, n) + 1), key=lambda k: (-n % k, -k))
        down = -(-n // across)
    page = across * down
    first = min(max(sight.image, 0), n - 1) // page * page
    used_width = across * (width + _GAP) - _GAP
    used_height = down * (height + _GAP) - (0 if space.captions else _GAP)
    return Layout(
        total=n,
        first=first,
        shown=min(page, n - first),
        across=across,
        down=down,
        enlarge=max(scale, 0) + 1,
        shrink=max(-scale, 0) + 1,
        width=width,
        height=height,
        captions=space.captions,
        left=(columns - used_width) // 2,
        top=(rows - used_height) // 2,
        hidden=hidden,
        cut=(
            _before(sight.x, width, hidden[0]),
            _before(sight.y, height, hidden[1]),
        ),
        scales=(smallest, fitting, largest),
    )


def _before(middle: float, seen: int, hidden: int) -> int:
    """Of `hidden` cells, those before the `seen` ones, whose middle is at that share of all."""
    return min(max(round(middle * (seen + hidden) - seen / 2), 0), hidden)


def moved(plan: Layout, sight: Sight, across: int, down: int) -> Sight:
    """Another part of a large image: a quarter of what is seen to either side; the edges hold."""
    middles = []
    for by, seen, hidden, cut in zip(
        (across, down), (plan.width, plan.height), plan.hidden, plan.cut, strict=True
    ):
        at = min(max(cut + by * max(seen // 4, 1), 0), hidden)
        middles.append((at + seen / 2) / max(seen + hidden, 1))
    return replace(sight, x=middles[0], y=middles[1])


def visible(images: Images, plan: Layout) -> Images:
    """The pixels that are seen: (n, h, w, …) → (shown, h', w', …), h' ≤ 2 × height."""
    chosen = _scale(images[plan.first : plan.first + plan.shown], plan.enlarge, plan.shrink)
    if not plan.partial:
        return chosen
    x, y = plan.cut
    return chosen[:, 2 * y : 2 * (y + plan.height), x : x + plan.width]


def sent(images: Images, plan: Layout) -> Images:
    """The pixels of the pictures that are seen, for a terminal that scales them itself."""
    if plan.partial:
        return visible(images, plan)
    return images[plan.first : plan.first + plan.shown]


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
