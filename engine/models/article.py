"""Component 5, the article's network, tensor for tensor: 606,852 parameters.

It is kept as a preset to measure against, with its flaws: the first operation is a LayerNorm over
the whole image, so the network is blind to the mean and the scale of x_t; the block convolutions
have no residual connections; 28 × 28 grey images are hard-wired. The state-dict names are those
of the article, so its saved weights load.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.models.embedding import article_timestep_embedding

IMAGE_SHAPE = (1, 28, 28)


class ArticleBlock(nn.Module):
    """LayerNorm over the block's input, then twice a 3 × 3 convolution and SiLU."""

    def __init__(
        self, shape: tuple[int, int, int], in_c: int, out_c: int, normalize: bool = True
    ) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(shape)
        self.conv1 = nn.Conv2d(in_c, out_c, 3, 1, 1)
        self.conv2 = nn.Conv2d(out_c, out_c, 3, 1, 1)
        self.normalize = normalize

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_c, H, W) -> (N, out_c, H, W)."""
        out = self.ln(x) if self.normalize else x
        out = nn.functional.silu(self.conv1(out))
        return nn.functional.silu(self.conv2(out))


def _blocks(size: int, widths: tuple[int, int, int, int], last_norm: bool = True) -> nn.Sequential:
    return nn.Sequential(
        *(
            ArticleBlock((in_c, size, size), in_c, out_c, normalize=last_norm or i < 2)
            for i, (in_c, out_c) in enumerate(pairwise(widths))
        )
    )


def _time_mlp(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim_in, dim_out), nn.SiLU(), nn.Linear(dim_out, dim_out))


class ArticleUNet(nn.Module):
    """The article's `MyUNet`: predicts the noise in x (N, 1, 28, 28) at timesteps t (N,)."""

    def __init__(self, num_train_timesteps: int = 1000, time_emb_dim: int = 100) -> None:
        super().__init__()
        self.time_embed = nn.Embedding(num_train_timesteps, time_emb_dim)
        self.time_embed.weight.data = article_timestep_embedding(num_train_timesteps, time_emb_dim)
        self.time_embed.requires_grad_(False)

        self.te1 = _time_mlp(time_emb_dim, 1)
        self.b1 = _blocks(28, (1, 10, 10, 10))
        self.down1 = nn.Conv2d(10, 10, 4, 2, 1)
        self.te2 = _time_mlp(time_emb_dim, 10)
        self.b2 = _blocks(14, (10, 20, 20, 20))
        self.down2 = nn.Conv2d(20, 20, 4, 2, 1)
        self.te3 = _time_mlp(time_emb_dim, 20)
        self.b3 = _blocks(7, (20, 40, 40, 40))
        self.down3 = nn.Sequential(nn.Conv2d(40, 40, 2, 1), nn.SiLU(), nn.Conv2d(40, 40, 4, 2, 1))

        self.te_mid = _time_mlp(time_emb_dim, 40)
        self.b_mid = _blocks(3, (40, 20, 20, 40))

        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(40, 40, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(40, 40, 2, 1)
        )
        self.te4 = _time_mlp(time_emb_dim, 80)
        self.b4 = _blocks(7, (80, 40, 20, 20))
        self.up2 = nn.ConvTranspose2d(20, 20, 4, 2, 1)
        self.te5 = _time_mlp(time_emb_dim, 40)
        self.b5 = _blocks(14, (40, 20, 10, 10))
        self.up3 = nn.ConvTranspose2d(10, 10, 4, 2, 1)
        self.te_out = _time_mlp(time_emb_dim, 20)
        self.b_out = _blocks(28, (20, 10, 10, 10), last_norm=False)
        self.conv_out = nn.Conv2d(10, 1, 3, 1, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(N, 1, 28, 28), (N,) -> (N, 1, 28, 28)."""
        temb = self.time_embed(t)

        def at(mlp: nn.Module) -> Tensor:
            bias: Tensor = mlp(temb)
            return bias[:, :, None, None]

        out1 = self.b1(x + at(self.te1))  # (N, 10, 28, 28)
        out2 = self.b2(self.down1(out1) + at(self.te2))  # (N, 20, 14, 14)
        out3 = self.b3(self.down2(out2) + at(self.te3))  # (N, 40, 7, 7)
        mid = self.b_mid(self.down3(out3) + at(self.te_mid))  # (N, 40, 3, 3)
        out4 = self.b4(torch.cat((out3, self.up1(mid)), dim=1) + at(self.te4))  # (N, 20, 7, 7)
        out5 = self.b5(torch.cat((out2, self.up2(out4)), dim=1) + at(self.te5))  # (N, 10, 14, 14)
        out = self.b_out(torch.cat((out1, self.up3(out5)), dim=1) + at(self.te_out))
        eps: Tensor = self.conv_out(out)
        return eps
