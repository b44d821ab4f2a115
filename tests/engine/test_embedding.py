"""Component 4: the positional encodings of the timestep, ours and the article's."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from engine.models.embedding import (
    article_timestep_embedding,
    timestep_embedding,
    varying_columns,
)

EVERY_T = torch.arange(1000)


@pytest.mark.parametrize("dim", [2, 8, 32, 128])
def test_ours_is_that_of_diffusers(dim) -> None:
    theirs = get_timestep_embedding(EVERY_T, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
    ours = timestep_embedding(EVERY_T, dim)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_ours_is_cosines_then_sines_of_falling_frequencies() -> None:
    row = timestep_embedding(torch.tensor([7]), 6)[0]
    frequencies = [1, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3)]
    expected = [math.cos(7 * w) for w in frequencies] + [math.sin(7 * w) for w in frequencies]
    assert row.tolist() == pytest.approx(expected, abs=1e-6)


def test_no_two_timesteps_share_an_embedding() -> None:
    for table in (timestep_embedding(EVERY_T, 32), article_timestep_embedding(1000, 100)):
        distance = torch.cdist(table, table) + 10 * torch.eye(1000)
        assert float(distance.min()) > 0.1


def test_the_articles_table_by_its_formula() -> None:
    """sin(t ω_j) in the even columns j, cos(t ω_j) one to the right; ω_j = 10,000^(−2j/d)."""
    table = article_timestep_embedding(1000, 100)
    assert table.shape == (1000, 100)
    assert table.dtype == torch.float32
    for t in (0, 1, 499, 999):
        for j in range(0, 100, 2):
            angle = t / 10_000 ** (2 * j / 100)
            # float32 knows an angle of 999 to 6e-5.
            assert float(table[t, j]) == pytest.approx(math.sin(angle), abs=1e-4)
            assert float(table[t, j + 1]) == pytest.approx(math.cos(angle), abs=1e-4)


def sinusoidal_embedding(n: int, d: int) -> Tensor:
    """The article's function told anew, for machines without its text."""
    frequency = torch.tensor([10_000 ** -(2 * j / d) for j in range(0, d, 2)])
    angles = torch.arange(n).outer(torch.ones(d // 2).long()) * frequency
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@pytest.mark.parametrize(("total", "dim"), [(1000, 100), (200, 100), (50, 8), (3, 2)])
def test_the_articles_table_is_what_its_function_returns(total, dim, article) -> None:
    theirs = article.get("sinusoidal_embedding", sinusoidal_embedding)(total, dim)
    torch.testing.assert_close(article_timestep_embedding(total, dim), theirs, rtol=0, atol=1e-4)
    if article:
        assert torch.equal(article_timestep_embedding(total, dim), theirs)


def test_most_of_the_articles_columns_hardly_change() -> None:
    """The flaw that the default network does not have."""
    articles, ours = article_timestep_embedding(1000, 100), timestep_embedding(EVERY_T, 100)
    assert int((articles.std(dim=0) < 0.05).sum()) > 50
    assert int((ours.std(dim=0) < 0.05).sum()) < 30


def test_columns_that_change_are_counted() -> None:
    columns = ([0.0, 0.0, 0.0], [0.0, 0.019, 0.0], [1.0, 0.979, 1.0], [-1.0, 1.0, 0.0])
    table = torch.tensor(columns).T
    assert varying_columns(table) == 2
    assert varying_columns(table, 0.5) == 1
    assert varying_columns(timestep_embedding(EVERY_T, 64)) == 62, "two cosines of long periods"
    assert varying_columns(article_timestep_embedding(1000, 100)) == 54
