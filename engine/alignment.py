"""One schedule held against another: which timesteps of the two belong together.

A timestep is only a name for an amount of noise. Where two schedules have the same signal-to-noise
ratio, x_t is the same image but for its t (Kingma et al. 2021, "Variational diffusion models",
section 5.1), so a schedule decides how long the process stays at which noise and nothing else.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.schedule import NoiseSchedule


def _angles(schedule: NoiseSchedule) -> npt.NDArray[np.float64]:
    """φ_t with √ᾱ_t = cos φ_t, float64 (T + 1,), rising from 0 at t = −1 to at most π / 2.

    Unlike the logarithm of the SNR it is finite at both ends, also where nothing of the image is
    left (Salimans & Ho 2022, appendix D).
    """
    alphas_cumprod = schedule.alphas_cumprod.cpu().numpy()
    angles = np.arctan2(np.sqrt(1 - alphas_cumprod), np.sqrt(alphas_cumprod))
    return np.concatenate([[0.0], angles])


def level_at(schedule: NoiseSchedule, t: float) -> float:
    """ᾱ at t in −1 … T − 1; between two timesteps by the angle φ on a straight line."""
    if t == int(t):
        return float(schedule.alpha_cumprod_at(int(t)))
    angles = _angles(schedule)
    return math.cos(np.interp(t, np.arange(-1, len(angles) - 1), angles)) ** 2


def same_snr(schedule: NoiseSchedule, alpha_cumprod: float) -> float:
    """The t in −1 … T − 1 at which a schedule has left as much of the image.

    The last timestep where it never leaves so little; compare `level_at` there.
    """
    angles = _angles(schedule)
    wanted = math.atan2(math.sqrt(1 - alpha_cumprod), math.sqrt(alpha_cumprod))
    return float(np.interp(wanted, angles, np.arange(-1, len(angles) - 1)))


def same_share(t: int, num_train_timesteps: int, other: int) -> int:
    """The timestep at the same share of another schedule's way; the same t where T is the same.

    Args:
        t: of −1 … `num_train_timesteps` − 1.
        other: T of the other schedule.
    """
    return -(-(t + 1) * other // num_train_timesteps) - 1
