"""Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, FID).

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), reported as d², as everybody does. All of it in
float64: with covariances of features in float32 the trace loses the digits that good models differ
in. The estimate is biased upwards, and the more the fewer pictures there are (Chong and Forsyth
2020), so two values compare only at the same number of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """The Gaussian fitted to a set of features.

    Attributes:
        mean: float64 (D,).
        covariance: float64 (D, D), with N − 1 in the denominator.
    """

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Fit a Gaussian.

    Args:
        features: (N, D), any floating-point type, N ≥ 2.
    """
    x = features.double()
    mean = x.mean(dim=0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance of two Gaussians, ≥ 0.

    tr (Σ₁ Σ₂)^½ is the sum of the square roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is
    symmetric: real eigenvalues also where a covariance is singular, and no imaginary part to drop.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    inner = root @ b.covariance @ root
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    shift = (a.mean - b.mean).square().sum()
    distance = shift + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(float(distance), 0.0)
