"""The Fréchet distance, held against closed forms and another way to its square root."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.evaluate.frechet import Moments, frechet_distance, moments


def gaussian(mean: list[float], covariance: Tensor) -> Moments:
    return Moments(torch.tensor(mean, dtype=torch.float64), covariance.double())


def random_covariance(seed: int, dim: int = 12) -> Tensor:
    a = torch.randn(dim, dim + 4, generator=torch.Generator().manual_seed(seed)).double()
    return a @ a.T / dim


def test_on_a_line_it_is_the_closed_form() -> None:
    a = gaussian([1.0], torch.tensor([[4.0]]))
    b = gaussian([4.0], torch.tensor([[9.0]]))
    assert frechet_distance(a, b) == pytest.approx((1 - 4) ** 2 + (2 - 3) ** 2)


def test_independent_dimensions_add_up() -> None:
    a = gaussian([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    b = gaussian([0.5, 1.0, 0.0], torch.diag(torch.tensor([4.0, 4.0, 1.0])))
    assert frechet_distance(a, b) == pytest.approx(0.25 + 4 + (1 - 2) ** 2 + (3 - 1) ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_the_square_root_is_that_of_the_product(seed: int) -> None:
    # tr (Σ₁ Σ₂)^½ once more, from the eigenvalues of the product, which is not symmetric.
    s1, s2 = random_covariance(seed), random_covariance(seed + 100)
    cross = np.sqrt(np.linalg.eigvals((s1 @ s2).numpy())).sum().real
    expected = float(s1.trace() + s2.trace()) - 2 * cross
    zero = [0.0] * 12
    assert frechet_distance(gaussian(zero, s1), gaussian(zero, s2)) == pytest.approx(expected)


def test_it_agrees_with_scipys_square_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    s1, s2 = random_covariance(1), random_covariance(2)
    cross = np.trace(linalg.sqrtm((s1 @ s2).numpy())).real
    expected = float(s1.trace() + s2.trace()) - 2 * cross
    zero = [0.0] * 12
    assert frechet_distance(gaussian(zero, s1), gaussian(zero, s2)) == pytest.approx(expected)


def test_a_set_has_no_distance_from_itself_and_the_order_does_not_matter() -> None:
    draws = torch.Generator().manual_seed(0)
    a = moments(torch.randn(500, 16, generator=draws))
    b = moments(torch.randn(500, 16, generator=draws) * 1.5 + 0.3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_moments_are_the_sample_mean_and_covariance() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    found = moments(x)
    assert found.mean.dtype is found.covariance.dtype is torch.float64
    np.testing.assert_allclose(found.covariance, np.cov(x.double().numpy(), rowvar=False))
    np.testing.assert_allclose(found.mean, x.double().numpy().mean(axis=0))


def test_features_far_from_zero_lose_no_digits() -> None:
    # In float32 the squares of 10,000 drown a variance of 1.
    x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(2)) + 10_000
    y = torch.randn(1000, 4, generator=torch.Generator().manual_seed(3)) + 10_000
    near = frechet_distance(moments(x.double() - 10_000), moments(y.double() - 10_000))
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(near, rel=1e-6)


def test_fewer_points_than_dimensions_have_a_distance_all_the_same() -> None:
    draws = torch.Generator().manual_seed(4)
    few = moments(torch.randn(20, 64, generator=draws))
    many = moments(torch.randn(2000, 64, generator=draws))
    distance = frechet_distance(few, many)
    assert math.isfinite(distance)
    assert distance > 10


def test_it_is_biased_upwards_and_the_bias_falls_with_the_number() -> None:
    # Why every value stands beside a floor at the same n.
    draws = torch.Generator().manual_seed(5)
    reference = moments(torch.randn(20_000, 32, generator=draws))
    found = [
        frechet_distance(moments(torch.randn(n, 32, generator=draws)), reference)
        for n in (64, 256, 1024, 4096)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 10 * found[-1]
