"""Improved precision and recall (Kynkäänniemi et al. 2019).

A set of pictures is taken for the union of balls around its members, each reaching to the member's
third nearest neighbour. Precision is the share of generated pictures inside the real set: do they
look real? Recall is the share of real pictures inside the generated set: does the model cover what
there is? Both depend on the number of pictures, so both sides have the same. A single real picture
that lies apart has a large ball, in which bad pictures may fall (Naeem et al. 2020): precision says
nothing without the distances beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.evaluate.distances import distance_rows

NEIGHBOURS = 3


def radii(x: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """The distance from each point to its k-th nearest other one.

    Args:
        x: float32 (N, D), N > k.

    Returns:
        float32 (N,).
    """
    # A point is its own nearest, so the k-th other one is the (k + 1)-th.
    return torch.cat([rows.kthvalue(k + 1, dim=1).values for rows in distance_rows(x, x)])


def share_inside(x: Tensor, y: Tensor, y_radii: Tensor) -> float:
    """The share of the points x, (N, D), that lie in a ball around one of y, (M, D)."""
    inside = [(rows <= y_radii).any(dim=1) for rows in distance_rows(x, y)]
    return float(torch.cat(inside).float().mean())


def precision_recall(generated: Tensor, real: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision and recall, each in [0, 1].

    Args:
        generated: features, float32 (N, D).
        real: features, float32 (N, D).
    """
    precision = share_inside(generated, real, radii(real, k))
    recall = share_inside(real, generated, radii(generated, k))
    return precision, recall
