"""The one map between pixels in [0, 255] and the range in which a diffusion model works, [−1, 1].

It is fixed. A map that stretched each picture to its own minimum and maximum would hide a wrong
brightness or contrast, which is the first thing a sampler gets wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_unit(pixels: Tensor) -> Tensor:
    """Map pixels to float32 in [−1, 1]: x / 127.5 − 1.

    Args:
        pixels: uint8, any shape, any device.
    """
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Map [−1, 1] to pixels: (x + 1) / 2, clamped to [0, 1], × 255, rounded. Undoes `to_unit`.

    Args:
        x: any floating-point type and shape. Values outside of [−1, 1] saturate; NaN, for which
            a cast to uint8 is undefined, becomes black.

    Returns:
        uint8 of the same shape on the same device.
    """
    unit = x.detach().float().add(1.0).div_(2.0).nan_to_num_(nan=0.0).clamp_(0.0, 1.0)
    return unit.mul_(255.0).round_().to(torch.uint8)
