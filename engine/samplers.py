"""Component 2, the update rules: from x_t to x_{prev_t}, given what the network predicts.

One function per rule, all with one signature; a new sampler is a function and a row in `SAMPLERS`.
`prev_t` is the next timestep that the reverse process visits, −1 for the clean image. The rules
hold for any stride, not for prev_t = t − 1 alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.schedule import NoiseSchedule

# Draws (N, C, H, W) standard normal noise for the step; not called when none is needed.
DrawNoise = Callable[[], Tensor]


@dataclass(frozen=True)
class Prediction:
    """What the network makes of x_t.

    Attributes:
        t: the timestep at which it was asked.
        x_t: (N, C, H, W), what it saw.
        x0: what it takes the clean image to be, within the limit if there is one.
        eps: the noise that it sees in x_t.
    """

    t: int
    x_t: Tensor
    x0: Tensor
    eps: Tensor


@dataclass(frozen=True)
class SamplerOptions:
    """What the update rules can be asked for.

    Attributes:
        variance_type: ddpm: `fixed_small` σ² = β̃_t, `fixed_large` σ² = β_t.
        eta: ddim: 0 is deterministic, 1 has the noise of `fixed_small`.
    """

    variance_type: str = "fixed_small"
    eta: float = 0.0


@dataclass(frozen=True)
class Context:
    """What a rule may use beside the prediction at x_t.

    Attributes:
        previous: the prediction of the step before, None at the first; multistep rules remember it.
        predict: (x, t) -> the network's prediction there; one more call, for rules of second order.
        draw_noise: the noise of this step.
        options: see `SamplerOptions`.
    """

    previous: Prediction | None
    predict: Callable[[Tensor, int], Prediction]
    draw_noise: DrawNoise
    options: SamplerOptions


def ddpm_step(schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context) -> Tensor:
    """Ancestral sampling: a draw from q(x_{prev_t} | x_t, x_0) (Ho et al. 2020, eq. 6 and 7).

    Written with x_0 and not with ε, so that clipping x_0 to the images' range has its effect.
    Without clipping it equals the ε form of algorithm 2.
    """
    alpha_cumprod = schedule.alpha_cumprod_at(now.t)
    alpha_cumprod_prev = schedule.alpha_cumprod_at(prev_t)
    alpha = alpha_cumprod / alpha_cumprod_prev
    beta = 1 - alpha
    mean = (
        alpha_cumprod_prev.sqrt() * beta * now.x0
        + alpha.sqrt() * (1 - alpha_cumprod_prev) * now.x_t
    ) / (1 - alpha_cumprod)
    if prev_t < 0:
        return mean
    variance = beta
    if context.options.variance_type == "fixed_small":
        variance = beta * (1 - alpha_cumprod_prev) / (1 - alpha_cumprod)
    return mean + variance.sqrt() * context.draw_noise()


def ddim_step(schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12 and 16): few steps suffice, and η = 0 draws no noise."""
    eta = context.options.eta
    alpha_cumprod = schedule.alpha_cumprod_at(now.t)
    alpha_cumprod_prev = schedule.alpha_cumprod_at(prev_t)
    beta = 1 - alpha_cumprod / alpha_cumprod_prev
    variance = eta**2 * beta * (1 - alpha_cumprod_prev) / (1 - alpha_cumprod)
    direction = (1 - alpha_cumprod_prev - variance).clamp(min=0).sqrt() * now.eps
    prev_sample = alpha_cumprod_prev.sqrt() * now.x0 + direction
    if eta > 0 and prev_t >= 0:
        prev_sample = prev_sample + variance.sqrt() * context.draw_noise()
    return prev_sample


def _half_log_snr(schedule: NoiseSchedule, t: int) -> Tensor:
    """λ_t = log(√ᾱ_t / √(1 − ᾱ_t)), float64 (); −∞ where nothing of the image is left."""
    return torch.logit(schedule.alpha_cumprod_at(t)) / 2


