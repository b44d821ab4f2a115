"""Component 2, the reverse process: a generator that yields what the network sees and predicts.

Whoever pulls decides: pausing is not pulling, stopping is closing, stepping is one `next()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.diffusion import predict_x0_and_eps
from engine.samplers import SAMPLERS, Context, Prediction, SamplerOptions
from engine.schedule import NoiseSchedule

# (x_t (N, C, H, W), t (N,) int64) -> what the network predicts, (N, C, H, W)
Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ReverseStep:
    """One step of the reverse process. Images are (N, C, H, W) float32, not clamped for display.

    Attributes:
        index: 0 for the first step, num_steps − 1 for the last.
        num_steps: how many steps there are in all.
        t: the timestep at which the network was asked, T−1 … 0.
        x_t: what the network saw.
        x0: what it takes the clean image to be, within the limit if there is one.
        eps: the noise that it sees in x_t.
        prev_sample: the result of the step; of the last step, the finished picture.
    """

    index: int
    num_steps: int
    t: int
    x_t: Tensor
    x0: Tensor
    eps: Tensor
    prev_sample: Tensor


def clip_x0(x0: Tensor) -> Tensor:
    """To the images' range, [−1, 1]."""
    return x0.clamp(-1, 1)


def dynamic_threshold(x0: Tensor, ratio: float) -> Tensor:
    """Clip each image to a quantile of its own |x_0|, scaled to 1 (Saharia et al. 2022, §2.3).

    Strong guidance drives x_0 out of range; clipping alone would saturate whole areas. A quantile
    below 1 is taken as 1, so that an image in range stays as it is.
    """
    s = torch.quantile(x0.abs().flatten(1), ratio, dim=1).clamp(min=1)
    s = s.reshape(-1, *[1] * (x0.ndim - 1))
    return x0.clamp(-s, s) / s


def reverse_process(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Tensor,
    timesteps: Sequence[int],
    draw_noise: Callable[[int], Tensor],
    *,
    prediction_type: str = "epsilon",
    sampler: str = "ddpm",
    options: SamplerOptions | None = None,
    limit_x0: Callable[[Tensor], Tensor] | None = clip_x0,
    after: ReverseStep | None = None,
) -> Iterator[ReverseStep]:
    """Denoise x_T along the timesteps (Ho et al. 2020, algorithm 2, for any sampler and stride).

    Args:
        denoiser: the network in eval mode, or anything that predicts.
        x_T: (N, C, H, W) standard normal, or an image noised to timesteps[0].
        timesteps: falling timesteps, see `inference_timesteps`.
        draw_noise: t -> (N, C, H, W) standard normal for the step that leaves t.
        prediction_type: what the denoiser predicts, see `engine.diffusion`.
        sampler: a key of `SAMPLERS`.
        limit_x0: keeps the predicted x_0 in range: `clip_x0`, a `dynamic_threshold`, or None, as
            the article does.
        after: the step that led to x_T, where this goes on from another reverse process; multistep
            samplers remember it. (N, …) as x_T.
    """
    step = SAMPLERS[sampler]
    options = options or SamplerOptions()

    def predict(x: Tensor, t: int) -> Prediction:
        output = denoiser(x, torch.full((len(x),), t, device=x.device)).float()
        x0, eps = predict_x0_and_eps(schedule, prediction_type, x, t, output)
        return Prediction(t, x, limit_x0(x0) if limit_x0 else x0, eps)

    x_t = x_T
    previous = Prediction(after.t, after.x_t, after.x0, after.eps) if after else None
    for index, t in enumerate(timesteps):
        prev_t = timesteps[index + 1] if index + 1 < len(timesteps) else -1
        # no_grad inside the loop: around a yield it would leak into whoever pulls.
        with torch.no_grad():
            now = predict(x_t, t)
            context = Context(previous, predict, partial(draw_noise, t), options)
            prev_sample = step(schedule, now, prev_t, context)
        yield ReverseStep(index, len(timesteps), t, x_t, now.x0, now.eps, prev_sample)
        x_t, previous = prev_sample, now
