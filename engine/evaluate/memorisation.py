"""Does the model repeat its training pictures? The nearest training picture of every sample.

In pixels, because a copy is a copy of pixels. Near alone says little: simple pictures have near
neighbours. So the samples' distances stand beside those of held-out pictures, which nobody copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Of held-out pictures; nearer than this quantile is suspicious.
QUANTILE = 0.001
PAIRS = 16

_ROWS = 1024
_BLOCK = 2**22  # values of the training pictures that are floats at a time: 16 MB


@dataclass(frozen=True)
class Pair:
    """A generated picture and the training picture nearest to it, by their indices."""

    sample: int
    training: int
    distance: float


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training picture: root mean square over pixels, in grey levels.

    Attributes:
        median: of the generated pictures.
        floor_median: of the held-out pictures.
        threshold: the 0.1 % quantile of the held-out pictures.
        share_near: the share of generated pictures nearer than the threshold.
        floor_share_near: the same for held-out pictures, 0.001 or less by construction.
        closest: the closest pairs, the closest first.
    """

    median: float
    floor_median: float
    threshold: float
    share_near: float
    floor_share_near: float
    closest: tuple[Pair, ...]


def nearest(
    pixels: Tensor, training: Tensor, on_step: Callable[[int, int], None] | None = None
) -> tuple[Tensor, Tensor]:
    """The nearest training picture of every picture.

    Args:
        pixels: uint8 (N, C, H, W).
        training: uint8 (M, C, H, W).
        on_step: told (pictures done, pictures in all).

    Returns:
        distances float32 (N,), root mean square over pixels in grey levels; indices int64 (N,).
    """
    device = training.device
    numel = training[0].numel()
    distances, indices = [], []
    for part in torch.split(pixels, _ROWS):
        x = part.to(device).flatten(1).float()
        best = torch.full((len(x),), torch.inf, device=device)
        found = torch.zeros(len(x), dtype=torch.int64, device=device)
        start = 0
        for block in torch.split(training, max(1, _BLOCK // numel)):
            y = block.flatten(1).float()
            # |x − y|² without |x|², which is the same for every y.
            value, index = torch.addmm(y.square().sum(dim=1), x, y.T, alpha=-2).min(dim=1)
            found = torch.where(value < best, index + start, found)
            best = torch.minimum(value, best)
            start += len(block)
        # Anew from the difference: an exact copy has distance 0, not what cancellation leaves.
        difference = x - training[found].flatten(1).float()
        distances.append(difference.square().mean(dim=1).sqrt().cpu())
        indices.append(found.cpu())
        if on_step:
            on_step(sum(map(len, indices)), len(pixels))
    return torch.cat(distances), torch.cat(indices)


def memorisation(distances: Tensor, indices: Tensor, held_out: Tensor) -> Memorisation:
    """Sum up what `nearest` found.

    Args:
        distances: of the generated pictures, (N,).
        indices: of their nearest training pictures, (N,).
        held_out: distances of the held-out pictures, (M,).
    """
    threshold = held_out.quantile(QUANTILE)
    order = distances.argsort(stable=True)[:PAIRS].tolist()
    return Memorisation(
        median=float(distances.median()),
        floor_median=float(held_out.median()),
        threshold=float(threshold),
        share_near=float((distances < threshold).cpu().double().mean()),
        floor_share_near=float((held_out < threshold).cpu().double().mean()),
        closest=tuple(Pair(i, int(indices[i]), float(distances[i])) for i in order),
    )
