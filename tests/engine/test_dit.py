"""Component 5, the diffusion transformer: adaLN-Zero, positions, any size, and it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.config import validate
from engine.errors import ConfigError
from engine.models import build_model
from engine.models.dit import Block, DiT, SelfAttention, position_table
from engine.models.embedding import timestep_embedding


def small(**given) -> DiT:
    sizes = {"patch_size": 2, "hidden_size": 32, "num_layers": 2, "attention_head_dim": 8}
    return DiT(**{**sizes, **given})


def randomise(model: nn.Module) -> None:
    """Every weight random: at init the last of each branch are zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan_in**0.5)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- at init ---


def test_a_fresh_network_predicts_zero() -> None:
    with torch.no_grad():
        x = noise(3, 1, 28, 28)
        assert torch.equal(small()(x, torch.tensor([0, 40, 999])), torch.zeros_like(x))


def test_a_fresh_block_passes_its_tokens_on() -> None:
    tokens, condition = noise(2, 9, 32), noise(2, 1, 32, seed=2)
    for block in small(num_layers=3).blocks:
        with torch.no_grad():
            assert torch.equal(block(tokens, condition), tokens)


def test_every_weight_learns() -> None:
    model = small(num_class_embeds=3)
    randomise(model)
    labels = torch.tensor([0, 1, 2, 0])
    model(noise(4, 1, 8, 8), torch.arange(4) * 300, labels).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


# --- against the paper's equations, written out ---


def test_a_block_is_adaln_zero() -> None:
    block = Block(16, 4, dropout=0.0)
    randomise(block)
    x, c = noise(2, 5, 16), noise(2, 1, 16, seed=2)
    with torch.no_grad():
        g1, b1, a1, g2, b2, a2 = (
            part.expand_as(x) for part in (c @ block.ada.weight.T + block.ada.bias).split(16, -1)
        )

        def norm(y: Tensor) -> Tensor:
            centred = y - y.mean(-1, keepdim=True)
            return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()

        # Here g is the shift, b the scale and a the gate.
        x1 = x + a1 * block.attention(norm(x) * (1 + b1) + g1)
        hidden = F.gelu(block.linear_1(norm(x1) * (1 + b2) + g2), approximate="tanh")
        expected = x1 + a2 * block.linear_2(hidden)
        torch.testing.assert_close(block(x, c), expected, rtol=1e-5, atol=1e-5)


def test_attention_is_that_of_torch() -> None:
    ours, theirs = SelfAttention(24, 8), nn.MultiheadAttention(24, 3, batch_first=True)
    randomise(ours)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.to_qkv.weight)
        theirs.in_proj_bias.copy_(ours.to_qkv.bias)
        theirs.out_proj.load_state_dict(ours.to_out.state_dict())
        x = noise(2, 7, 24)
        expected, _ = theirs(x, x, x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("patch", "channels", "hidden", "layers", "classes"),
    [(2, 1, 32, 2, None), (1, 3, 16, 1, 4), (4, 2, 64, 3, 11)],
)
def test_the_number_of_parameters(patch, channels, hidden, layers, classes) -> None:
    model = small(
        in_channels=channels,
        patch_size=patch,
        hidden_size=hidden,
        num_layers=layers,
        num_class_embeds=classes,
    )
    folded, d = channels * patch**2, hidden
    ends = folded * d + d + d * folded + folded + 2 * d * d + 2 * d
    time = 256 * d + d + d * d + d
    block = 4 * (d * d + d) + 8 * d * d + 5 * d + 6 * d * d + 6 * d
    expected = ends + time + layers * block + (classes or 0) * d
    assert sum(p.numel() for p in model.parameters()) == expected


# --- positions ---


def test_every_position_of_a_grid_is_another() -> None:
    table = position_table(14, 9, 32, torch.device("cpu"))
    assert table.shape == (14 * 9, 32)
    distances = torch.cdist(table, table) + 99 * torch.eye(len(table))
    assert float(distances.min()) > 0.1


def test_half_of_a_position_is_the_row_and_half_the_column() -> None:
    grid = position_table(5, 7, 16, torch.device("cpu")).unflatten(0, (5, 7))
    row, column = grid[:, :, :8], grid[:, :, 8:]
    assert torch.equal(row, row[:, :1].expand_as(row))
    assert torch.equal(column, column[:1].expand_as(column))
    # ω_0 = 1: the first feature is cos(position), and cos(3), of the row and of the column alike.
    assert float(grid[3, 2, 0]) == pytest.approx(math.cos(3))
    assert float(grid[2, 3, 8]) == pytest.approx(math.cos(3))


def test_positions_matter() -> None:
    """Attention itself does not know where a patch stands: without positions both were equal."""
    model = small()
    randomise(model)
    x, t = noise(1, 1, 8, 8), torch.tensor([5])
    swapped = x.flip(-1).unflatten(-1, (4, 2)).flip(-1).flatten(-2)  # the patches, not their pixels
    with torch.no_grad():
        out = model(x, t)
        back = model(swapped, t).flip(-1).unflatten(-1, (4, 2)).flip(-1).flatten(-2)
    assert torch.equal(swapped[..., :2], x[..., -2:])
    assert float((out - back).abs().max()) > 1e-2


def test_a_patch_hears_of_every_other_patch() -> None:
    model = small()
    randomise(model)
    x, t = noise(1, 1, 8, 8), torch.tensor([5])
    changed = x.clone()
    changed[..., :2, :2] += 1
    with torch.no_grad():
        difference = (model(changed, t) - model(x, t)).abs()
    assert float(difference.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)).min()) > 1e-4


