"""Component 5, a small diffusion transformer: patches as tokens, the condition as adaLN-Zero.

After Peebles & Xie 2023, "Scalable diffusion models with transformers", §3.2. Each block sees
timestep and class as a shift, a scale and a gate for every channel; the gates start at zero, so a
fresh network is the identity on its tokens and predicts zero. Any image size works: images are
padded inside to whole patches and cropped again, and positions are computed, not learned.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.attention import attention
from engine.models.embedding import TimestepEmbedding, timestep_embedding

# Width of the sinusoidal features of t, whatever the width of the tokens.
FREQUENCIES = 256
_MLP_RATIO = 4


def position_table(rows: int, columns: int, dim: int, device: torch.device) -> Tensor:
    """float32 (rows·columns, dim): half of each vector says the row, half the column.

    Args:
        dim: a multiple of 4.
    """
    row, column = (
        timestep_embedding(torch.arange(count, device=device), dim // 2)
        for count in (rows, columns)
    )
    grid = (rows, columns, dim // 2)
    table = torch.cat([row[:, None].expand(grid), column[None].expand(grid)], dim=-1)
    return table.flatten(0, 1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(N, L, D), (N, 1, D), (N, 1, D) -> (N, L, D)."""
    return x * (1 + scale) + shift


class SelfAttention(nn.Module):
    """Every token looks at every other one."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.heads = dim // head_dim
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        q, k, v = rearrange(
            self.to_qkv(x), "n l (qkv heads d) -> qkv n heads l d", qkv=3, heads=self.heads
        )
        out: Tensor = self.to_out(rearrange(attention(q, k, v), "n heads l d -> n l (heads d)"))
        return out


class Block(nn.Module):
    """Attention, then a two-layer MLP, each between a shift and scale before and a gate after."""

    def __init__(self, dim: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.attention = SelfAttention(dim, head_dim)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.linear_1 = nn.Linear(dim, _MLP_RATIO * dim)
        self.linear_2 = nn.Linear(_MLP_RATIO * dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.ada = nn.Linear(dim, 6 * dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, L, D), (N, 1, D) -> (N, L, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.ada(condition).chunk(6, dim=-1)
        h = self.attention(modulate(self.norm1(x), shift1, scale1))
        x = x + gate1 * self.dropout(h)
        h = self.linear_1(modulate(self.norm2(x), shift2, scale2))
        h = self.linear_2(F.gelu(h, approximate="tanh"))
        out: Tensor = x + gate2 * self.dropout(h)
        return out


class DiT(nn.Module):
    """Predicts from x (N, C, H, W) at timesteps t (N,), and of class_labels (N,) where it has any.

    Args:
        in_channels: channels of the images.
        patch_size: p; p×p pixels are one token.
        hidden_size: width of a token, a multiple of 4 and of `attention_head_dim`.
        num_layers: blocks.
        attention_head_dim: channels of one attention head.
        dropout: probability at the end of each branch of a block.
        num_class_embeds: classes that it can be told, with the one that stands for none; None for
            an unconditional network.
    """

    def __init__(
        self,
        in_channels: int = 1,
        patch_size: int = 2,
        hidden_size: int = 192,
        num_layers: int = 6,
        attention_head_dim: int = 32,
        dropout: float = 0.0,
        num_class_embeds: int | None = None,
    ) -> None:
        super().__init__()
        self.patch_size, self.hidden_size = patch_size, hidden_size
        patch_channels = in_channels * patch_size**2
        self.proj_in = nn.Linear(patch_channels, hidden_size)
        self.time_embedding = TimestepEmbedding(FREQUENCIES, hidden_size)
        if num_class_embeds is not None:
            self.class_embedding = nn.Embedding(num_class_embeds, hidden_size)
        self.blocks = nn.ModuleList(
            Block(hidden_size, attention_head_dim, dropout) for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.ada_out = nn.Linear(hidden_size, 2 * hidden_size)
        self.proj_out = nn.Linear(hidden_size, patch_channels)
        self._initialise()

    def _initialise(self) -> None:
        """As a ViT, with zeros at the end of every branch."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        for zeroed in (*(block.ada for block in blocks), self.ada_out, self.proj_out):
            nn.init.zeros_(zeroed.weight)

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N,), (N,) -> (N, C, H, W)."""
        height, width = x.shape[-2:]
        p = self.patch_size
        patches = F.pixel_unshuffle(F.pad(x, (0, -width % p, 0, -height % p)), p)
        rows, columns = patches.shape[-2:]
        tokens = self.proj_in(rearrange(patches, "n c rows columns -> n (rows columns) c"))
        tokens = tokens + position_table(rows, columns, self.hidden_size, x.device)

        condition = self.time_embedding(timestep_embedding(t, FREQUENCIES))
        if class_labels is not None:
            condition = condition + self.class_embedding(class_labels)
        condition = F.silu(condition)[:, None]  # (N, 1, D)

        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.ada_out(condition).chunk(2, dim=-1)
        tokens = self.proj_out(modulate(self.norm_out(tokens), shift, scale))
        out = rearrange(tokens, "n (rows columns) c -> n c rows columns", rows=rows)
        return F.pixel_shuffle(out, p)[..., :height, :width]