def _extrapolated_x0(
    schedule: NoiseSchedule, now: Prediction, previous: Prediction | None, h: Tensor
) -> Tensor:
    """x_0 in the middle of a step of length h in λ, from the last two predictions.

    D_i of Lu et al. 2022, algorithm 2, where r_i = h_{i−1} / h_i.
    """
    if previous is None:
        return now.x0
    h_before = _half_log_snr(schedule, now.t) - _half_log_snr(schedule, previous.t)
    return now.x0 + h / (2 * h_before) * (now.x0 - previous.x0)


def dpmpp_2m_step(
    schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context
) -> Tensor:
    """DPM-Solver++(2M), midpoint form (Lu et al. 2022, algorithm 2): 15 to 20 steps suffice.

    First order where there is no slope to extrapolate: at the first step, and after a first step
    from zero terminal SNR, where λ = −∞. The last step is x_0, first order too. So are diffusers'
    defaults; its `lower_order_final` has no say at second order, because its last σ is 0.
    """
    if prev_t < 0:
        return now.x0
    h = _half_log_snr(schedule, prev_t) - _half_log_snr(schedule, now.t)
    sigma_ratio = schedule.noise_level[prev_t] / schedule.noise_level[now.t]
    signal = schedule.alpha_cumprod_at(prev_t).sqrt()
    x0 = _extrapolated_x0(schedule, now, context.previous, h)
    return sigma_ratio * now.x_t - signal * torch.expm1(-h) * x0


def dpmpp_2m_sde_step(
    schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context
) -> Tensor:
    """SDE-DPM-Solver++(2M), midpoint form (Lu et al. 2022): `dpmpp_2m` with noise.

    A share of 1 − e^{−2h} of the variance of the noise is drawn anew, which washes out what
    earlier steps got wrong.
    """
    if prev_t < 0:
        return now.x0
    h = _half_log_snr(schedule, prev_t) - _half_log_snr(schedule, now.t)
    sigma = schedule.noise_level[prev_t]
    sigma_ratio = sigma / schedule.noise_level[now.t]
    signal = schedule.alpha_cumprod_at(prev_t).sqrt()
    fresh = -torch.expm1(-2 * h)
    x0 = _extrapolated_x0(schedule, now, context.previous, h)
    mean = sigma_ratio * torch.exp(-h) * now.x_t + signal * fresh * x0
    return mean + sigma * fresh.sqrt() * context.draw_noise()


def heun_step(schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context) -> Tensor:
    """Heun's method (Karras et al. 2022, algorithm 1): second order for two network calls a step.

    It solves dx̄/dσ = (x̄ − x_0) / σ, where x̄ = x_t / √ᾱ and σ = √(1 − ᾱ) / √ᾱ. With ρ the ratio
    of σ after and before the step, Euler's step (line 5) is ρ x̄ + (1 − ρ) x_0, and the correction
    (line 8) adds (1 − ρ) / 2ρ of the change of x_0: the algorithm, without its cancellations.

    The last step is Euler's, x_0. So is one in which σ falls more than a hundredfold, from zero
    terminal SNR or from the nearly pure noise of the cosine schedule: the correction would be the
    change of x_0 fifty times over and more.
    """
    if prev_t < 0:
        return now.x0
    signal = schedule.alpha_cumprod_at(prev_t).sqrt()
    sigma_ratio = schedule.noise_level[prev_t] / schedule.noise_level[now.t]
    rho = torch.exp(_half_log_snr(schedule, now.t) - _half_log_snr(schedule, prev_t))
    euler = sigma_ratio * now.x_t + signal * (1 - rho) * now.x0
    if rho < 0.01:
        return euler
    there = context.predict(euler, prev_t)
    return euler + signal * (1 - rho) / (2 * rho) * (there.x0 - now.x0)


SamplerStep = Callable[[NoiseSchedule, Prediction, int, Context], Tensor]

SAMPLERS: dict[str, SamplerStep] = {
    "ddpm": ddpm_step,
    "ddim": ddim_step,
    "dpmpp_2m": dpmpp_2m_step,
    "dpmpp_2m_sde": dpmpp_2m_sde_step,
    "heun": heun_step,
}
