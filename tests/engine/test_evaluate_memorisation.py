"""Copies of training pictures are found among the samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.evaluate import memorisation as module
from engine.evaluate.memorisation import memorisation, nearest


def pictures(seed: int, count: int, shape: tuple[int, ...] = (1, 12, 12)) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize(("rows", "block"), [(7, 5000), (1024, 2**22), (1, 1)])
def test_the_nearest_is_the_nearest_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, rows: int, block: int
) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    monkeypatch.setattr(module, "_BLOCK", block)
    x, training = pictures(0, 30, (3, 5, 4)), pictures(1, 200, (3, 5, 4))
    distances, indices = nearest(x, training)
    difference = x.double().flatten(1)[:, None] - training.double().flatten(1)[None]
    expected, at = difference.square().mean(dim=2).sqrt().min(dim=1)
    assert torch.equal(indices, at)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_distance_is_in_grey_levels() -> None:
    training = pictures(0, 50)
    training[7] = 100
    _, indices = nearest(training[7:8] + 3, training)
    distances, _ = nearest(training[7:8] + 3, training)
    assert indices.tolist() == [7]
    assert distances.tolist() == [3]


def test_a_copy_has_no_distance_also_where_sums_are_rounded() -> None:
    # 3·64·64 bright pixels: their sum of squares has more digits than float32 holds.
    training = pictures(0, 40, (3, 64, 64)) // 8 + 220
    samples = training[[3, 17, 39]].clone()
    samples[2, 0, 0, 0] -= 1
    distances, indices = nearest(samples, training)
    assert indices.tolist() == [3, 17, 39]
    assert distances.tolist() == pytest.approx([0, 0, (1 / 12288) ** 0.5], rel=1e-5, abs=0)


def test_planted_copies_are_found() -> None:
    training, held_out, samples = pictures(0, 2000), pictures(1, 4000), pictures(2, 500)
    planted = {40: 1234, 41: 0, 499: 1999}
    for sample, original in planted.items():
        samples[sample] = training[original]
    real, _ = nearest(held_out, training)
    found = memorisation(*nearest(samples, training), real)
    assert {pair.sample: pair.training for pair in found.closest[:3]} == planted
    assert [pair.distance for pair in found.closest[:3]] == [0, 0, 0]
    assert 3 / 500 <= found.share_near < 10 / 500
    assert len(found.closest) == module.PAIRS
    assert [p.distance for p in found.closest] == sorted(p.distance for p in found.closest)


def test_near_copies_count_and_a_set_of_them_is_nearer_in_the_median() -> None:
    training, held_out = pictures(0, 2000), pictures(1, 1000)
    real, _ = nearest(held_out, training)
    changed = training[:300].clone()
    changed[:, :, 0] = 255 - changed[:, :, 0]
    found = memorisation(*nearest(changed, training), real)
    assert found.share_near == 1
    assert 0 < found.median < 0.8 * found.floor_median


def test_held_out_pictures_copy_nothing() -> None:
    training, held_out = pictures(0, 1000), pictures(1, 2000)
    distances, indices = nearest(held_out, training)
    found = memorisation(distances, indices, distances)
    assert found.median == found.floor_median
    assert found.share_near == found.floor_share_near == pytest.approx(0.001, abs=0.0005)
    assert found.threshold == pytest.approx(float(distances.sort().values[2]), rel=0.01)


def test_progress_ends_with_all_of_them() -> None:
    told: list[tuple[int, int]] = []
    nearest(pictures(0, 2100, (1, 2, 2)), pictures(1, 5, (1, 2, 2)), lambda *a: told.append(a))
    assert told == [(1024, 2100), (2048, 2100), (2100, 2100)]
