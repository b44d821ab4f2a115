"""Component 2, the reverse process: a generator that yields what the network sees and believes.

Whoever pulls decides: pausing is not pulling, stopping is closing, stepping is one `next()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.diffusion import predict_x0
from engine.samplers import SAMPLERS, SamplerOptions
from engine.schedule import NoiseSchedule

# (x_t (N, C, H, W), t (N,) int64) -> predicted noise (N, C, H, W)
Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ReverseStep:
    """One step of the reverse process. Images are (N, C, H, W) float32, not clamped for display.

    Attributes:
        index: 0 for the first step, num_steps − 1 for the last.
        num_steps: how many steps there are in all.
        t: the timestep at which the network was asked, T−1 … 0.
        x_t: what the network saw.
        x0: what it takes the clean image to be, clipped to [−1, 1] when clip_sample is on.
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


def reverse_process(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Tensor,
    timesteps: Sequence[int],
    draw_noise: Callable[[int], Tensor],
    *,
    sampler: str = "ddpm",
    options: SamplerOptions | None = None,
    clip_sample: bool = True,
) -> Iterator[ReverseStep]:
    """Denoise x_T along the timesteps (Ho et al. 2020, algorithm 2, for any sampler and stride).

    Args:
        denoiser: the network in eval mode, or anything that predicts noise.
        x_T: (N, C, H, W) standard normal, or an image noised to timesteps[0].
        timesteps: falling timesteps, see `inference_timesteps`.
        draw_noise: t -> (N, C, H, W) standard normal for the step that leaves t.
        sampler: a key of `SAMPLERS`.
        clip_sample: clip the predicted x_0 to [−1, 1]; the article does not.
    """
    step = SAMPLERS[sampler]
    options = options or SamplerOptions()
    x_t = x_T
    for index, t in enumerate(timesteps):
        prev_t = timesteps[index + 1] if index + 1 < len(timesteps) else -1
        # no_grad inside the loop: around a yield it would leak into whoever pulls.
        with torch.no_grad():
            eps = denoiser(x_t, torch.full((len(x_t),), t, device=x_t.device)).float()
            x0 = predict_x0(schedule, x_t, t, eps)
            if clip_sample:
                x0 = x0.clamp(-1, 1)
            prev_sample = step(schedule, x_t, x0, eps, t, prev_t, partial(draw_noise, t), options)
        yield ReverseStep(index, len(timesteps), t, x_t, x0, eps, prev_sample)
        x_t = prev_sample
