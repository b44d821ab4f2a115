"""Pixels to characters, for terminals without colour."""

from __future__ import annotations

import numpy as np

from ddpm_tui.widgets.pixels.cells import RADIX, Cells
from ddpm_tui.widgets.pixels.layout import Images

# Ten levels of ink, of the upper pixel (rows) and of the lower one (columns). A character with
# as much ink in each half of it as the pixels ask for shows both: twice the rows that one
# character a pixel would have. By the ink of DejaVu Sans Mono; other fonts are much like it.
_INK = (
    " ..,____uu",
    "`.:,___suu",
    "':::_cvsuy",
    "'::-=cvsyw",
    '""rr=cxuyw',
    "^^?rl+noep",
    "^??7tC*kGA",
    "^?ffYVh#dA",
    "?ffFF5EK%Q",
    "fFFFPEE98@",
)
ASCII_RAMP = "".join(row[level] for level, row in enumerate(_INK))
"""From no ink to most ink, where both pixels are alike."""

_LEVELS = len(_INK) - 1
_POINTS = np.array([[ord(character) for character in row] for row in _INK], dtype=np.int64)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def ink_cells(images: Images, dark: bool) -> Cells:
    """Cells of images: (n, h, w, …) → (n, ⌈h/2⌉, w). Ink is light on a dark ground, and dark on a
    light one."""
    grey = images.astype(np.float64)
    if grey.ndim == 4:
        grey = grey @ _LUMINANCE
    if grey.shape[1] % 2:
        grey = np.pad(grey, [(0, 0), (0, 1), (0, 0)], mode="edge")
    level = np.rint((grey if dark else 255 - grey) * (_LEVELS / 255)).astype(np.int64)
    points = _POINTS[level[:, 0::2], level[:, 1::2]]
    return np.asarray(points * RADIX + points, dtype=np.int64)
