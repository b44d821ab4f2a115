"""A network taken apart: its figures add up and are those of the network that runs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.anatomy import (
    Part,
    dissect,
    dissect_model,
    example_inputs,
    heard_of_brightness,
)
from engine.config import RunConfig, make_config
from engine.layer_timing import probe
from engine.models import build_model
from engine.models.dit import SelfAttention
from engine.models.unet import Attention, ResnetBlock, UNet

SHAPE = (1, 28, 28)
SMALL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "attention_levels": ()}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"model": SMALL},
    "three levels": {"model": {**SMALL, "block_out_channels": (8, 8, 8), "attention_levels": (1,)}},
    "dit": {"model": {"name": "dit", "hidden_size": 32, "num_layers": 2, "patch_size": 7}},
    "article": {"preset": "article"},
}


def config_of(name: str) -> RunConfig:
    return make_config(dataset_size=10_000, **NETWORKS[name])


def by_name(parts: tuple[Part, ...]) -> dict[str, Part]:
    return {part.name: part for part in parts}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_add_up_to_the_whole(name: str) -> None:
    model = build_model(config_of(name), SHAPE, 10)
    anatomy = dissect(config_of(name), SHAPE, 10)
    leaves = [part for part in anatomy.parts if not part.has_parts]
    total = sum(parameter.numel() for parameter in model.parameters())
    assert anatomy.whole.parameters == sum(part.parameters for part in leaves) == total
    # A sum of parts is never more than what is around them: a part may do something by itself.
    for part in anatomy.parts:
        inside = [p for p in anatomy.parts if p.depth == part.depth + 1 and _in(p, part, anatomy)]
        assert part.macs >= sum(p.macs for p in inside)
        assert part.kept >= sum(p.kept for p in inside)
        assert part.parameters >= sum(p.parameters for p in inside)


def _in(part: Part, around: Part, anatomy: Any) -> bool:
    at, start = anatomy.parts.index(part), anatomy.parts.index(around)
    between = itertools.takewhile(lambda p: p.depth > around.depth, anatomy.parts[start + 1 :])
    return at > start and part in tuple(between)


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_those_of_the_forward_pass(name: str) -> None:
    model = build_model(config_of(name), SHAPE, 10)
    found: dict[str, tuple[int, ...]] = {}
    for module_name, module in model.named_modules():
        module.register_forward_hook(
            lambda _m, _i, output, n=module_name: found.update({n: tuple(output.shape[1:])})
        )
    model(*example_inputs(model, SHAPE, 2))
    parts = by_name(dissect(config_of(name), SHAPE, 10).parts)
    assert {n: parts[n].shape for n in found} == found
    assert parts[""].shape == SHAPE


def test_a_level_puts_out_what_its_last_part_does() -> None:
    parts = by_name(dissect(config_of("unet"), SHAPE, 10).parts)
    assert parts["down_blocks.0"].shape == parts["down_blocks.0.downsamplers.0"].shape
    assert parts["down_blocks.0"].shape != parts["down_blocks.0.resnets.0"].shape


def test_what_is_never_called_says_so() -> None:
    parts = by_name(dissect(config_of("article"), SHAPE, 10).parts)
    idle = [part.name for part in parts.values() if not part.called]
    assert idle == ["b_out.2.ln"], "its last block goes without the norm that it has"
    assert parts["b_out.2.ln"].parameters == 2 * 10 * 28 * 28


def test_frozen_parameters_are_told_apart() -> None:
    anatomy = dissect(config_of("article"), SHAPE, 10)
    assert anatomy.whole.parameters == 606_852
    assert anatomy.whole.parameters - anatomy.trained == 100_000, "the table of the embedding"


def macs_of(module: nn.Module, *inputs: Tensor) -> int:
    return dissect_model(module, inputs).whole.macs


def test_products_of_known_layers_are_exact() -> None:
    image = torch.zeros(1, 6, 10, 8)
    # Each of 12 × 5 × 4 outputs is a sum over 6 channels of 3 × 3.
    strided = nn.Conv2d(6, 12, 3, stride=2, padding=1)
    assert macs_of(strided, image) == 12 * 5 * 4 * 6 * 9
    grouped = nn.Conv2d(6, 12, 3, padding=1, groups=3)
    assert macs_of(grouped, image) == 12 * 10 * 8 * 2 * 9
    # Each of 6 × 10 × 8 inputs is spread over 4 channels of 4 × 4.
    assert macs_of(nn.ConvTranspose2d(6, 4, 4, 2, 1), image) == 6 * 10 * 8 * 4 * 16
    assert macs_of(nn.Linear(8, 5), image) == 6 * 10 * 5 * 8


@pytest.mark.parametrize("side", [4, 20], ids=["written out", "fused"])
def test_products_of_attention_are_exact(side: int) -> None:
    tokens, channels = side * side, 16
    expected = 4 * tokens * channels**2 + 2 * tokens**2 * channels
    assert macs_of(Attention(16, 8, 4), torch.zeros(1, 16, side, side)) == expected
    tokens_in = torch.zeros(1, tokens, channels, 1)[..., 0]
    with_height = nn.Sequential(nn.Identity(), SelfAttention(16, 8))
    assert macs_of(with_height, tokens_in) == expected


def test_what_is_kept_for_the_backward_pass() -> None:
    # Of a ReLU after a product: its input (8 numbers), its output (3), four bytes each.
    network = nn.Sequential(nn.Linear(8, 3), nn.ReLU())
    anatomy = dissect_model(network, (torch.zeros(1, 1, 1, 8),))
    assert anatomy.whole.kept == 4 * (8 + 3)
    assert by_name(anatomy.parts)["0"].kept == 4 * 8


class _WithoutStatistics(nn.Module):
    """A network whose convolutions alone carry something from one pixel to another."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network
        for module in network.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.GroupNorm | Attention):
                    setattr(module, name, nn.Identity())
            if isinstance(module, nn.Conv2d):
                nn.init.constant_(module.weight, 0.01)
                nn.init.constant_(module.bias, 1.0)


