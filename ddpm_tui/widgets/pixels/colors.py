"""Pixels to colours that the terminal has.

A colour is one integer, its code: 0xRRGGBB in truecolor, an index of the palette in 256 and in
16 colours.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet

from ddpm_tui.color import ColorMode
from ddpm_tui.widgets.pixels.layout import Images

Codes = NDArray[np.int64]

_CUBE_LEVELS = np.array([0, 95, 135, 175, 215, 255])  # of palette entries 16 … 231, per channel
_RAMP_LEVELS = np.arange(8, 239, 10)  # of palette entries 232 … 255

# What the Linux console and the CGA before it make of the 16 colours. Other terminals have other
# tints, but keep hue and order.
_SIXTEEN = np.array(
    [
        *([0, 0, 0], [170, 0, 0], [0, 170, 0], [170, 85, 0]),
        *([0, 0, 170], [170, 0, 170], [0, 170, 170], [170, 170, 170]),
        *([85, 85, 85], [255, 85, 85], [85, 255, 85], [255, 255, 85]),
        *([85, 85, 255], [255, 85, 255], [85, 255, 255], [255, 255, 255]),
    ]
)
_SIXTEEN_GREYS = np.array([0, 8, 7, 15])  # black, bright black, white, bright white

# Bayer's matrix: thresholds that are spread out evenly, in place and in height. The same pixel
# at the same place is always dithered alike, so what does not change is not sent again. They are
# drawn together towards the middle: a ground that is almost black should not be dotted.
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
_THRESHOLDS = 0.5 + 0.6 * ((_BAYER + 0.5) / 16 - 0.5)  # 0.2 … 0.8
_SPREAD = 100  # of 255: how far a threshold of 0 would move a colour from one of 1


def codes(images: Images, mode: ColorMode) -> Codes:
    """A colour code for every pixel: (n, h, w) or (n, h, w, 3) → (n, h, w)."""
    grey = images.ndim == 3
    if mode is ColorMode.COLOR16:
        return _dithered_greys(images) if grey else _dithered(images)
    if grey:
        table = _grey_table() if mode is ColorMode.COLOR256 else _GREY_STEPS * 0x010101
        return np.asarray(table.take(images), dtype=np.int64)
    if mode is ColorMode.COLOR256:
        return _looked_up(_table_256(), images)
    red, green, blue = (_CHANNEL_STEPS.take(channel) for channel in np.moveaxis(images, -1, 0))
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int64)


@lru_cache(maxsize=32768)
def color(code: int, mode: ColorMode) -> Color:
    """The colour that a code stands for."""
    if mode in (ColorMode.COLOR256, ColorMode.COLOR16):
        return Color.from_ansi(code)
    # What Color.from_rgb makes, in a third of the time.
    triplet = ColorTriplet(code >> 16, (code >> 8) & 255, code & 255)
    return Color(f"#{code:06x}", ColorType.TRUECOLOR, triplet=triplet)


# --- Truecolor ---------------------------------------------------------------------------------


def _quantiser(bits: int) -> Codes:
    """The value 0 … 255 nearest to each of 0 … 255 that `bits` bits can tell apart."""
    steps = 2**bits - 1
    value = np.rint(np.rint(np.arange(256) * steps / 255) * 255 / steps)
    return np.asarray(value, dtype=np.int64)


# Too fine to be seen on pixels of this size, coarse enough that pairs of colours come back, which
# is what the caches of styles live on. The channels share a quantiser so that greys stay grey.
_GREY_STEPS = _quantiser(6)
_CHANNEL_STEPS = _quantiser(5)


# --- 256 colours -------------------------------------------------------------------------------


def _linear(srgb: NDArray[Any]) -> NDArray[np.float32]:
    """sRGB (0 … 255) to light (0 … 1)."""
    s = np.asarray(srgb, dtype=np.float32) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _lightness(grey: NDArray[Any]) -> NDArray[np.float32]:
    """CIE L* (0 … 100) of an sRGB grey (0 … 255): equal steps look equal."""
    light = _linear(grey)
    return np.where(light <= (6 / 29) ** 3, light * (29 / 3) ** 3, 116 * np.cbrt(light) - 16)


def _oklab(srgb: NDArray[Any]) -> NDArray[np.float32]:
    """Oklab (Ottosson 2020) of sRGB colours (…, 3): equal distances look about equal."""
    to_cones = np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ],
        dtype=np.float32,
    )
    to_lab = np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ],
        dtype=np.float32,
    )
    return np.asarray(np.cbrt(_linear(srgb) @ to_cones) @ to_lab, dtype=np.float32)


@cache
def _grey_table() -> Codes:
    """Palette index of each grey 0 … 255: the nearest in lightness among the 24 steps of the grey
    ramp and the six neutral corners of the colour cube (black and white among them)."""
    levels = np.concatenate([_RAMP_LEVELS, _CUBE_LEVELS])
    indices = np.concatenate([np.arange(232, 256), 16 + 43 * np.arange(6)])
    distance = np.abs(_lightness(np.arange(256))[:, None] - _lightness(levels)[None, :])
    return np.asarray(indices[distance.argmin(axis=1)], dtype=np.int64)


@cache
def _table_256() -> Codes:
    """Index of the entry of the colour cube or the grey ramp that looks most like each colour
    with five bits per channel, (32, 32, 32)."""
    cube = np.stack(np.meshgrid(*[_CUBE_LEVELS] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    palette = np.concatenate([cube, _RAMP_LEVELS[:, None].repeat(3, axis=1)])
    return _nearest(palette) + 16


def _nearest(palette: NDArray[Any]) -> Codes:
    """Index of the nearest of a palette (k, 3), for each of (32, 32, 32) colours."""
    axis = np.rint(np.arange(32) * 255 / 31)
    offered = _oklab(palette)
    found = np.empty((32, 32, 32), dtype=np.int64)
    for red in range(32):  # a slice at a time stays in the processor's cache
        wanted = _oklab(np.stack(np.meshgrid(axis[red], axis, axis, indexing="ij"), axis=-1)[0])
        # |w − o|² without what is the same for every o.
        score = wanted @ (-2 * offered.T) + (offered**2).sum(axis=1)
        found[red] = score.argmin(axis=-1)
    return found


def _looked_up(table: Codes, images: Images) -> Codes:
    red, green, blue = np.moveaxis(images, -1, 0)
    return np.asarray(table[red >> 3, green >> 3, blue >> 3], dtype=np.int64)


# --- 16 colours --------------------------------------------------------------------------------


def _thresholds(h: int, w: int) -> NDArray[np.float64]:
    """The thresholds over and over, (h, w)."""
    return np.tile(_THRESHOLDS, (-(-h // 4), -(-w // 4)))[:h, :w]


def _dithered_greys(images: Images) -> Codes:
    """Of the four greys, the two around each pixel in turn, as often as it is near to them."""
    steps = len(_SIXTEEN_GREYS) - 1
    level = images * (steps / 255) + _thresholds(*images.shape[1:3])
    return np.asarray(_SIXTEEN_GREYS[level.astype(np.int64)], dtype=np.int64)


@cache
def _table_16() -> Codes:
    return _nearest(_SIXTEEN)


def _dithered(images: Images) -> Codes:
    offset = (_thresholds(*images.shape[1:3]) - 0.5)[..., None] * _SPREAD
    return _looked_up(_table_16(), np.clip(images + offset, 0, 255).astype(np.uint8))
