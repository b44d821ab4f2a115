"""The loss by timestep: where along the noise the network still fails."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.runs.metrics import TIMESTEP_BUCKETS


class LossByTimestep:
    """Adds up the losses of even stretches of t, on the device, without a wait for it.

    What is added up is the error of the prediction as `training.loss` measures it, before any
    min-SNR weight: the weight says how much a timestep should matter to the training, and would
    hide how well the network does there. Sums of masked columns, not a scatter: on a GPU that
    would add in any order, and a resumed run would not repeat the same figures.

    Args:
        num_train_timesteps: T; where it is below the number of stretches, some stay empty.
    """

    def __init__(self, num_train_timesteps: int, device: torch.device) -> None:
        self._total = num_train_timesteps
        self._stretches = torch.arange(TIMESTEP_BUCKETS, device=device)
        self._sums = torch.zeros(2, TIMESTEP_BUCKETS, device=device)

    @torch.no_grad()
    def add(self, t: Tensor, losses: Tensor) -> None:
        """Losses (N,) at timesteps t (N,), int64 in 0 … T − 1; what is not finite is left out."""
        stretch = t * TIMESTEP_BUCKETS // self._total
        counted = (stretch[:, None] == self._stretches) & torch.isfinite(losses)[:, None]
        self._sums[0] += torch.where(counted, losses[:, None], 0.0).sum(dim=0)
        self._sums[1] += counted.sum(dim=0)

    def clear(self) -> None:
        """Forget what was added."""
        self._sums = torch.zeros_like(self._sums)

    def state(self) -> Tensor:
        """What was added, float32 (2, stretches): sums, then counts; for a checkpoint."""
        return self._sums.clone()

    def load(self, state: Tensor) -> None:
        """Go on from what `state` gave."""
        self._sums = state.to(self._sums)

    def take(self) -> Tensor:
        """What was added, float32, to be read back with other figures; and clear. See `means`."""
        sums = self._sums.flatten()
        self.clear()
        return sums


def means(taken: Sequence[float]) -> tuple[float | None, ...]:
    """The mean loss of each stretch of t, least noise first; None where no t was drawn.

    Four digits: more than a few dozen draws can tell.
    """
    sums, counts = taken[:TIMESTEP_BUCKETS], taken[TIMESTEP_BUCKETS:]
    return tuple(
        float(f"{total / count:.4g}") if count else None
        for total, count in zip(sums, counts, strict=True)
    )
