"""The kernel distance: unbiased, and with an interval that keeps its promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.evaluate.kernel import _t_quantile, kernel_distance, polynomial_mmd


def points(seed: int, count: int, dim: int = 8) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_definition() -> None:
    x, y = points(0, 5, 3).double(), points(1, 7, 3).double()

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = [k(x[i], x[j]) for i in range(5) for j in range(5) if i != j]
    yy = [k(y[i], y[j]) for i in range(7) for j in range(7) if i != j]
    xy = [k(a, b) for a in x for b in y]
    expected = sum(xx) / len(xx) + sum(yy) / len(yy) - 2 * sum(xy) / len(xy)
    assert polynomial_mmd(x, y) == pytest.approx(expected)


def test_of_one_distribution_it_is_zero_on_average() -> None:
    # However few points: 20 would show a bias of the size of the kernel's diagonal / 20.
    found = torch.tensor(
        [polynomial_mmd(points(2 * i, 20), points(2 * i + 1, 20)) for i in range(600)]
    )
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean()) < 3 * error
    assert error < 0.05
    assert found.min() < 0 < found.max()


def test_it_does_not_grow_as_points_get_fewer() -> None:
    y = points(1, 4000) + 0.5
    many = kernel_distance(points(0, 4000), y).mean
    few = torch.tensor([kernel_distance(points(i, 200), y).mean for i in range(10, 30)])
    assert float(few.mean()) == pytest.approx(many, rel=0.15)


def test_it_tells_distributions_of_one_mean_and_covariance_apart() -> None:
    # A Fréchet distance cannot: it sees nothing but these two. The cubic kernel sees skewness.
    normal = points(0, 4000)
    skewed = -torch.log(torch.rand(4000, 8, generator=torch.Generator().manual_seed(1))) - 1
    assert kernel_distance(normal, skewed).low > 0


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    hits = 0
    for seed in range(300):
        found = kernel_distance(points(2 * seed, 200), points(2 * seed + 1, 200), seed)
        hits += found.low <= 0 <= found.high
    assert 0.91 <= hits / 300 <= 0.99


def test_subsets_are_disjoint_and_of_a_thousand_at_most() -> None:
    found = kernel_distance(points(0, 12_500, 2), points(1, 60_000, 2))
    assert (found.subsets, found.subset_size) == (12, 1000)
    found = kernel_distance(points(0, 400, 2), points(1, 60_000, 2))
    assert (found.subsets, found.subset_size) == (10, 40)
    # The smaller side decides.
    found = kernel_distance(points(0, 20_000, 2), points(1, 500, 2))
    assert (found.subsets, found.subset_size) == (10, 50)


def test_the_order_of_the_pictures_is_broken() -> None:
    # Pictures may come class by class; no subset must be of one class.
    x, y = points(0, 1000), points(1, 1000)
    shuffled = kernel_distance(x, y)
    found = kernel_distance(x[x[:, 0].argsort()], y[y[:, 0].argsort(descending=True)])
    assert found.low <= 0 <= found.high
    assert found.high - found.low < 3 * (shuffled.high - shuffled.low)


@pytest.mark.parametrize(("dof", "table"), [(9, 2.262), (19, 2.093), (49, 2.010), (999, 1.962)])
def test_the_quantile_is_students(dof: int, table: float) -> None:
    assert _t_quantile(dof) == pytest.approx(table, rel=0.002)
