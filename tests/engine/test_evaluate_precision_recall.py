"""Improved precision and recall, and the distances under them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.evaluate import distances
from engine.evaluate.distances import distance_rows
from engine.evaluate.precision_recall import precision_recall, radii, share_inside


def points(seed: int, count: int, dim: int = 8) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [1, 1000, 2**24])
def test_distances_are_euclidean_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(distances, "_BLOCK", block)
    x, y = points(0, 37) + 100, points(1, 53) + 100
    found = list(distance_rows(x, y))
    assert max(len(part) for part in found) <= max(1, block // 53)
    expected = (x[:, None] - y[None]).square().sum(dim=2).sqrt()
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-4, atol=1e-4)


def test_a_radius_reaches_to_the_third_other_point() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    assert radii(x).tolist() == pytest.approx([6, 5, 3, 5, 9], abs=1e-3)


def test_inside_is_inside_of_any_ball() -> None:
    x = torch.tensor([[0.5], [2.5], [11.0]])
    balls = torch.tensor([[0.0], [10.0]])
    assert share_inside(x, balls, torch.tensor([1.0, 0.9])) == pytest.approx(1 / 3)
    assert share_inside(x, balls, torch.tensor([1.0, 1.1])) == pytest.approx(2 / 3)


def test_precision_asks_the_generated_and_recall_the_real() -> None:
    # Four real clusters; the generated ones cover one of them, and it well.
    real = torch.cat([points(i, 100, 2) * 0.1 + torch.tensor([10.0 * i, 0.0]) for i in range(4)])
    generated = points(9, 400, 2) * 0.1
    precision, recall = precision_recall(generated, real)
    assert precision > 0.85
    assert 0.15 < recall < 0.26
    # And the other way round.
    precision, recall = precision_recall(real, generated)
    assert 0.15 < precision < 0.26
    assert recall > 0.85


def test_noise_costs_precision() -> None:
    real, other = points(0, 1000), points(1, 1000)
    found = [precision_recall(other + s * points(2, 1000), real)[0] for s in (0, 0.5, 1, 2)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.5 < 0.8 < found[0]


def test_missing_modes_cost_recall_and_not_precision() -> None:
    def mixture(modes: int, seed: int) -> Tensor:
        which = torch.arange(1000) % modes
        centres = 8 * torch.eye(8)[which]
        return centres + points(seed, 1000)

    real = mixture(8, 0)
    found = [precision_recall(mixture(modes, modes), real) for modes in (8, 4, 2)]
    assert all(precision > 0.8 for precision, _ in found)
    recalls = [recall for _, recall in found]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[-1] < 0.4
