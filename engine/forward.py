"""Component 1, the forward process as something to look at: real images noised to any t."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.alignment import level_at
from engine.data.dataset import Dataset
from engine.data.range import to_uint8, to_unit
from engine.images import Pixels
from engine.rng import sample_noise
from engine.schedule import NoiseSchedule

# The article's stations of the forward process.
PERCENTS = (25, 50, 75, 100)


def station(percent: float, num_train_timesteps: int) -> int:
    """The timestep at a share of the forward process, as the article counts it."""
    return max(int(percent / 100 * num_train_timesteps) - 1, 0)


@dataclass(frozen=True)
class ForwardProcess:
    """Some real images and the noise that each will be given, fixed by the seed.

    Attributes:
        x_start: (N, C, H, W) in [−1, 1].
        noise: (N, C, H, W); one draw for all t, so that a change of t is all that changes.
        labels: int64 (N,), the class of each image.
    """

    schedule: NoiseSchedule
    x_start: Tensor
    noise: Tensor
    labels: Tensor

    @classmethod
    def of(cls, dataset: Dataset, schedule: NoiseSchedule, num: int, seed: int) -> ForwardProcess:
        """The first held-out images of the data set, one class after the other.

        Held out, so that what a network makes of them says what it has learned.
        """
        chosen = spread_over_classes(dataset.test_labels, num)
        x_start = to_unit(dataset.test_images[chosen])
        noise = sample_noise(seed, "forward", 0, range(num), dataset.image_shape, dataset.device)
        return cls(schedule, x_start, noise, dataset.test_labels[chosen])

    def __len__(self) -> int:
        return len(self.x_start)

    def first(self, num: int) -> ForwardProcess:
        """The same with the first images alone."""
        return replace(
            self, x_start=self.x_start[:num], noise=self.noise[:num], labels=self.labels[:num]
        )

    def to(self, device: torch.device | str) -> ForwardProcess:
        return ForwardProcess(
            self.schedule.to(device),
            self.x_start.to(device),
            self.noise.to(device),
            self.labels.to(device),
        )

    def at(self, t: float) -> Tensor:
        """x_t, (N, C, H, W); t = −1 gives the originals, and between timesteps see `level_at`.

        √ᾱ_t x_0 + √(1 − ᾱ_t) ε  (Ho et al. 2020, eq. 4), one t for all images.
        """
        if t < 0 and t == int(t):
            return self.x_start
        alpha_cumprod = level_at(self.schedule, t)
        signal, sigma = math.sqrt(alpha_cumprod), math.sqrt(1 - alpha_cumprod)
        return signal * self.x_start + sigma * self.noise

    def pixels(self, t: float) -> Pixels:
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
