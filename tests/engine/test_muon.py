"""Muon: torch's own as the oracle, and what it must not touch when a step is bad."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from engine.models.article import ArticleUNet
from engine.models.dit import DiT
from engine.models.unet import UNet
from engine.muon import Muon, hidden_matrices, orthogonalize


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(parameter: Tensor, count: int = 4) -> list[Tensor]:
    return [torch.randn(parameter.shape, generator=draws(i)) for i in range(count)]


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalize_brings_every_singular_value_near_one(shape) -> None:
    matrices = torch.randn(3, *shape, generator=draws(0))
    values = torch.linalg.svdvals(orthogonalize(matrices).float())
    assert values.min() > 0.5
    assert values.max() < 1.3


@pytest.mark.parametrize("native", [True, False])
def test_orthogonalize_takes_bfloat16_only_where_it_is_native(monkeypatch, native) -> None:
    monkeypatch.setattr("engine.muon.multiplies_bf16", lambda _: native)
    found = orthogonalize(torch.randn(2, 12, 8, generator=draws(4)))
    assert found.dtype == (torch.bfloat16 if native else torch.float32)
    values = torch.linalg.svdvals(found.float())
    assert values.min() > 0.5 and values.max() < 1.3


def test_orthogonalize_keeps_the_directions() -> None:
    matrix = torch.randn(1, 8, 24, generator=draws(1))
    u, _, vt = torch.linalg.svd(matrix[0], full_matrices=False)
    found = orthogonalize(matrix)[0].float()
    turned = u.T @ found @ vt.T
    assert (turned - torch.diag(turned.diag())).abs().max() < 0.1


def test_a_zero_matrix_stays_zero() -> None:
    assert not orthogonalize(torch.zeros(1, 4, 6)).any()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(16, 8), (8, 16)])
def test_matrices_move_as_with_torchs_own_muon(shape, weight_decay) -> None:
    start = torch.randn(shape, generator=draws(2))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    our = Muon([ours], lr=0.01, weight_decay=weight_decay)
    their = torch.optim.Muon(
        [theirs], lr=0.01, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    for gradient in gradients(start):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        our.step()
        their.step()
    # torch's is bfloat16 inside: an eighth bit of steps of 0.01.
    assert (ours - theirs).abs().max() < 2e-3
    assert (ours - start).abs().max() > 1e-2


def test_a_convolution_is_the_matrix_of_its_outputs() -> None:
    start = torch.randn(8, 4, 3, 3, generator=draws(3))
    conv, flat = nn.Parameter(start.clone()), nn.Parameter(start.clone().reshape(8, 36))
    one, other = Muon([conv]), Muon([flat])
    for gradient in gradients(start):
        conv.grad, flat.grad = gradient.clone(), gradient.clone().reshape(8, 36)
        one.step()
        other.step()
    assert torch.equal(conv.reshape(8, 36), flat)


def test_everything_else_moves_as_with_adamw() -> None:
    starts = [torch.randn(6, 4, generator=draws(i)) for i in range(3)]
    starts.append(torch.randn(6, generator=draws(3)))
    ours = [nn.Parameter(s.clone()) for s in starts]
    theirs = [nn.Parameter(s.clone()) for s in starts]
    our = Muon([], ours, lr=0.01, weight_decay=0.1)
    their = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1, fused=True)
    for step in range(4):
        for parameter, other in zip(ours, theirs, strict=True):
            gradient = torch.randn(parameter.shape, generator=draws(step))
            parameter.grad, other.grad = gradient, gradient.clone()
        our.step()
        their.step()
    for parameter, other in zip(ours, theirs, strict=True):
        assert torch.allclose(parameter, other, atol=1e-7)


def stepped(
    found_inf: float | None,
) -> tuple[nn.Module, Muon, nn.Module, dict[int, dict[str, Tensor]]]:
    """A network after two good steps and one with NaN gradients, and how it was before that."""
    torch.manual_seed(0)
    model = UNet(1, (8, 16), attention_levels=(1,), norm_num_groups=4, attention_head_dim=8)
    hidden = hidden_matrices(model)
    named = dict(model.named_parameters())
    optimizer = Muon(
        [p for name, p in named.items() if name in hidden],
        [p for name, p in named.items() if name not in hidden],
        weight_decay=0.1,
    )
    for i in range(3):
        if i == 2:
            before = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict()["state"])
            optimizer.found_inf = None if found_inf is None else torch.tensor(found_inf)
        for parameter in model.parameters():
            value = torch.nan if i == 2 else 1.0
            parameter.grad = torch.full_like(parameter, value)
        optimizer.step()
    return model, optimizer, *before


def test_a_step_with_found_inf_changes_nothing_to_the_bit() -> None:
    model, optimizer, model_before, state_before = stepped(found_inf=1.0)
    for one, other in zip(model.parameters(), model_before.parameters(), strict=True):
        assert torch.equal(one, other)
    state = optimizer.state_dict()["state"]
    assert state.keys() == state_before.keys()
    for index, entry in state.items():
        for key, value in entry.items():
            assert torch.equal(value, state_before[index][key]), key


def test_without_found_inf_the_same_step_would_destroy_the_weights() -> None:
    model, *_ = stepped(found_inf=None)
    assert all(parameter.isnan().any() for parameter in model.parameters())


def test_a_step_with_found_inf_zero_is_an_ordinary_step() -> None:
    start = torch.randn(8, 8, generator=draws(4))
    watched, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one, other = Muon([watched]), Muon([plain])
    one.found_inf = torch.zeros(())
    for gradient in gradients(start):
        watched.grad, plain.grad = gradient.clone(), gradient.clone()
        one.step()
        other.step()
    assert torch.equal(watched, plain)


def test_saved_state_goes_on_to_the_bit() -> None:
    start = torch.randn(8, 8, generator=draws(5))
    whole, broken = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one, other = Muon([whole]), Muon([broken])
    for i, gradient in enumerate(gradients(start)):
        if i == 2:
            saved = other.state_dict()
            other = Muon([broken])
            other.load_state_dict(saved)
        whole.grad, broken.grad = gradient.clone(), gradient.clone()
        one.step()
        other.step()
    assert torch.equal(whole, broken)


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    optimizer = Muon([used, unused])
    used.grad = torch.eye(4)
    optimizer.step()
    assert torch.equal(unused, torch.ones(4, 4))
    assert not torch.equal(used, torch.ones(4, 4))


def test_the_step_counter_of_adamw_is_loaded_to_where_its_parameter_is() -> None:
    """A checkpoint is read to the CPU; on a GPU the fused kernel refuses a counter from there."""
    there = Muon([], [nn.Parameter(torch.empty(4, device="meta"))])
    state = {"step": torch.ones(()), "exp_avg": torch.zeros(4), "exp_avg_sq": torch.zeros(4)}
    there.load_state_dict({"state": {0: state}, "param_groups": there.state_dict()["param_groups"]})
    (loaded,) = there.state.values()
    assert {key: value.device.type for key, value in loaded.items()} == dict.fromkeys(state, "meta")


# Which weights


NETWORKS = {
    "unet": UNet(1, (8, 16), attention_levels=(1,), norm_num_groups=4, attention_head_dim=8),
    "dit": DiT(hidden_size=32, num_layers=1, attention_head_dim=8, num_class_embeds=11),
    "article": ArticleUNet(10),
}


@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
def test_muon_is_for_what_multiplies_inside_a_network(model: nn.Module) -> None:
    named = dict(model.named_parameters())
    chosen = hidden_matrices(model)
    assert chosen <= named.keys()
    assert all(named[name].ndim in (2, 4) for name in chosen)
    left = {name for name in named if named[name].ndim >= 2} - chosen
    ends = ("conv_in", "conv_out", "proj_in", "proj_out", "class_embedding", "time_embed.")
    # The article's norms are as large as its images, and its way up is transposed.
    apart = ("ln.weight", "ln.bias", "up1.0.", "up1.2.", "up2.", "up3.")
    assert all(name.startswith(ends) or any(part in name for part in apart) for name in left), left
    assert not any(name.startswith(ends) for name in chosen)
