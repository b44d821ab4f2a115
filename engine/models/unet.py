"""Component 5, the default network: a residual GroupNorm U-Net.

Module names and maths are one to one with diffusers' `UNet2DModel`, so weights move between the
two without renaming (Ho et al. 2020, appendix B; Dhariwal & Nichol 2021 for the attention). Any
image size works: images are padded inside to a multiple of the deepest stride and cropped again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.attention import attention
from engine.models.embedding import TimestepEmbedding, timestep_embedding


class ResnetBlock(nn.Module):
    """norm, SiLU, conv; plus the timestep; norm, SiLU, dropout, conv; plus the input."""

    def __init__(
        self, in_channels: int, out_channels: int, temb_channels: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(N, in_channels, H, W), (N, temb_channels) -> (N, out_channels, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        out: Tensor = h + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return out


class Attention(nn.Module):
    """Self-attention over all pixels, with a residual connection."""

    def __init__(self, channels: int, head_dim: int, groups: int) -> None:
        super().__init__()
        self.heads = max(channels // head_dim, 1)
        self.group_norm = nn.GroupNorm(groups, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        tokens = rearrange(self.group_norm(x), "n c h w -> n (h w) c")
        q, k, v = (
            rearrange(projection(tokens), "n l (heads d) -> n heads l d", heads=self.heads)
            for projection in (self.to_q, self.to_k, self.to_v)
        )
        out: Tensor = self.to_out[0](rearrange(attention(q, k, v), "n heads l d -> n l (heads d)"))
        out = rearrange(out, "n (h w) c -> n c h w", h=x.shape[2])
        return x + out


class Downsample(nn.Module):
    """Half the height and the width, by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Twice the height and the width, nearest neighbour and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Level(nn.Module):
    """The residual (and attention) blocks of one resolution, then a change of resolution.

    The down path collects every intermediate result; the up path takes them back, last first.
    """

    def __init__(
        self,
        resnets: Sequence[ResnetBlock],
        attentions: Sequence[Attention],
        *,
        downsampler: Downsample | None = None,
        upsampler: Upsample | None = None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.has_attention = bool(attentions)
        if downsampler is not None:
            self.downsamplers = nn.ModuleList([downsampler])
        if upsampler is not None:
            self.upsamplers = nn.ModuleList([upsampler])
        self.has_downsampler = downsampler is not None
        self.has_upsampler = upsampler is not None

    def block(self, index: int, x: Tensor, temb: Tensor) -> Tensor:
        """(N, C, H, W), (N, temb_channels) -> (N, width of the level, H, W)."""
        x = self.resnets[index](x, temb)
        return self.attentions[index](x) if self.has_attention else x

    def down(self, x: Tensor, temb: Tensor) -> list[Tensor]:
        """Every block's result, (N, width, H, W), and where it goes on one at half of H and W."""
        outputs = []
        for index in range(len(self.resnets)):
            x = self.block(index, x, temb)
            outputs.append(x)
        if self.has_downsampler:
            outputs.append(self.downsamplers[0](x))
        return outputs

    def up(self, x: Tensor, skips: list[Tensor], temb: Tensor) -> Tensor:
        """Takes a skip for every block, last first -> (N, width, H, W), or twice H and W."""
        for index in range(len(self.resnets)):
            x = self.block(index, torch.cat([x, skips.pop()], dim=1), temb)
        return self.upsamplers[0](x) if self.has_upsampler else x


class MidBlock(nn.Module):
    """residual, attention, residual at the lowest resolution."""

    def __init__(self, resnets: Sequence[ResnetBlock], attention: Attention) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.resnets = nn.ModuleList(resnets)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(N, C, H, W), (N, temb_channels) -> (N, C, H, W)."""
        x = self.attentions[0](self.resnets[0](x, temb))
        out: Tensor = self.resnets[1](x, temb)
        return out


class UNet(nn.Module):
    """Predicts from x (N, C, H, W) at timesteps t (N,), and of class_labels (N,) where it has any.

    With a patch size p above 1 the network works on p×p pixels folded into channels: the first
    level then has 1/p² of the positions, which is where most of the time goes on small images.

    Args:
        in_channels: channels of the images.
        block_out_channels: the width of each level, from full resolution down; each level but the
            last halves the resolution. Each a multiple of `norm_num_groups`.
        layers_per_block: residual blocks a level on the way down (one more on the way up).
        attention_levels: which levels (0 = full resolution) have attention after each block.
        norm_num_groups: groups of every GroupNorm.
        attention_head_dim: channels of one attention head.
        dropout: probability inside the residual blocks.
        num_class_embeds: classes that it can be told, with the one that stands for none; None for
            an unconditional network.
        patch_size: p.
    """

    def __init__(
        self,
        in_channels: int = 1,
        block_out_channels: Sequence[int] = (32, 64, 128),
        layers_per_block: int = 1,
        attention_levels: Sequence[int] = (2,),
        norm_num_groups: int = 8,
        attention_head_dim: int = 32,
        dropout: float = 0.0,
        num_class_embeds: int | None = None,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        widths = tuple(block_out_channels)
        groups, temb_dim = norm_num_groups, widths[0] * 4
        in_channels *= patch_size**2
        self.patch_size = patch_size
        self.stride = patch_size * 2 ** (len(widths) - 1)
        self.embedding_dim = widths[0]

        def resnet(in_c: int, out_c: int) -> ResnetBlock:
            return ResnetBlock(in_c, out_c, temb_dim, groups, dropout)

        def attentions(level: int, count: int) -> list[Attention]:
            if level not in attention_levels:
                return []
            return [Attention(widths[level], attention_head_dim, groups) for _ in range(count)]

        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], temb_dim)
        if num_class_embeds is not None:
            self.class_embedding = nn.Embedding(num_class_embeds, temb_dim)

        self.down_blocks = nn.ModuleList()
        skip_widths = [widths[0]]
        current = widths[0]
        for level, width in enumerate(widths):
            resnets = []
            for _ in range(layers_per_block):
                resnets.append(resnet(current, width))
                current = width
                skip_widths.append(width)
            last = level == len(widths) - 1
            if not last:
                skip_widths.append(width)
            self.down_blocks.append(
                Level(
                    resnets,
                    attentions(level, layers_per_block),
                    downsampler=None if last else Downsample(width),
                )
            )

        self.mid_block = MidBlock(
            [resnet(current, current), resnet(current, current)],
            Attention(current, attention_head_dim, groups),
        )

        self.up_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            resnets = []
            for _ in range(layers_per_block + 1):
                resnets.append(resnet(current + skip_widths.pop(), width))
                current = width
            self.up_blocks.append(
                Level(
                    resnets,
                    attentions(level, layers_per_block + 1),
                    upsampler=None if level == 0 else Upsample(width),
                )
            )

        self.conv_norm_out = nn.GroupNorm(groups, current)
        self.conv_out = nn.Conv2d(current, in_channels, 3, padding=1)
        # A network that starts by predicting zero noise has loss 1 from the first step, and each
        # residual block starts as the identity (Ho et al. 2020's code; Zhang et al. 2019, Fixup).
        zeroed = [self.conv_out, *(m.conv2 for m in self.modules() if isinstance(m, ResnetBlock))]
        for convolution in zeroed:
            for parameter in convolution.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N,), (N,) -> (N, C, H, W)."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))
        features = timestep_embedding(t, self.embedding_dim)
        temb = self.time_embedding(features)
        if class_labels is not None:
            temb = temb + self.class_embedding(class_labels)

        x = self.conv_in(F.pixel_unshuffle(x, self.patch_size))
        skips = [x]
        for block in self.down_blocks:
            assert isinstance(block, Level)
            skips += block.down(skips[-1], temb)
        x = self.mid_block(skips[-1], temb)
        for block in self.up_blocks:
            assert isinstance(block, Level)
            x = block.up(x, skips, temb)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        return F.pixel_shuffle(x, self.patch_size)[..., :height, :width]
