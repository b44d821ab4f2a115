"""What features are blind to: brightness, contrast, detail."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.evaluate.pixels import (
    PixelDistances,
    pixel_distances,
    pixel_statistics,
    wasserstein,
)


def grey(seed: int, count: int = 400, size: int = 28) -> Tensor:
    """Smooth grey blobs between 40 and 210, so that nothing saturates."""
    x = torch.rand(count, 1, size + 8, size + 8, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.avg_pool2d(x, 5, 1), 5, 1)
    return (40 + 170 * smooth).round().byte()


def noisy(pixels: Tensor, sd: float) -> Tensor:
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(9)) * sd
    return (pixels.float() + noise).round().clamp(0, 255).byte()


def compare(a: Tensor, b: Tensor) -> PixelDistances:
    return pixel_distances(pixel_statistics(a), pixel_statistics(b))


def test_wasserstein_on_a_line() -> None:
    a = torch.tensor([3.0, 0.0, 1.0], dtype=torch.float64)
    assert wasserstein(a, a) == 0
    assert wasserstein(a, a + 2.5) == pytest.approx(2.5)
    assert wasserstein(a - 2.5, a) == pytest.approx(2.5)
    # Half of the mass moves by 4.
    assert wasserstein(torch.tensor([0.0]), torch.tensor([0.0, 4.0])) == pytest.approx(2)
    # Equal in mean, but not the same.
    assert wasserstein(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0])) == pytest.approx(1)


def test_the_same_pictures_have_no_distance() -> None:
    x = grey(0)
    found = compare(x, x.flip(0))
    assert vars(found) == pytest.approx(dict.fromkeys(vars(found), 0.0), abs=1e-9)


def test_a_brighter_set_is_seen_in_grey_levels() -> None:
    found = compare(grey(0) + 3, grey(0))
    assert found.brightness == pytest.approx(3, abs=1e-4)
    assert found.brightness_shift == pytest.approx(3, abs=1e-4)
    assert found.contrast == pytest.approx(0, abs=1e-4)
    assert found.spectrum == pytest.approx(0, abs=1e-3)


def test_pictures_brighter_and_darker_by_turns_are_seen_where_a_mean_is_blind() -> None:
    x = grey(0)
    by_turns = torch.where(torch.arange(len(x))[:, None, None, None] % 2 == 0, x + 20, x - 20)
    found = compare(by_turns, x)
    assert abs(found.brightness_shift) < 0.01
    assert found.brightness > 10


def test_contrast_is_the_spread_within_a_picture() -> None:
    x = grey(0)
    flat = (x.float() - 125).mul(0.8).add(125).round().byte()
    found = compare(flat, x)
    assert found.contrast_shift == pytest.approx(
        -0.2 * x.float().std(dim=(1, 2, 3)).mean(), rel=0.1
    )
    assert found.contrast == pytest.approx(-found.contrast_shift, rel=0.05)


def test_fine_noise_adds_detail_and_blur_takes_it() -> None:
    real, other = grey(0), grey(1)
    floor = compare(other, real)
    noise = compare(noisy(other, 2), real)
    assert noise.fine_detail > 10 * floor.fine_detail
    assert noise.fine_detail_shift > 0
    blurred = F.avg_pool2d(other.float(), 3, 1, 1, count_include_pad=False).round().byte()
    blur = compare(blurred, real)
    assert blur.fine_detail > 3 * floor.fine_detail
    assert blur.fine_detail_shift < 0
    assert min(noise.spectrum, blur.spectrum) > 3 * floor.spectrum


def test_the_spectrum_of_white_noise_is_flat_and_its_power_the_variance() -> None:
    x = noisy(torch.full((500, 1, 28, 28), 128, dtype=torch.uint8), 10)
    power = pixel_statistics(x).spectrum.mean(dim=0)
    assert power.shape == (14,)
    torch.testing.assert_close(power, torch.full_like(power, 100 + 1 / 12), rtol=0.05, atol=0)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (16, 24), (7, 9)])
def test_rings_go_from_the_whole_picture_to_a_checkerboard(height: int, width: int) -> None:
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    wave = 128 + 100 * torch.sin(2 * math.pi * x / width).expand(height, width)
    board = 128 + 100.0 * (-1) ** (x + y)
    for picture, ring in ((wave, 0), (board, -1)):
        power = pixel_statistics(picture.round().byte().expand(2, 3, height, width)).spectrum[0]
        assert len(power) == min(height, width) // 2
        assert int(power.argmax()) == ring % len(power)


def test_empty_pictures_have_finite_distances() -> None:
    # What a diverged model draws.
    found = compare(torch.zeros(50, 1, 28, 28, dtype=torch.uint8), grey(0))
    assert all(math.isfinite(value) for value in vars(found).values())
    assert found.fine_detail_shift < -3


def test_batches_do_not_matter() -> None:
    many = pixel_statistics(grey(3, 2500, 8))
    one = pixel_statistics(grey(3, 2500, 8)[2300:2301])
    torch.testing.assert_close(many.spectrum[2300:2301], one.spectrum)
    torch.testing.assert_close(many.contrast[2300:2301], one.contrast)