@pytest.mark.parametrize(
    ("side", "settings"),
    [
        (96, {"patch_size": 2, "block_out_channels": (4, 4)}),
        (96, {"patch_size": 1, "block_out_channels": (4, 4)}),
        (96, {"patch_size": 1, "block_out_channels": (4, 4), "layers_per_block": 2}),
        (160, {"patch_size": 1, "block_out_channels": (4, 4, 4)}),
    ],
    ids=str,
)
def test_the_receptive_field_is_how_far_a_gradient_reaches(
    side: int, settings: dict[str, Any]
) -> None:
    network = UNet(norm_num_groups=4, attention_levels=(), **settings)
    shape = (1, side, side)
    told = by_name(dissect_model(network, example_inputs(network, shape, 1)).parts)
    plain = _WithoutStatistics(network).network
    seen: dict[str, Tensor] = {}
    for name in ("down_blocks.0.resnets.0", "down_blocks.0.downsamplers.0", "mid_block"):
        plain.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, n=name: seen.update({n: output})
        )
    x, t, *_ = example_inputs(plain, shape, 1)
    plain(x.requires_grad_(), t)
    for name, output in seen.items():
        middle = output[0, :, output.shape[-2] // 2, output.shape[-1] // 2].sum()
        (reached,) = torch.autograd.grad(middle, x, retain_graph=True)
        rows = int((reached[0, 0].abs().sum(dim=1) > 0).sum())
        assert told[name].receptive_field == rows, name


def test_what_has_no_height_has_no_receptive_field() -> None:
    parts = by_name(dissect(config_of("unet"), SHAPE, 10).parts)
    assert parts["time_embedding"].receptive_field is None
    assert parts["down_blocks.0.resnets.0.time_emb_proj"].receptive_field is None
    assert parts["conv_in"].receptive_field == 6, "3 × 3 positions of 2 × 2 pixels"
    assert all(p.receptive_field is None for p in dissect(config_of("dit"), SHAPE, 10).parts)


@pytest.mark.parametrize("name", ["unet", "article", "dit"])
def test_the_probe_times_every_part(name: str) -> None:
    passes = probe(config_of(name), SHAPE, 10, device="cpu")
    first, second = next(passes), next(passes)
    passes.close()
    assert (first.passes, second.passes) == (1, 2)
    assert second.seconds > 0
    assert second.images == 16
    assert second.shares[""] == 1
    parts = dissect(config_of(name), SHAPE, 10).parts
    assert {part.name for part in parts if part.called} <= set(second.shares)
    for part in parts:
        top = [p for p in parts if p.depth == part.depth + 1 and p.name.startswith(part.name)]
        if part.depth == 0:
            assert sum(second.shares[p.name] for p in top if p.called) <= 1.05


def test_the_articles_network_is_blind_to_brightness_and_a_residual_one_is_not() -> None:
    article = build_model(config_of("article"), SHAPE, 10)
    told = heard_of_brightness(article, SHAPE)
    assert told is not None
    assert told < 1e-4
    ours = build_model(config_of("unet"), SHAPE, 10)
    assert heard_of_brightness(ours, SHAPE) is None, "it says zero to everything when fresh"
    for module in ours.modules():
        if isinstance(module, ResnetBlock):
            module.conv2.reset_parameters()
    ours.conv_out.reset_parameters()
    told = heard_of_brightness(ours, SHAPE)
    assert told is not None
    assert told > 0.1
