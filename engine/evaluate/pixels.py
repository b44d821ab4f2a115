"""What a classifier does not see: brightness, contrast and fine noise, measured on the pixels.

A classifier learns to ignore them, and so do distances on its features; a sampler gets just these
wrong first. Four figures: how far the brightness of the pictures is from that of real ones, their
contrast, their mean power spectrum, and the power of their finest detail, picture by picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BATCH = 1000
# Rounding to bytes adds white noise of 1/12 grey level². With it an empty picture has a logarithm.
_ROUNDING = 1 / 12


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """Per picture, so that any subset has its own.

    Attributes:
        brightness: mean of a picture's pixels, float64 (N,) in [0, 255].
        contrast: standard deviation of a picture's pixels, float64 (N,) in grey levels.
        spectrum: power in rings of spatial frequency, from the lowest to the finest detail, without
            the mean, in grey levels² a pixel; float64 (N, min(H, W) // 2).
    """

    brightness: Tensor
    contrast: Tensor
    spectrum: Tensor

    def take(self, indices: Tensor) -> PixelStatistics:
        return PixelStatistics(
            self.brightness[indices], self.contrast[indices], self.spectrum[indices]
        )


@dataclass(frozen=True)
class PixelDistances:
    """How far the pixels of two sets are apart; 0 is the same.

    Attributes:
        brightness: Wasserstein-1 distance of the brightnesses of the pictures, in grey levels.
        contrast: the same for their contrasts.
        spectrum: root mean square difference of the mean power spectra, in dB.
        fine_detail: Wasserstein-1 distance of the power in the finest ring, in dB. Noise fills the
            smooth pictures, which the mean spectrum does not show, and blur empties all.
        brightness_shift: mean brightness of the first set minus that of the second.
        contrast_shift: mean contrast of the first set minus that of the second.
        fine_detail_shift: the same for the power in the finest ring, in dB.
    """

    brightness: float
    contrast: float
    spectrum: float
    fine_detail: float
    brightness_shift: float
    contrast_shift: float
    fine_detail_shift: float


def pixel_statistics(pixels: Tensor) -> PixelStatistics:
    """Statistics of pictures, uint8 (N, C, H, W)."""
    rings = _rings(pixels.shape[-2], pixels.shape[-1]).to(pixels.device)
    brightness, contrast, spectrum = [], [], []
    for part in torch.split(pixels, _BATCH):
        x = part.float()
        flat = x.flatten(1)
        brightness.append(flat.mean(dim=1))
        contrast.append(flat.std(dim=1, correction=0))
        power = torch.fft.fft2(x, norm="ortho").abs().square().mean(dim=1).flatten(1)
        spectrum.append(power @ rings)
    return PixelStatistics(
        torch.cat(brightness).cpu().double(),
        torch.cat(contrast).cpu().double(),
        torch.cat(spectrum).cpu().double(),
    )


def pixel_distances(a: PixelStatistics, b: PixelStatistics) -> PixelDistances:
    """Compare two sets of pictures, of N and M."""
    a_spectrum, b_spectrum = _decibels(a.spectrum.mean(dim=0)), _decibels(b.spectrum.mean(dim=0))
    a_fine, b_fine = _decibels(a.spectrum[:, -1]), _decibels(b.spectrum[:, -1])
    return PixelDistances(
        brightness=wasserstein(a.brightness, b.brightness),
        contrast=wasserstein(a.contrast, b.contrast),
        spectrum=float((a_spectrum - b_spectrum).square().mean().sqrt()),
        fine_detail=wasserstein(a_fine, b_fine),
        brightness_shift=float(a.brightness.mean() - b.brightness.mean()),
        contrast_shift=float(a.contrast.mean() - b.contrast.mean()),
        fine_detail_shift=float(a_fine.mean() - b_fine.mean()),
    )


def _decibels(power: Tensor) -> Tensor:
    return 10 * (power + _ROUNDING).log10()


def wasserstein(a: Tensor, b: Tensor) -> float:
    """Wasserstein-1 distance of two samples on a line, (N,) and (M,): ∫ |F_a − F_b|."""
    a, b = a.sort().values, b.sort().values
    points = torch.cat([a, b]).sort().values
    left, width = points[:-1], points.diff()
    a_below = torch.searchsorted(a, left, right=True) / len(a)
    b_below = torch.searchsorted(b, left, right=True) / len(b)
    return float(((a_below - b_below).abs() * width).sum())


def _rings(height: int, width: int) -> Tensor:
    """Which frequencies of an (H, W) spectrum make which ring: weights (H·W, rings), mean of each.

    The corners, finer than any row or column can show, belong to the last ring.
    """
    count = min(height, width) // 2
    fy = torch.fft.fftfreq(height).unsqueeze(1)
    fx = torch.fft.fftfreq(width).unsqueeze(0)
    ring = ((fy.square() + fx.square()).sqrt() * 2 * count).round().long().clamp(max=count)
    members = torch.nn.functional.one_hot(ring.flatten(), count + 1).float()[:, 1:]
    return members / members.sum(dim=0)
