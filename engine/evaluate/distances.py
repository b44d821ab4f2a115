"""Euclidean distances between many points, a block at a time: memory stays bounded at any count."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Distances in a block: 64 MB of float32.
_BLOCK = 2**24


def distance_rows(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """All distances from x to y, some rows of the matrix at a time.

    Args:
        x: float32 (N, D), y: float32 (M, D).

    Yields:
        float32 (B, M) ≥ 0 for the next B rows of x.
    """
    # |x − y|² = |x|² − 2 x·y + |y|² cancels less when the points lie around 0.
    centre = y.mean(dim=0)
    x, y = x - centre, y - centre
    y_square = y.square().sum(dim=1)
    for part in torch.split(x, max(1, _BLOCK // len(y))):
        block = torch.addmm(y_square, part, y.T, alpha=-2)
        yield block.add_(part.square().sum(dim=1, keepdim=True)).clamp_(min=0).sqrt_()