# --- shapes ---


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 27, 30), (2, 5, 17), (1, 1, 1)])
def test_any_size_keeps_its_shape(shape, patch) -> None:
    model = small(in_channels=shape[0], patch_size=patch)
    randomise(model)
    x, t = noise(2, *shape), torch.tensor([0, 999])
    with torch.no_grad():
        output = model(x, t)
        padded = model(F.pad(x, (0, -shape[2] % patch, 0, -shape[1] % patch)), t)
    assert output.shape == x.shape
    torch.testing.assert_close(output, padded[..., : shape[1], : shape[2]])


def test_pictures_of_a_batch_do_not_hear_of_each_other() -> None:
    model = small(num_class_embeds=4)
    randomise(model)
    x, t, labels = noise(5, 1, 8, 8), torch.arange(5) * 200, torch.tensor([3, 1, 0, 2, 1])
    with torch.no_grad():
        together = model(x, t, labels)
        for i in range(5):
            alone = model(x[i : i + 1], t[i : i + 1], labels[i : i + 1])
            torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-5, atol=1e-5)


def test_dropout_is_random_while_training_only() -> None:
    model = small(dropout=0.5)
    randomise(model)
    x, t = noise(2, 1, 8, 8), torch.tensor([10, 900])
    with torch.no_grad():
        assert not torch.equal(model.train()(x, t), model(x, t))
        assert torch.equal(model.eval()(x, t), model(x, t))


def test_dropout_is_at_the_end_of_both_branches() -> None:
    block = Block(16, 4, dropout=1.0).train()
    randomise(block)
    x = noise(2, 5, 16)
    with torch.no_grad():
        assert torch.equal(block(x, noise(2, 1, 16, seed=2)), x)


# --- the condition ---


def test_the_output_depends_on_the_timestep() -> None:
    model = small()
    randomise(model)
    with torch.no_grad():
        first, second = model(torch.zeros(2, 1, 8, 8), torch.tensor([10, 900]))
    assert float((first - second).abs().max()) > 1e-2


def test_blocks_are_told_the_timestep_and_the_class_through_silu() -> None:
    model = small(num_class_embeds=4)
    randomise(model)
    told: list[Tensor] = []
    model.blocks[1].register_forward_pre_hook(lambda _, given: told.append(given[1]))
    t, labels = torch.tensor([3, 700]), torch.tensor([2, 0])
    with torch.no_grad():
        model(noise(2, 1, 8, 8), t, labels)
        vector = model.time_embedding(timestep_embedding(t, 256)) + model.class_embedding(labels)
    assert torch.equal(told[0], F.silu(vector)[:, None])


def overfit(model: nn.Module, steps: int, labels: Tensor | None = None) -> tuple[float, float]:
    """The loss on eight pictures' noise, before and after learning it by heart."""
    x, t, target = noise(8, 1, 8, 8), torch.arange(8) * 120, noise(8, 1, 8, 8, seed=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = (model(x, t, labels) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses[0], losses[-1]


def test_it_learns_eight_pictures_by_heart() -> None:
    torch.manual_seed(0)
    first, last = overfit(small(hidden_size=64), steps=150)
    assert last < first / 20


def test_the_class_changes_the_output_after_some_steps() -> None:
    """Not before: the first step moves the last layer, the second the ones that say the class."""
    torch.manual_seed(0)
    model = small(num_class_embeds=9)
    x, t = noise(1, 1, 8, 8), torch.tensor([5])

    def difference() -> float:
        with torch.no_grad():
            one, other = (model(x, t, torch.tensor([label])) for label in (0, 8))
        return float((one - other).abs().max())

    assert difference() == 0
    overfit(model, 5, torch.arange(8))
    assert difference() > 1e-4


# --- as a config describes it ---


def test_a_config_describes_it() -> None:
    config = validate(
        {
            "model": {
                "name": "dit",
                "patch_size": 4,
                "hidden_size": 48,
                "num_layers": 3,
                "attention_head_dim": 24,
                "dropout": 0.1,
                "class_conditional": True,
            }
        }
    )
    model = build_model(config, (3, 10, 12), 5)
    assert isinstance(model, DiT)
    assert (model.patch_size, model.hidden_size, len(model.blocks)) == (4, 48, 3)
    assert model.class_embedding.num_embeddings == 6, "one more, for no class"
    block = model.blocks[0]
    assert isinstance(block, Block)
    assert (block.attention.heads, block.dropout.p) == (2, 0.1)
    x = noise(2, 3, 10, 12)
    assert model(x, torch.tensor([0, 9]), torch.tensor([5, 0])).shape == x.shape


@pytest.mark.parametrize(
    ("hidden", "head", "fits"),
    [(48, 12, True), (48, 32, False), (18, 2, False), (8, 8, True), (20, 5, True)],
)
def test_a_width_that_does_not_divide_is_refused(hidden, head, fits) -> None:
    values = {"name": "dit", "hidden_size": hidden, "attention_head_dim": head}
    if fits:
        model = build_model(validate({"model": values}), (1, 4, 4), 10)
        assert model(torch.zeros(1, 1, 4, 4), torch.tensor([3])).shape == (1, 1, 4, 4)
    else:
        with pytest.raises(ConfigError, match=rf"hidden_size \({hidden}\).*\({head}\)"):
            validate({"model": values})
