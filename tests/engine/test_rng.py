"""Random draws: Philox as published, normal, and functions of (seed, purpose, step, index)."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from engine.rng import derive_seed, generator, philox4x32, sample_noise

SHAPE = (1, 28, 28)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # The kat_vectors of Random123, the lines "philox4x32 10".
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_published_words(counter, key, words) -> None:
    c0, c1, c2, c3 = (torch.tensor(word) for word in counter)
    assert tuple(int(word) for word in philox4x32((c0, c1, c2, c3), key)) == words


def test_philox_works_on_whole_tensors_as_on_single_counters() -> None:
    blocks, indices = torch.arange(5).reshape(1, -1), torch.arange(3).reshape(-1, 1)
    zero = torch.zeros(1, 1, dtype=torch.int64)
    together = philox4x32((blocks, indices, zero, zero), (7, 8))
    assert all(word.shape == (3, 5) for word in together)
    alone = philox4x32((blocks[:, 4:], indices[2:], zero, zero), (7, 8))
    assert [int(word[2, 4]) for word in together] == [int(word) for word in alone]


# Three words a block are thrown away in the last shape; the second is longer than one thread's
# share of a vectorised call.
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 128, 128), (3, 5, 7)])
def test_the_noise_of_a_picture_does_not_depend_on_its_batch(shape) -> None:
    batch = sample_noise(0, "x_T", 0, range(8), shape)
    assert batch.shape == (8, *shape)
    assert batch.dtype == torch.float32
    assert torch.equal(sample_noise(0, "x_T", 0, [3], shape)[0], batch[3])
    assert torch.equal(sample_noise(0, "x_T", 0, [7, 3, 3], shape), batch[[7, 3, 3]])


def test_any_32_bit_index_has_a_picture_of_its_own() -> None:
    indices = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    noise = sample_noise(0, "x_T", 0, indices, (4,))
    assert len({tuple(row.tolist()) for row in noise}) == len(indices)
    assert noise.isfinite().all()


def test_the_noise_is_standard_normal() -> None:
    noise = sample_noise(1, "x_T", 0, range(400), SHAPE).double().flatten()
    n = len(noise)
    # Each estimate within four of its own standard errors.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        estimate = float((noise**power).mean())
        assert abs(estimate - moment) < 4 * math.sqrt(variance / n), power
    empirical = torch.arange(1, n + 1) / n
    distance = (torch.special.ndtr(noise.sort().values) - empirical).abs().max()
    assert float(distance) < 1.95 / math.sqrt(n), "Kolmogorov and Smirnov, one in a thousand"
    assert float(noise.abs().max()) < 5.8, "24 bits go no further"


def test_pixels_pictures_and_steps_are_uncorrelated() -> None:
    here = sample_noise(1, "reverse", 5, range(400), SHAPE).flatten()
    step = sample_noise(1, "reverse", 6, range(400), SHAPE).flatten()
    limit = 4 / math.sqrt(len(here))
    pixels = math.prod(SHAPE)
    for lag in (1, 2, 3, 4, 28, pixels):
        assert abs(float((here[:-lag] * here[lag:]).mean())) < limit, lag
    assert abs(float((here * step).mean())) < limit


KEYS = [(0, "x_T", 0), (1, "x_T", 0), (0, "reverse", 0), (0, "reverse", 1), (0, "x_T", 1)]


@pytest.mark.parametrize(("one", "other"), combinations(KEYS, 2))
def test_another_seed_purpose_or_step_is_other_noise(one, other) -> None:
    assert not torch.isclose(sample_noise(*one, [0], SHAPE), sample_noise(*other, [0], SHAPE)).any()
    first, second = (torch.rand(1000, generator=generator(*key)) for key in (one, other))
    assert not torch.isclose(first, second, rtol=0, atol=1e-7).any()


@pytest.mark.parametrize("key", KEYS)
def test_the_same_key_is_the_same_noise(key) -> None:
    assert torch.equal(sample_noise(*key, [0], SHAPE), sample_noise(*key, [0], SHAPE))
    first, second = (torch.rand(1000, generator=generator(*key)) for _ in range(2))
    assert torch.equal(first, second)


def test_seeds_stay_what_they_were() -> None:
    """A change here changes every picture that was ever drawn from a seed."""
    assert derive_seed(0, "x_T", 0) == 5_139_210_966_148_196_691
    assert derive_seed(2**63 - 1, "train", 10**8) == 7_560_043_991_795_734_097
    first = sample_noise(0, "x_T", 0, [0], (4,))[0]
    assert first.tolist() == pytest.approx([-0.4723209, 0.0089266, -0.0078363, 0.0898227], abs=1e-6)


def test_numbers_are_not_glued_together() -> None:
    assert derive_seed(1, "a", 11) != derive_seed(1, "a", 1, 1)
    assert derive_seed(11, "a", 1) != derive_seed(1, "a", 1)
    assert 0 <= derive_seed(0, "a") < 2**63


def test_torchs_own_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    sample_noise(0, "x_T", 0, [0], SHAPE)
    torch.rand(3, generator=generator(0, "train", 0))
    assert torch.equal(torch.get_rng_state(), before)
