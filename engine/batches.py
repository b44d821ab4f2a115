"""What a step learns from: images, timesteps, noise and labels, all functions of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.config import RunConfig
from engine.data.dataset import Dataset
from engine.data.range import to_unit
from engine.rng import generator


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from, or a piece of it.

    Attributes:
        x_start: float32 (N, C, H, W) in [−1, 1].
        t: int64 (N,).
        noise: float32 (N, C, H, W), standard normal.
        labels: int64 (N,), or None where the network knows no classes.
        step: whose batch this is.
        first: where in that batch this piece begins.
    """

    x_start: Tensor
    t: Tensor
    noise: Tensor
    labels: Tensor | None
    step: int
    first: int = 0

    def __len__(self) -> int:
        return len(self.t)

    def pieces(self, count: int) -> Iterator[Batch]:
        """The batch in `count` nearly equal parts, or in single images where it has fewer."""
        count = min(count, len(self))
        edges = [len(self) * i // count for i in range(count + 1)]
        for start, end in pairwise(edges):
            part = slice(start, end)
            labels = None if self.labels is None else self.labels[part]
            yield Batch(
                self.x_start[part], self.t[part], self.noise[part], labels, self.step, start
            )


class Batches:
    """The batches of a run, one a step, drawn on the device."""

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self.config = config
        self.dataset = dataset
        self._permutation: tuple[int, Tensor] = (-1, torch.empty(0))

    def draw(self, step: int) -> Batch:
        """The batch of a step. Waits for nothing."""
        device = self.dataset.device
        indices = self.indices(step)
        x_start = self.dataset.batch(indices)
        draws = generator(self.config.seed, "train", step, device)
        total = self.config.diffusion.num_train_timesteps
        t = torch.randint(total, (len(x_start),), generator=draws, device=device)
        noise = torch.randn(x_start.shape, generator=draws, device=device)
        labels = None
        if self.config.model.class_conditional:
            # Now and then no class at all, so that the network learns both (Ho & Salimans 2022).
            dropped = torch.rand(t.shape, generator=draws, device=device)
            labels = self.dataset.labels[indices].masked_fill(
                dropped < self.config.training.class_dropout, len(self.dataset.class_names)
            )
        return Batch(x_start, t, noise, labels, step)

    def held_out(self, num: int, step: int) -> Batch:
        """At most `num` held-out images, with the same draws every time."""
        device = self.dataset.device
        images = self.dataset.test_images[:num]
        draws = generator(self.config.seed, "evaluate", 0, device)
        total = self.config.diffusion.num_train_timesteps
        # Every region of t equally often: less variance than drawing t.
        t = torch.arange(len(images), device=device) * total // len(images)
        noise = torch.randn(images.shape, generator=draws, device=device)
        labels = self.dataset.test_labels[:num] if self.config.model.class_conditional else None
        return Batch(to_unit(images), t, noise, labels, step)

    def indices(self, step: int) -> Tensor:
        """The images of a step: a stream of permutations, one an epoch, cut into batches."""
        size, batch_size = len(self.dataset), self.config.data.batch_size
        position, parts, missing = step * batch_size, [], batch_size
        while missing:
            epoch, offset = divmod(position, size)
            if self._permutation[0] != epoch:
                order = torch.randperm(size, generator=generator(self.config.seed, "epoch", epoch))
                self._permutation = (epoch, order.to(self.dataset.device, non_blocking=True))
            part = self._permutation[1][offset : offset + missing]
            parts.append(part)
            position, missing = position + len(part), missing - len(part)
        return torch.cat(parts)
