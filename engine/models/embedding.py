"""Component 4, the positional encoding of the timestep: one vector for each noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines and sines of t at geometrically spaced frequencies (Vaswani et al. 2017, §3.5).

    Args:
        t: (N,) timesteps.
        dim: width of the embedding, even.

    Returns:
        float32 (N, dim): [cos(t ω_0) … cos(t ω_k), sin(t ω_0) … sin(t ω_k)] with
        ω_j = max_period^(−j / (dim/2)). The order is that of diffusers' `flip_sin_to_cos=True`.
    """
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """Sinusoidal features -> MLP -> the vector that every block of a network is told (N, dim)."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(features)))
        return out


def article_timestep_embedding(num_train_timesteps: int, dim: int) -> Tensor:
    """The article's table, sines at even and cosines at odd columns.

    Its exponent is 2j/dim with j already even, so the frequencies fall twice as fast as intended
    and most columns hardly change over 1,000 timesteps. Kept as it is: this is the recipe.

    Returns:
        float32 (num_train_timesteps, dim).
    """
    frequency = torch.tensor([1 / 10_000 ** (2 * j / dim) for j in range(0, dim, 2)])
    angles = torch.arange(num_train_timesteps)[:, None] * frequency
    table = torch.zeros(num_train_timesteps, dim)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : dim // 2]
    return table


def varying_columns(table: Tensor, share: float = 0.01) -> int:
    """How many columns of an embedding (T, dim) change over t by more than a share of the range.

    Sines and cosines range over 2, from −1 to 1; a column that hardly changes tells the network
    nothing of t.
    """
    span = table.amax(dim=0) - table.amin(dim=0)
    return int((span > 2 * share).sum())
