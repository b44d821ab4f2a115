"""Component 5, the default network: the same as diffusers' UNet2DModel, and of any size."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor
from torch.nn import functional as F

from engine.config import validate
from engine.models import build_model
from engine.models.unet import ResnetBlock, UNet


@dataclass(frozen=True)
class Case:
    """A network and images whose size divides by its deepest stride."""

    widths: tuple[int, ...]
    layers: int = 1
    attention: tuple[int, ...] = ()
    head_dim: int = 8
    groups: int = 8
    shape: tuple[int, int, int] = (1, 8, 8)
    classes: int | None = None

    def ours(self, patch_size: int = 1) -> UNet:
        return UNet(
            in_channels=self.shape[0],
            block_out_channels=self.widths,
            layers_per_block=self.layers,
            attention_levels=self.attention,
            norm_num_groups=self.groups,
            attention_head_dim=self.head_dim,
            num_class_embeds=self.classes,
            patch_size=patch_size,
        )

    def theirs(self, patch_size: int = 1) -> UNet2DModel:
        kinds = ["Attn" * (level in self.attention) for level in range(len(self.widths))]
        return UNet2DModel(
            in_channels=self.shape[0] * patch_size**2,
            out_channels=self.shape[0] * patch_size**2,
            block_out_channels=self.widths,
            layers_per_block=self.layers,
            down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
            up_block_types=[f"{kind}UpBlock2D" for kind in reversed(kinds)],
            norm_num_groups=self.groups,
            attention_head_dim=self.head_dim,
            num_class_embeds=self.classes,
        )

    def inputs(self, patch_size: int = 1) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, t and class labels, the last label of all among them."""
        channels, height, width = self.shape
        shape = (3, channels, height * patch_size, width * patch_size)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        t = torch.tensor([0, 40, 999])
        return x, t, torch.tensor([1, self.classes - 1, 0]) if self.classes else None


CASES = {
    "plain": Case((8, 16)),
    "one level": Case((16,)),
    "default, narrow": Case((16, 32, 32), attention=(2,), head_dim=32, shape=(1, 28, 28)),
    "attention everywhere": Case((16, 32), layers=2, attention=(0, 1), head_dim=8),
    "several heads": Case((32, 64), attention=(1,), head_dim=16, groups=16),
    "widths that fall": Case((32, 16, 8), attention=(1,)),
    "deep, colour": Case((8, 8, 16, 16), layers=3, shape=(3, 16, 24)),
    "groups of one": Case((6, 9), groups=3, head_dim=3, attention=(1,)),
    "ten classes and none": Case((8, 16), classes=11),
    "two classes, attention, colour": Case(
        (16, 32), layers=2, attention=(0, 1), shape=(3, 8, 12), classes=2
    ),
}


