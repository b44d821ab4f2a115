"""Pictures and masks that a person brings along: any file, any mode, checked before it is used.

Every refusal says in a sentence what is wrong and what would do.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from engine.errors import ConfigError, DataError
from engine.images import DAMAGED
from engine.runs.outside import open_file

# What a photo has, and none of the formats for which Pillow starts another program.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
# A small file can hold a huge picture; this much unpacks in a second.
MAX_PIXELS = 50_000_000


def load_picture(path: Path, image_shape: tuple[int, int, int], *, resize: bool = False) -> Tensor:
    """Read a picture as a run's pictures are: colours to grey or grey to colours as it needs.

    Transparent parts become black, the rotation that a camera notes is applied, of an animation
    the first frame is taken.

    Args:
        image_shape: (C, H, W) of the run, C = 1 or 3.
        resize: cut the middle out in the run's proportions and scale it, instead of refusing.

    Returns:
        uint8 (C, H, W).

    Raises:
        DataError: it cannot be read, is far too large, or has another size.
    """
    channels, height, width = image_shape
    picture = _fitted(_open(path), path, (width, height), resize)
    pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels.reshape(height, width, channels)).permute(2, 0, 1).contiguous()


def load_mask(path: Path, height: int, width: int, *, resize: bool = False) -> Tensor:
    """Read a mask: where it is white, at least half-way, is to be painted.

    Returns:
        bool (H, W), True where to paint.

    Raises:
        DataError: as `load_picture`, or there is nothing to paint.
    """
    mask = _fitted(_open(path), path, (width, height), resize)
    repaint = torch.from_numpy(np.array(mask.convert("L")) >= 128)
    if not repaint.any():
        raise DataError(
            f"The mask {path} has nothing white", "Paint white what is to be repainted."
        )
    return repaint


NAMED_MASKS = ("left", "right", "top", "bottom", "centre")


def named_mask(name: str, height: int, width: int) -> Tensor:
    """bool (H, W), True where to paint: a half, or the middle quarter of the area.

    Raises:
        ConfigError: there is no mask of that name.
    """
    repaint = torch.zeros(height, width, dtype=torch.bool)
    match name:
        case "left":
            repaint[:, : width // 2] = True
        case "right":
            repaint[:, width // 2 :] = True
        case "top":
            repaint[: height // 2] = True
        case "bottom":
            repaint[height // 2 :] = True
        case "centre":
            top, left = height // 4, width // 4
            repaint[top : height - top, left : width - left] = True
        case _:
            raise ConfigError(
                f"There is no mask {name!r}", f"There are {', '.join(NAMED_MASKS)}, or a file."
            )
    return repaint


def _open(path: Path) -> Image.Image:
    """The first frame of a file, upright, without transparency, in 8 bits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file, on the screen
            with open_file(path) as file, Image.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return _plain(ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError:
        raise DataError(
            f"The picture {path} is too large: more than {MAX_PIXELS // 10**6} million pixels",
            "Scale it down first.",
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path} is not a picture that can be read", f"Known are {', '.join(FORMATS)}."
        ) from None
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"Cannot read the picture {path}: {reason}") from None


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # 16 bits a pixel, which `convert` would clip at 255. Pillow opens some of them as 32.
        grey = np.asarray(picture).astype(np.int64)
        return Image.fromarray(np.clip(grey >> 8, 0, 255).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range nothing tells")
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, coloured).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _fitted(picture: Image.Image, path: Path, size: tuple[int, int], resize: bool) -> Image.Image:
    if picture.size == size:
        return picture
    if not resize:
        raise DataError(
            f"{path} is {_text(picture.size)} pixels, and this run's pictures are {_text(size)}",
            "Let it be cut and scaled with --resize.",
        )
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
