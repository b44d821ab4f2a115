"""Component 5, the article's network: tensor for tensor, number for number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.article import IMAGE_SHAPE, ArticleUNet
from tests.engine.article_shapes import ARTICLE_SHAPES

SAVED = Path(__file__).parents[3] / "shared" / "article" / "ddpm_fashion.pt"


def reference(state: dict[str, Tensor], x: Tensor, t: Tensor) -> Tensor:
    """The network as a function of its weights, written from the article's description."""

    def named(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def told(h: Tensor, name: str) -> Tensor:
        time = F.silu(F.linear(state["time_embed.weight"][t.flatten()], *named(f"{name}.0")))
        return h + F.linear(time, *named(f"{name}.2"))[:, :, None, None]

    def blocks(h: Tensor, name: str, norms: int = 3) -> Tensor:
        for i in range(3):
            if i < norms:
                h = F.layer_norm(h, h.shape[1:], *named(f"{name}.{i}.ln"))
            h = F.silu(F.conv2d(h, *named(f"{name}.{i}.conv1"), padding=1))
            h = F.silu(F.conv2d(h, *named(f"{name}.{i}.conv2"), padding=1))
        return h

    def down(h: Tensor, name: str) -> Tensor:
        return F.conv2d(h, *named(name), stride=2, padding=1)

    def up(h: Tensor, name: str) -> Tensor:
        return F.conv_transpose2d(h, *named(name), stride=2, padding=1)

    at28 = blocks(told(x, "te1"), "b1")
    at14 = blocks(told(down(at28, "down1"), "te2"), "b2")
    at7 = blocks(told(down(at14, "down2"), "te3"), "b3")
    at3 = down(F.silu(F.conv2d(at7, *named("down3.0"))), "down3.2")
    at3 = blocks(told(at3, "te_mid"), "b_mid")
    back = F.conv_transpose2d(F.silu(up(at3, "up1.0")), *named("up1.2"))
    back = blocks(told(torch.cat([at7, back], dim=1), "te4"), "b4")
    back = blocks(told(torch.cat([at14, up(back, "up2")], dim=1), "te5"), "b5")
    back = blocks(told(torch.cat([at28, up(back, "up3")], dim=1), "te_out"), "b_out", norms=2)
    return F.conv2d(back, *named("conv_out"), padding=1)


class MyBlock(nn.Module):
    """The class that the article uses and never prints."""

    def __init__(self, shape, in_c, out_c, normalize=True):
        super().__init__()
        self.ln = nn.LayerNorm(shape)
        self.conv1 = nn.Conv2d(in_c, out_c, 3, padding=1)
        self.conv2 = nn.Conv2d(out_c, out_c, 3, padding=1)
        self.normalize = normalize

    def forward(self, x):
        x = self.ln(x) if self.normalize else x
        return F.silu(self.conv2(F.silu(self.conv1(x))))


@pytest.fixture
def model() -> ArticleUNet:
    """With every weight random, the norms' too, so that each of them has its say."""
    torch.manual_seed(0)
    model = ArticleUNet()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ln." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    t = torch.tensor([0, 1, 250, 999])
    return torch.randn((4, *IMAGE_SHAPE), generator=generator), t


def test_the_parameters_are_counted() -> None:
    model = ArticleUNet()
    counted = {p.requires_grad: 0 for p in model.parameters()}
    for parameter in model.parameters():
        counted[parameter.requires_grad] += parameter.numel()
    assert counted == {True: 506_852, False: 100_000}
    assert not model.time_embed.weight.requires_grad


def test_names_and_shapes_are_those_that_the_article_saves() -> None:
    ours = {name: tuple(value.shape) for name, value in ArticleUNet().state_dict().items()}
    assert list(ours.items()) == list(ARTICLE_SHAPES.items())
    assert sum(map(math.prod, ours.values())) == 606_852


def test_outputs_are_those_of_a_second_implementation(model, inputs) -> None:
    x, t = inputs
    with torch.no_grad():
        ours, theirs = model(x, t), reference(model.state_dict(), x, t)
    assert ours.shape == x.shape
    assert float(ours.std()) > 1e-3, "all zeros would agree with anything"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("as_the_article_passes_it", [True, False])
def test_outputs_are_those_of_the_articles_own_class(
    article: dict[str, Any], model, inputs, as_the_article_passes_it
) -> None:
    x, t = inputs
    articles_t = t.reshape(-1, 1) if as_the_article_passes_it else t
    with torch.no_grad():
        if article:
            article["MyBlock"] = MyBlock
            theirs = article["MyUNet"]()
            theirs.load_state_dict(model.state_dict())
            expected = theirs.eval()(x, articles_t)
        else:
            expected = reference(model.state_dict(), x, articles_t)
        torch.testing.assert_close(model(x, t), expected, rtol=0, atol=1e-5)


def test_weights_that_the_article_saved_load_strictly(model, inputs) -> None:
    if SAVED.exists():
        saved = torch.load(SAVED, weights_only=True)
    else:
        saved = {f"network.{name}": torch.randn(shape) for name, shape in ARTICLE_SHAPES.items()}
    weights = {name.removeprefix("network."): value for name, value in saved.items()}
    model.load_state_dict(weights, strict=True)
    x, t = inputs
    with torch.no_grad():
        torch.testing.assert_close(model(x, t), reference(weights, x, t), rtol=1e-5, atol=1e-5)


def test_it_is_blind_to_the_brightness_and_the_contrast_of_its_input(model, inputs) -> None:
    """The flaw that the article hides by stretching every picture that it shows."""
    x, t = inputs
    with torch.no_grad():
        torch.testing.assert_close(model(x + 3, t), model(x, t), rtol=0, atol=1e-4)
        model.te1[2].weight.zero_()
        model.te1[2].bias.zero_()
        torch.testing.assert_close(model(5 * x, t), model(x, t), rtol=0, atol=1e-4)


def test_the_table_has_a_row_a_timestep() -> None:
    assert ArticleUNet(50).time_embed.weight.shape == (50, 100)
