"""Edits of the noise that pictures come from."""

from __future__ import annotations

import torch

from engine import interventions
from engine.config import SamplingConfig
from engine.edits.common import Edit, descent_of, draws_of, in_rows
from engine.errors import ConfigError
from engine.sampling import TrainedModel, draws_noise, sampler_words
from engine.sheet import Sheet, filmed, to_pixels
from engine.takes.path import timesteps_of


def interpolate(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seeds: tuple[int, int],
    frames: int,
) -> Edit:
    """From the pictures of one seed to those of another, along the arc between their noise.

    Args:
        frames: pictures on the way, both ends included.

    Raises:
        ConfigError: the sampler draws noise, so that x_T does not decide the picture.
    """
    if draws_noise(sampling):
        raise ConfigError(
            f"{sampler_words(sampling)} draws noise on the way: x_T does not decide the picture",
            "Take --sampler ddim, dpmpp_2m or heun.",
        )
    indices = range(sampling.num)
    first, last = (draws_of(trained, seed, indices)("x_T", 0) for seed in seeds)
    weights = [index / (frames - 1) for index in range(frames)]
    x_T = torch.stack([interventions.slerp(first, last, weight) for weight in weights], dim=1)
    x_T = x_T.flatten(0, 1)
    of_picture = [index for index in indices for _ in range(frames)]
    descend = descent_of(
        trained,
        sampling,
        trained.denoiser(sampling, of_picture),
        draws_of(trained, seeds[0], of_picture),
    )
    result = yield from filmed(
        descend(x_T, timesteps_of(trained.schedule.num_train_timesteps, sampling), 0), [], x_T
    )
    rows = in_rows(result, frames)
    return Sheet(
        f"interpolate-seeds{seeds[0]}to{seeds[1]}-{frames}frames",
        tuple(f"picture {i}, from seed {seeds[0]} to seed {seeds[1]}" for i in indices),
        to_pixels(result),
        frames,
        [to_pixels(rows[:, frame]) for frame in range(frames)],
        facts={"seeds": list(seeds), "frames": frames},
    )
