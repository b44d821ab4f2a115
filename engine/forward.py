"""Component 1, the forward process as something to look at: real images noised to any t."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.dataset import Dataset
from engine.data.range import to_uint8, to_unit
from engine.diffusion import q_sample
from engine.images import Pixels, write_gif, write_png
from engine.rng import sample_noise
from engine.runs import io
from engine.schedule import NoiseSchedule

# The article's stations of the forward process.
PERCENTS = (25, 50, 75, 100)
_GIF_FRAMES = 100


def station(percent: float, num_train_timesteps: int) -> int:
    """The timestep at a share of the forward process, as the article counts it."""
    return max(int(percent / 100 * num_train_timesteps) - 1, 0)


@dataclass(frozen=True)
class ForwardProcess:
    """Some real images and the noise that each will be given, fixed by the seed.

    Attributes:
        x_start: (N, C, H, W) in [−1, 1].
        noise: (N, C, H, W); one draw for all t, so that a change of t is all that changes.
    """

    schedule: NoiseSchedule
    x_start: Tensor
    noise: Tensor

    @classmethod
    def of(cls, dataset: Dataset, schedule: NoiseSchedule, num: int, seed: int) -> ForwardProcess:
        """The first images of the data set, one class after the other as far as they go."""
        x_start = to_unit(dataset.images[spread_over_classes(dataset.labels, num)])
        noise = sample_noise(seed, "forward", 0, range(num), dataset.image_shape, dataset.device)
        return cls(schedule, x_start, noise)

    def at(self, t: int) -> Tensor:
        """x_t, (N, C, H, W); t = −1 gives the originals."""
        if t < 0:
            return self.x_start
        timesteps = torch.full((len(self.x_start),), t, device=self.x_start.device)
        return q_sample(self.schedule, self.x_start, timesteps, self.noise)

    def pixels(self, t: int) -> Pixels:
        """x_t as uint8 (N, C, H, W), by the fixed map."""
        result: Pixels = to_uint8(self.at(t)).cpu().numpy()
        return result


def spread_over_classes(labels: Tensor, num: int) -> Tensor:
    """Indices of `num` images: the first of each class, then the second of each class, ….

    Raises:
        ValueError: there are fewer than `num` images.
    """
    if num > len(labels):
        raise ValueError(f"{num} images asked for, {len(labels)} there")
    # The rank of an image among those of its class decides first, then its class.
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    starts = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(labels), device=labels.device) - starts[labels[order]]
    key = rank * len(counts) + labels[order]
    return order[torch.argsort(key)[:num]]


def write_forward(process: ForwardProcess, out: Path, stem: str) -> tuple[Path, Path]:
    """The originals and 25, 50, 75 and 100 % as one PNG, a row each; the whole way as GIF.

    Raises:
        RunError: the folder cannot be written.
    """
    with io.explained("create", out):
        out.mkdir(parents=True, exist_ok=True)
    total = process.schedule.num_train_timesteps
    rows = [process.pixels(-1), *(process.pixels(station(p, total)) for p in PERCENTS)]
    png, gif = out / f"{stem}.png", out / f"{stem}.gif"
    write_png(png, np.concatenate(rows), columns=len(rows[0]))
    timesteps = np.linspace(-1, total - 1, min(_GIF_FRAMES, total + 1)).astype(int)
    write_gif(gif, [process.pixels(int(t)) for t in timesteps])
    return png, gif