def randomise(model: torch.nn.Module) -> None:
    """Every weight random: at init some are zero and the norms do nothing."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise / fan_in**0.5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_equal_weights_give_the_outputs_of_diffusers(case: Case) -> None:
    ours, theirs = case.ours().eval(), case.theirs().eval()
    randomise(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x, t, labels = case.inputs()
    with torch.no_grad():
        output, expected = ours(x, t, labels), theirs(x, t, labels).sample
    assert float(output.std()) > 0.05
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("patch_size", [2, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_patches_are_the_network_of_diffusers_on_folded_pixels(case: Case, patch_size) -> None:
    ours, theirs = case.ours(patch_size).eval(), case.theirs(patch_size).eval()
    randomise(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x, t, labels = case.inputs(patch_size)
    n, c, h, w = x.shape
    p = patch_size
    # Channel c·p² + i·p + j of the folded picture is pixel (i, j) of each patch.
    folded = x.reshape(n, c, h // p, p, w // p, p).permute(0, 1, 3, 5, 2, 4)
    with torch.no_grad():
        output = ours(x, t, labels)
        there = theirs(folded.reshape(n, c * p * p, h // p, w // p), t, labels).sample
    expected = there.reshape(n, c, p, p, h // p, w // p).permute(0, 1, 4, 2, 5, 3).reshape(x.shape)
    assert float(output.std()) > 0.05
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_names_and_shapes_are_those_of_diffusers(case: Case) -> None:
    ours, theirs = (
        {name: tuple(value.shape) for name, value in model.state_dict().items()}
        for model in (case.ours(), case.theirs())
    )
    assert ours == theirs


def test_weights_of_diffusers_load_here() -> None:
    case = CASES["attention everywhere"]
    case.ours().load_state_dict(case.theirs().state_dict(), strict=True)


@pytest.mark.parametrize("patch_size", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 27, 30), (1, 28, 28), (1, 1, 1), (2, 5, 64)])
def test_any_size_keeps_its_shape(shape, patch_size) -> None:
    model = UNet(
        *(shape[0], (8, 16, 16)),
        attention_levels=(2,),
        attention_head_dim=8,
        patch_size=patch_size,
    )
    randomise(model)
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 999])
    with torch.no_grad():
        output = model(x, t)
        height, width = (-side % (4 * patch_size) for side in shape[1:])
        padded = model(F.pad(x, (0, width, 0, height)), t)
    assert output.shape == x.shape
    torch.testing.assert_close(output, padded[..., : shape[1], : shape[2]])


def test_a_fresh_network_predicts_no_noise() -> None:
    """So its loss is 1 from the first step."""
    x = torch.randn((2, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(UNet()(x, torch.tensor([0, 999])), torch.zeros_like(x))


def test_a_fresh_residual_block_passes_its_input_on() -> None:
    blocks = [module for module in UNet().modules() if isinstance(module, ResnetBlock)]
    straight = [block for block in blocks if block.conv_shortcut is None]
    assert straight
    for block in straight:
        x = torch.randn(1, block.conv1.in_channels, 4, 4)
        with torch.no_grad():
            assert torch.equal(block(x, torch.randn(1, block.time_emb_proj.in_features)), x)


def test_every_weight_learns() -> None:
    model = UNet(1, (8, 16), attention_levels=(1,), attention_head_dim=8)
    randomise(model)
    x = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    model(x, torch.arange(4) * 300).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A softmax does not change when every key moves by the same amount.
        if not name.endswith("to_k.bias"):
            assert float(parameter.grad.abs().max()) > 0, name


def test_the_output_depends_on_the_timestep() -> None:
    model = CASES["plain"].ours()
    randomise(model)
    x = torch.zeros(2, 1, 8, 8)
    with torch.no_grad():
        first, second = model(x, torch.tensor([10, 900]))
    assert float((first - second).abs().max()) > 1e-2


def test_the_output_depends_on_the_class() -> None:
    model = CASES["ten classes and none"].ours()
    randomise(model)
    with torch.no_grad():
        first, second = model(torch.zeros(2, 1, 8, 8), torch.tensor([10, 10]), torch.tensor([0, 9]))
    assert float((first - second).abs().max()) > 1e-2


def test_a_config_describes_it() -> None:
    config = validate(
        {
            "model": {
                "class_conditional": True,
                "patch_size": 2,
                "block_out_channels": [8, 24],
                "layers_per_block": 2,
                "attention_levels": [0],
                "attention_head_dim": 4,
                "norm_num_groups": 4,
                "dropout": 0.25,
            }
        }
    )
    model = build_model(config, (3, 10, 12), 5)
    assert isinstance(model, UNet)
    assert model.patch_size == 2
    assert model.conv_in.in_channels == 12
    assert model.class_embedding.num_embeddings == 6, "one more, for no class"
    blocks = [module for module in model.modules() if isinstance(module, ResnetBlock)]
    assert {block.dropout.p for block in blocks} == {0.25}
    assert len(blocks) == 2 * 2 + 2 + 2 * 3
    x = torch.zeros(2, 3, 10, 12)
    assert model(x, torch.tensor([0, 9]), torch.tensor([5, 0])).shape == x.shape
    without = build_model(validate({}), (1, 28, 28), 10)
    assert not hasattr(without, "class_embedding")


def test_dropout_is_random_while_training_only() -> None:
    model = UNet(1, (8, 16), attention_levels=(), attention_head_dim=8, dropout=0.5)
    randomise(model)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([10, 900])
    with torch.no_grad():
        assert not torch.equal(model.train()(x, t), model(x, t))
        assert torch.equal(model.eval()(x, t), model(x, t))
