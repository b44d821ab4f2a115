"""The pictures of a batch: the noise that each meets, and what each asks the network for.

All noise is a function of (seed, purpose, t, index of the picture), see `engine.rng`. The purposes:

- `x_T`: the noise that a picture starts from;
- `reverse`, `reverse1`, …: of a step, by round; `renoise1`, …: of the jump that begins the round;
- `known`, `known1`, …: of what an inpainted picture keeps.

Branch b of the first turn that makes branches adds `/b`, but branch 0, which goes on as the picture
would have. Of the second such turn it is `/2.b`, of the third `/3.b`: branches of branches stay
apart. Copy j of an inpainted picture adds `/inpaint2.j` where that is the second such turn; only a
given picture that is inpainted before any step starts afresh, copy j with the noise of picture j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from engine.config import SamplingConfig, override_sampling
from engine.reverse import Denoiser
from engine.rng import sample_noise
from engine.sampling import CHUNK, TrainedModel


@dataclass(frozen=True)
class Picture:
    """What one picture of the batch draws and asks for.

    Attributes:
        index: of the seed.
        branch: what its noise adds to every purpose.
        label: the class that an empty prompt means, where it is known; else it is the index's.
    """

    index: int
    branch: str
    label: int | None
    prompt: str
    guidance_scale: float


def noise_of(
    trained: TrainedModel, seed: int, pictures: Sequence[Picture], purpose: str, t: int
) -> Tensor:
    """The draws of the pictures, (N, C, H, W) standard normal."""
    parts = [
        sample_noise(
            seed,
            purpose + branch,
            t,
            [picture.index for picture in same],
            trained.image_shape,
            trained.device,
        )
        for branch, same in groupby(pictures, key=lambda picture: picture.branch)
    ]
    return torch.cat(parts)


def denoiser_of(
    trained: TrainedModel, sampling: SamplingConfig, pictures: Sequence[Picture]
) -> Denoiser:
    """What predicts for the batch.

    Those who ask for the same go through the network together, as many at once as in
    `draw_in_chunks`, so that a plain take has the same numbers.
    """
    parts: list[tuple[int, Denoiser]] = []
    for (prompt, guidance_scale), group in groupby(
        pictures, key=lambda picture: (picture.prompt, picture.guidance_scale)
    ):
        same = list(group)
        for chunk in (same[start : start + CHUNK] for start in range(0, len(same), CHUNK)):
            labels = [one.index if one.label is None else one.label for one in chunk]
            parts.append((len(chunk), asked_of(trained, sampling, prompt, guidance_scale, labels)))
    sizes = [size for size, _ in parts]

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        inputs = zip(torch.split(x_t, sizes), torch.split(t, sizes), strict=True)
        outputs = [ask(*part) for (_, ask), part in zip(parts, inputs, strict=True)]
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    return denoise


def words_of(trained: TrainedModel, pictures: Sequence[Picture]) -> tuple[str, ...]:
    """What each picture asks for: its prompt or the name of its class; empty where the network was
    told no classes.
    """
    names = trained.class_names
    if not trained.config.model.class_conditional:
        return ("",) * len(pictures)
    labels = (one.index if one.label is None else one.label for one in pictures)
    return tuple(
        one.prompt.strip() or names[label % len(names)]
        for one, label in zip(pictures, labels, strict=True)
    )


def asked_of(
    trained: TrainedModel,
    sampling: SamplingConfig,
    prompt: str,
    guidance_scale: float,
    labels: Sequence[int],
) -> Denoiser:
    """What predicts for pictures that ask for this; without a prompt each for its own label.

    Raises:
        ConfigError: the prompt names no class, or this network was told none.
    """
    values = {**sampling.model_dump(), "prompt": prompt, "guidance_scale": guidance_scale}
    return trained.denoiser(override_sampling(trained.config, values), labels)
