"""Component 3, the noise schedule: how much noise at which timestep.

Timesteps run 0 … T−1, as in diffusers and in the article.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.config import DiffusionConfig
from engine.device import widest_float


def linear_betas(num_train_timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """Betas on a straight line from `beta_start` to `beta_end` (Ho et al. 2020, section 4)."""
    return torch.linspace(beta_start, beta_end, num_train_timesteps, dtype=torch.float64)


def squaredcos_cap_v2_betas(num_train_timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """The cosine schedule (Nichol & Dhariwal 2021, equation 17), betas capped at 0.999.

    It is defined by alphas_cumprod alone; `beta_start` and `beta_end` have no say in it.
    """
    del beta_start, beta_end

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = num_train_timesteps
    betas = [1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float64).clamp(max=0.999)


def sigmoid_betas(num_train_timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """Betas on a sigmoid from near `beta_start` to near `beta_end` (GeoDiff; Xu et al. 2022)."""
    ramp = torch.linspace(-6, 6, num_train_timesteps, dtype=torch.float64)
    return torch.sigmoid(ramp) * (beta_end - beta_start) + beta_start


def rescale_zero_terminal_snr(betas: Tensor) -> Tensor:
    """Betas (T,) with √ᾱ shifted and scaled so that ᾱ_{T−1} = 0 (Lin et al. 2023, algorithm 1)."""
    root = torch.cumprod(1 - betas, dim=0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alphas_cumprod = root**2
    alphas = torch.cat([alphas_cumprod[:1], alphas_cumprod[1:] / alphas_cumprod[:-1]])
    return 1 - alphas


BETA_SCHEDULES: dict[str, Callable[[int, float, float], Tensor]] = {
    "linear": linear_betas,
    "squaredcos_cap_v2": squaredcos_cap_v2_betas,
    "sigmoid": sigmoid_betas,
}


@dataclass(frozen=True)
class NoiseSchedule:
    """Betas and what follows from them.

    In float64: where ᾱ is near 1, 1 − ᾱ and β = 1 − ᾱ_t / ᾱ_{t−1} keep four digits in float32,
    and the last steps of the reverse process would be wrong by that much.

    Attributes:
        betas: float64 (T,), each in (0, 1]: the variance of the noise added at timestep t.
        alphas_cumprod: float64 (T,): ᾱ_t, the share of the signal's variance left at t.
    """

    betas: Tensor
    alphas_cumprod: Tensor

    @classmethod
    def from_betas(cls, betas: Tensor) -> NoiseSchedule:
        """A schedule from betas (T,), preferably float64."""
        betas = betas.double()
        return cls(betas, torch.cumprod(1 - betas, dim=0))

    @classmethod
    def create(
        cls,
        beta_schedule: str,
        num_train_timesteps: int,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        *,
        rescale_betas_zero_snr: bool = False,
    ) -> NoiseSchedule:
        """A schedule by name; the names are the keys of `BETA_SCHEDULES`."""
        betas = BETA_SCHEDULES[beta_schedule](num_train_timesteps, beta_start, beta_end)
        return cls.from_betas(rescale_zero_terminal_snr(betas) if rescale_betas_zero_snr else betas)

    @classmethod
    def of(cls, config: DiffusionConfig) -> NoiseSchedule:
        """The schedule that a run's `[diffusion]` table describes."""
        return cls.create(
            config.beta_schedule,
            config.num_train_timesteps,
            config.beta_start,
            config.beta_end,
            rescale_betas_zero_snr=config.rescale_betas_zero_snr,
        )

    @property
    def num_train_timesteps(self) -> int:
        return len(self.betas)

    @cached_property
    def snr(self) -> Tensor:
        """float64 (T,): the signal-to-noise ratio ᾱ_t / (1 − ᾱ_t)."""
        return self.alphas_cumprod / (1 - self.alphas_cumprod)

    @cached_property
    def noise_level(self) -> Tensor:
        """float64 (T,): √(1 − ᾱ_t), the standard deviation of the noise in x_t."""
        return (1 - self.alphas_cumprod).sqrt()

    @cached_property
    def posterior_variance(self) -> Tensor:
        """float64 (T,): β̃_t = β_t (1 − ᾱ_{t−1}) / (1 − ᾱ_t), 0 at t = 0 (Ho et al., eq. 7)."""
        before = torch.cat([self.alphas_cumprod.new_ones(1), self.alphas_cumprod[:-1]])
        return self.betas * (1 - before) / (1 - self.alphas_cumprod)

    def alpha_cumprod_at(self, t: int) -> Tensor:
        """ᾱ_t as a scalar tensor; t = −1 is the clean image, ᾱ = 1."""
        return self.alphas_cumprod[t] if t >= 0 else self.alphas_cumprod.new_ones(())

    def to(self, device: torch.device | str) -> NoiseSchedule:
        """The schedule on a device; in float32 where the device has no float64."""
        dtype = widest_float(device)
        return NoiseSchedule(self.betas.to(device, dtype), self.alphas_cumprod.to(device, dtype))


def inference_timesteps(
    num_train_timesteps: int, num_inference_steps: int, timestep_spacing: str = "trailing"
) -> list[int]:
    """The timesteps that the reverse process visits, from noisy to clean.

    The three spacings are those of Lin et al. 2023 (table 2), as diffusers implements them:
    `leading` starts below T−1, `linspace` includes both ends, `trailing` always starts at T−1.

    Raises:
        ValueError: num_inference_steps is not in 1 … T, or the spacing is unknown.
    """
    total, n = num_train_timesteps, num_inference_steps
    if not 1 <= n <= total:
        raise ValueError(f"num_inference_steps must be 1 to {total}, not {n}")
    match timestep_spacing:
        case "leading":
            return [i * (total // n) for i in reversed(range(n))]
        case "linspace":
            return [round(t) for t in np.linspace(0, total - 1, n).tolist()[::-1]]
        case "trailing":
            # As diffusers writes it, but for the value too many that rounding can let in.
            return [round(t) - 1 for t in np.arange(total, 0, -total / n).tolist()[:n]]
    raise ValueError(f"unknown timestep_spacing {timestep_spacing!r}")
