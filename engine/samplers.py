"""Component 2, the update rules: from x_t to x_{prev_t}, given what the network believes.

One function per rule, all with one signature; a new sampler is a function and a row in `SAMPLERS`.
`prev_t` is the next timestep that the reverse process visits, −1 for the clean image. The rules
hold for any stride, not for prev_t = t − 1 alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from engine.schedule import NoiseSchedule

# Draws (N, C, H, W) standard normal noise for the step; not called when none is needed.
DrawNoise = Callable[[], Tensor]


@dataclass(frozen=True)
class SamplerOptions:
    """What the update rules can be asked for.

    Attributes:
        variance_type: ddpm: `fixed_small` σ² = β̃_t, `fixed_large` σ² = β_t.
        eta: ddim: 0 is deterministic, 1 has the noise of `fixed_small`.
    """

    variance_type: str = "fixed_small"
    eta: float = 0.0


def ddpm_step(
    schedule: NoiseSchedule,
    x_t: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: int,
    prev_t: int,
    draw_noise: DrawNoise,
    options: SamplerOptions,
) -> Tensor:
    """Ancestral sampling: a draw from q(x_{prev_t} | x_t, x_0) (Ho et al. 2020, eq. 6 and 7).

    Written with x_0 and not with ε, so that clipping x_0 to the images' range has its effect.
    Without clipping it equals the ε form of algorithm 2.
    """
    del eps
    alpha_cumprod, alpha_cumprod_prev = (
        schedule.alpha_cumprod_at(t),
        schedule.alpha_cumprod_at(prev_t),
    )
    alpha = alpha_cumprod / alpha_cumprod_prev
    beta = 1 - alpha
    mean = (
        alpha_cumprod_prev.sqrt() * beta * x0 + alpha.sqrt() * (1 - alpha_cumprod_prev) * x_t
    ) / (1 - alpha_cumprod)
    if prev_t < 0:
        return mean
    variance = beta
    if options.variance_type == "fixed_small":
        variance = beta * (1 - alpha_cumprod_prev) / (1 - alpha_cumprod)
    return mean + variance.sqrt() * draw_noise()


def ddim_step(
    schedule: NoiseSchedule,
    x_t: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: int,
    prev_t: int,
    draw_noise: DrawNoise,
    options: SamplerOptions,
) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12 and 16): few steps suffice, and η = 0 draws no noise."""
    del x_t
    alpha_cumprod, alpha_cumprod_prev = (
        schedule.alpha_cumprod_at(t),
        schedule.alpha_cumprod_at(prev_t),
    )
    beta = 1 - alpha_cumprod / alpha_cumprod_prev
    variance = options.eta**2 * beta * (1 - alpha_cumprod_prev) / (1 - alpha_cumprod)
    direction = (1 - alpha_cumprod_prev - variance).clamp(min=0).sqrt() * eps
    prev_sample = alpha_cumprod_prev.sqrt() * x0 + direction
    if options.eta > 0 and prev_t >= 0:
        prev_sample = prev_sample + variance.sqrt() * draw_noise()
    return prev_sample


SamplerStep = Callable[
    [NoiseSchedule, Tensor, Tensor, Tensor, int, int, DrawNoise, SamplerOptions], Tensor
]

SAMPLERS: dict[str, SamplerStep] = {"ddpm": ddpm_step, "ddim": ddim_step}
