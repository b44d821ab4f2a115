"""Pictures on disk: grids as PNG, processes as GIF. numpy and pillow only, no torch.

Images are uint8 (N, C, H, W), C = 1 or 3.
"""

from __future__ import annotations

import io as bytes_io
import json
import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from engine.errors import RunError
from engine.runs import io, publishing
from engine.runs.outside import open_file

Pixels = npt.NDArray[np.uint8]

_LAYOUT_KEY = "ddpm-tui"
_GAP = 2
# Of a grid, which a view reads again and again; ours have less than a million.
_MAX_PIXELS = 16_000_000
# What Pillow raises, in one format or another, for a file that is damaged.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
)
# GIF delays are hundredths of a second: 6 is about 17 frames a second, as fast as every viewer
# plays faithfully.
_FRAME_DELAY = 6
# A process of few steps is slowed down to about three seconds, or nobody could follow it; a frame
# never stays longer than a quarter of a second.
_SHORTEST, _LONGEST_DELAY = 300, 25
# The last frame stays for a third of the frames, as in the article.
_HOLD = 3


def grid_columns(num: int) -> int:
    """Columns of the most nearly square grid that is at least as wide as high."""
    return max(1, math.ceil(math.sqrt(num)))


def make_grid(images: Pixels, columns: int | None = None, gap: int = _GAP) -> Pixels:
    """(N, C, H, W) -> one picture (rows·H + gaps, columns·W + gaps, C); empty cells are black."""
    num, channels, height, width = images.shape
    columns = min(columns or grid_columns(num), num)
    rows = -(-num // columns)
    grid = np.zeros(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), dtype=np.uint8
    )
    for index, image in enumerate(images):
        y, x = index // columns * (height + gap), index % columns * (width + gap)
        grid[y : y + height, x : x + width] = image.transpose(1, 2, 0)
    return grid


def split_grid(grid: Pixels, num: int, height: int, width: int, gap: int = _GAP) -> Pixels:
    """Undo `make_grid`: (rows·H + gaps, columns·W + gaps, C) -> (N, C, H, W)."""
    columns = (grid.shape[1] + gap) // (width + gap)
    cells = []
    for index in range(num):
        y, x = index // columns * (height + gap), index % columns * (width + gap)
        cells.append(grid[y : y + height, x : x + width].transpose(2, 0, 1))
    return np.stack(cells)


def _drop_grey_axis(grid: Pixels) -> Pixels:
    return grid[..., 0] if grid.shape[-1] == 1 else grid


def write_png(
    path: Path,
    images: Pixels,
    *,
    about: Mapping[str, Any] | None = None,
    columns: int | None = None,
) -> None:
    """Write a grid as PNG, atomically, with its layout and what made it as a text chunk.

    Raises:
        RunError: the file cannot be written.
    """
    from PIL import Image, PngImagePlugin

    num, _, height, width = images.shape
    layout = {"num": num, "height": height, "width": width, **(about or {})}
    text = PngImagePlugin.PngInfo()
    text.add_text(_LAYOUT_KEY, json.dumps(layout))
    buffer = bytes_io.BytesIO()
    grid = Image.fromarray(_drop_grey_axis(make_grid(images, columns)))
    grid.save(buffer, format="PNG", pnginfo=text)
    io.write_atomic(path, buffer.getvalue())


def read_png(path: Path) -> tuple[Pixels, dict[str, Any]]:
    """Read a grid that `write_png` wrote.

    Returns:
        images uint8 (N, C, H, W), and what is known about them.

    Raises:
        RunError: missing, not a PNG, or not a grid of ours.
    """
    from PIL import Image

    try:
        with (
            open_file(path) as file,
            warnings.catch_warnings(),
            Image.open(file, formats=["PNG"]) as image,
        ):
            warnings.simplefilter("ignore")  # of a damaged file, on the screen
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"it has more than {_MAX_PIXELS:,} pixels")
            about = json.loads(image.info[_LAYOUT_KEY])
            num, height, width = (about[key] for key in ("num", "height", "width"))
            _check_layout(image.size, num, height, width)
            grid = np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
        if grid.ndim == 2:
            grid = grid[..., None]
        return split_grid(grid, num, height, width), about
    except (
        *DAMAGED,
        KeyError,
        TypeError,
        RecursionError,
        Image.DecompressionBombError,
    ) as error:
        raise RunError(f"Cannot read the picture {path}: {error}") from None


def _check_layout(size: tuple[int, int], num: Any, height: Any, width: Any) -> None:
    """Raises ValueError unless so many pictures are in a grid of that size."""
    if not all(type(each) is int and each > 0 for each in (num, height, width)):
        raise ValueError(f"{num!r} pictures of {height!r}×{width!r} are no grid")
    columns = (size[0] + _GAP) // (width + _GAP)
    if not columns or -(-num // columns) * (height + _GAP) - _GAP > size[1]:
        raise ValueError(f"{num} pictures of {height}×{width} are not in it")


def write_gif(path: Path, frames: Sequence[Pixels], *, columns: int | None = None) -> None:
    """Write a process as GIF, atomically: each frame is (N, C, H, W); the last one is held.

    Raises:
        RunError: the file cannot be written.
    """
    import imageio.v3 as iio

    grids = [_drop_grey_axis(make_grid(frame, columns)) for frame in frames]
    hold = max(1, len(grids) // _HOLD)
    delay = max(_FRAME_DELAY, min(_SHORTEST // len(grids), _LONGEST_DELAY))
    durations = [delay * 10] * len(grids)
    durations[-1] *= hold + 1
    # Pillow wants a list for several frames and a number for one.
    duration = durations if len(grids) > 1 else durations[0]
    data = iio.imwrite(
        "<bytes>", grids, extension=".gif", plugin="pillow", duration=duration, loop=0
    )
    io.write_atomic(path, data)


@contextmanager
def npy_file(path: Path, shape: tuple[int, int, int, int]) -> Iterator[BinaryIO]:
    """A .npy of pictures that gets its name when all of them are there.

    Args:
        shape: (N, C, H, W) of all pictures together.

    Yields:
        a file that takes their pixels, uint8, one picture after the other.

    Raises:
        RunError: the file cannot be written.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with publishing.published_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def frame_indices(num_steps: int, num_frames: int = 100) -> list[int]:
    """Which of the steps 0 … num_steps − 1 become frames: evenly spread, the last always.

    The article's choice: linspace(0, num_steps, num_frames) rounded down, and the last step.
    """
    spread = np.linspace(0, num_steps, num_frames).astype(int).tolist()
    return sorted({index for index in spread if index < num_steps} | {num_steps - 1})


def stretch(images: npt.NDArray[np.float32]) -> Pixels:
    """Stretch each picture to its own minimum and maximum, as the article displays them.

    It hides a wrong brightness, so it is for comparison only and always labelled.

    Args:
        images: float (N, C, H, W).
    """
    low = images.min(axis=(1, 2, 3), keepdims=True)
    span = images.max(axis=(1, 2, 3), keepdims=True) - low
    pixels: Pixels = ((images - low) * (255 / np.maximum(span, 1e-12))).astype(np.uint8)
    return pixels
