"""Component 1, the forward process, and what it implies: from clean to x_t in one step, and back.

Images x_0 are in [−1, 1]; noise is standard normal; t is (N,) int64 in 0 … T−1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.schedule import NoiseSchedule


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def q_sample(schedule: NoiseSchedule, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0), directly to any t: √ᾱ_t x_0 + √(1 − ᾱ_t) ε  (Ho et al. 2020, eq. 4).

    Args:
        x_start: (N, C, H, W) in [−1, 1].
        t: (N,) int64.
        noise: (N, C, H, W) standard normal.
    """
    alpha_cumprod = schedule.alphas_cumprod[t]
    signal = _per_sample(alpha_cumprod.sqrt(), x_start)
    sigma = _per_sample((1 - alpha_cumprod).sqrt(), x_start)
    return signal * x_start + sigma * noise


def predict_x0(schedule: NoiseSchedule, x_t: Tensor, t: int, eps: Tensor) -> Tensor:
    """The x_0 that a noise prediction stands for: q_sample solved for x_0 (Ho et al., eq. 15)."""
    alpha_cumprod = schedule.alpha_cumprod_at(t)
    return (x_t - (1 - alpha_cumprod).sqrt() * eps) / alpha_cumprod.sqrt()


def training_loss(
    model: nn.Module, schedule: NoiseSchedule, x_start: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Mean squared error between the noise and the network's estimate (Ho et al., eq. 14).

    Returns:
        A scalar, averaged over batch and pixels, in float32 whatever the precision inside.
    """
    eps: Tensor = model(q_sample(schedule, x_start, t, noise), t)
    return torch.nn.functional.mse_loss(eps.float(), noise)
