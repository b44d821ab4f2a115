"""Component 5, the networks, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from engine.config import RunConfig


def build_model(
    config: RunConfig, image_shape: tuple[int, int, int], num_classes: int
) -> nn.Module:
    """The network that a config describes, freshly initialised.

    Args:
        image_shape: (C, H, W) of the data set.
        num_classes: of the data set; a class-conditional network gets one more label, the last,
            which stands for "no class".

    Raises:
        ConfigError: the network cannot work on images of this shape.
    """
    model = config.model
    if model.name == "article":
        from engine.models.article import IMAGE_SHAPE, ArticleUNet

        if image_shape != IMAGE_SHAPE:
            raise ConfigError(
                f"The article's network works on {IMAGE_SHAPE} images only, not {image_shape}",
                "Choose another with --model unet.",
            )
        return ArticleUNet(config.diffusion.num_train_timesteps)
    num_class_embeds = num_classes + 1 if model.class_conditional else None
    if model.name == "dit":
        from engine.models.dit import DiT

        return DiT(
            in_channels=image_shape[0],
            patch_size=model.patch_size,
            hidden_size=model.hidden_size,
            num_layers=model.num_layers,
            attention_head_dim=model.attention_head_dim,
            dropout=model.dropout,
            num_class_embeds=num_class_embeds,
        )
    from engine.models.unet import UNet

    return UNet(
        in_channels=image_shape[0],
        block_out_channels=model.block_out_channels,
        layers_per_block=model.layers_per_block,
        attention_levels=model.attention_levels,
        norm_num_groups=model.norm_num_groups,
        attention_head_dim=model.attention_head_dim,
        dropout=model.dropout,
        num_class_embeds=num_class_embeds,
        patch_size=model.patch_size,
    )
