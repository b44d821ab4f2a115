"""Component 1, the forward process, and what it implies: from clean to x_t in one step, and back.

Images x_0 are in [−1, 1]; noise is standard normal; t is (N,) int64 in 0 … T−1.

A network may predict the noise (`epsilon`), the image (`sample`) or the velocity (`v_prediction`,
v = √ᾱ ε − √(1−ᾱ) x_0; Salimans & Ho 2022, appendix D). At a given x_t each of the three decides the
other two, so samplers only ever see x_0 and ε.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

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


def training_target(
    schedule: NoiseSchedule, prediction_type: str, x_start: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """What the network should have said, (N, C, H, W)."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return x_start
    alpha_cumprod = schedule.alphas_cumprod[t]
    signal = _per_sample(alpha_cumprod.sqrt(), x_start)
    sigma = _per_sample((1 - alpha_cumprod).sqrt(), x_start)
    return signal * noise - sigma * x_start


def predict_x0_and_eps(
    schedule: NoiseSchedule, prediction_type: str, x_t: Tensor, t: int, output: Tensor
) -> tuple[Tensor, Tensor]:
    """The image and the noise that an output of the network at (x_t, t) stands for.

    q_sample solved for the two, given one of them (Ho et al., eq. 15) or v (Salimans & Ho,
    appendix D). At ᾱ_t = 0 (zero terminal SNR) an ε says nothing of x_0, which then is not finite.
    """
    alpha_cumprod = schedule.alpha_cumprod_at(t)
    signal, sigma = alpha_cumprod.sqrt(), (1 - alpha_cumprod).sqrt()
    match prediction_type:
        case "epsilon":
            return (x_t - sigma * output) / signal, output
        case "sample":
            return output, (x_t - signal * output) / sigma
        case "v_prediction":
            return signal * x_t - sigma * output, signal * output + sigma * x_t
    raise ValueError(f"unknown prediction_type {prediction_type!r}")


def min_snr_weight(
    schedule: NoiseSchedule, prediction_type: str, t: Tensor, snr_gamma: float
) -> Tensor:
    """float64 (N,): the weight of a sample's error, so that no t outweighs the rest.

    min(SNR, γ) as the weight of an error in x_0 (Hang et al. 2023, section 3.4), turned into the
    weight of the same error in ε (÷ SNR) or in v (÷ (SNR + 1)).
    """
    snr = schedule.snr[t]
    weight = snr.clamp(max=snr_gamma)
    if prediction_type == "epsilon":
        return weight / snr
    if prediction_type == "v_prediction":
        return weight / (snr + 1)
    return weight


def per_sample_loss(
    output: Tensor,
    schedule: NoiseSchedule,
    x_start: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    prediction_type: str = "epsilon",
    loss: str = "mse",
    snr_gamma: float = 0.0,
) -> Tensor:
    """float32 (N,): how wrong the network's output at q_sample(x_start, t, noise) is.

    Args:
        output: (N, C, H, W), what the network said, in any precision.
        loss: `mse` (Ho et al. 2020, eq. 14) or `huber`, quadratic within ±1 and linear beyond.
        snr_gamma: γ of the min-SNR weighting; 0 is off.
    """
    target = training_target(schedule, prediction_type, x_start, t, noise)
    measure = F.huber_loss if loss == "huber" else F.mse_loss
    error = measure(output.float(), target, reduction="none").flatten(1).mean(dim=1)
    if snr_gamma:
        error = error * min_snr_weight(schedule, prediction_type, t, snr_gamma).to(error.dtype)
    return error
