"""Kernel distance between two sets of features (Bińkowski et al. 2018, KID).

The unbiased estimate of the squared maximum mean discrepancy under k(x, y) = (x·y / D + 1)³. Unlike
the Fréchet distance it assumes no Gaussian, and its expectation does not depend on the number of
pictures: of two samples of one distribution it is 0 on average, so single values may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.rng import generator

# Bińkowski's size of a subset, and how many there have to be at least for an interval.
SUBSET = 1000
MIN_SUBSETS = 10
_Z = 1.959964  # normal, 97.5 %


@dataclass(frozen=True)
class KernelDistance:
    """A mean over subsets, and the 95 % interval in which the distance lies.

    Attributes:
        subsets: how many disjoint subsets there were.
        subset_size: pictures of each side in a subset.
    """

    mean: float
    low: float
    high: float
    subsets: int
    subset_size: int


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD with the cubic polynomial kernel.

    Args:
        x: (N, D), y: (M, D), any floating-point type, N and M ≥ 2.
    """
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        values = kernel(a, a)
        return (values.sum() - values.trace()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def kernel_distance(x: Tensor, y: Tensor, seed: int = 0) -> KernelDistance:
    """The mean of the unbiased estimate over subsets, with its 95 % interval.

    The subsets are disjoint on both sides. Their estimates are then independent, which makes the
    interval of Student's t an honest one; overlapping subsets would make it as narrow as one likes.

    Args:
        x: (N, D), y: (M, D), N and M ≥ 20.
        seed: decides which pictures meet in a subset.
    """
    fewer = min(len(x), len(y))
    size = min(SUBSET, fewer // MIN_SUBSETS)
    count = fewer // size
    x_order = torch.randperm(len(x), generator=generator(seed, "kernel distance", 0))
    y_order = torch.randperm(len(y), generator=generator(seed, "kernel distance", 1))
    parts = [slice(i * size, (i + 1) * size) for i in range(count)]
    estimates = torch.tensor(
        [polynomial_mmd(x[x_order[part]], y[y_order[part]]) for part in parts], dtype=torch.float64
    )
    mean = float(estimates.mean())
    half = _t_quantile(count - 1) * float(estimates.std()) / math.sqrt(count)
    return KernelDistance(mean, mean - half, mean + half, count, size)


def _t_quantile(dof: int) -> float:
    """The 97.5 % quantile of Student's t, right to 0.2 % from 9 degrees of freedom on.

    The first terms of its expansion around the normal's (Abramowitz and Stegun, 26.7.5).
    """
    z = _Z
    return z + (z**3 + z) / (4 * dof) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * dof**2)
