"""Attention written out for a CPU gives what torch's own function gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.models import attention as module
from engine.models.attention import attention


def draw(tokens: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, tokens, 8, generator=generator)


@pytest.mark.parametrize("tokens", [1, 49, 256, 257])
def test_it_is_scaled_dot_product_attention(tokens) -> None:
    q, k, v = (draw(tokens, seed) for seed in range(3))
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v), expected, rtol=1e-4, atol=1e-5)


def test_so_are_its_gradients() -> None:
    gradients = []
    for function in (attention, F.scaled_dot_product_attention):
        leaves = [draw(49, seed).requires_grad_() for seed in range(3)]
        gradients.append(torch.autograd.grad(function(*leaves).square().sum(), leaves))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_many_tokens_go_to_the_kernel_that_saves_memory(monkeypatch) -> None:
    called = []

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        called.append(q.shape[-2])
        return v

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", fused)
    for tokens in (256, 257):
        attention(*(draw(tokens, seed) for seed in range(3)))
    assert called == [257]


def test_under_autocast_the_result_has_the_precision_of_the_values() -> None:
    q, k, v = (draw(49, seed) for seed in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        found.float(), F.scaled_dot_product_attention(q, k, v), rtol=0.1, atol=0.1
    )
