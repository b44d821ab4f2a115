"""Muon: steps of equal size in every direction of a weight matrix.

After 20,000 images the default network's Fréchet distance is 4.5 with Muon and 7.6 with AdamW at
the same learning rate (docs/default-network.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from engine.device import multiplies_bf16

# Coefficients of the quintic that pushes every singular value towards 1 (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_MOMENTUM = 0.95


def orthogonalize(matrices: Tensor) -> Tensor:
    """U Vᵀ of each matrix's singular value decomposition U S Vᵀ, roughly, by matrix products alone.

    Five Newton-Schulz iterations, after which the singular values lie near 1 (Jordan et al. 2024,
    "Muon: an optimizer for hidden layers in neural networks"). bfloat16 is precise enough for them,
    but only where the hardware has it: on a CPU that emulates it they took 60 % of a step.

    Args:
        matrices: (B, rows, columns).

    Returns:
        (B, rows, columns), bfloat16 where that is multiplied natively, else float32.
    """
    x = matrices.to(torch.bfloat16 if multiplies_bf16(matrices.device) else torch.float32)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = torch.bmm(x, x.mT)
        quadratic = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, quadratic, x, beta=_A)
    result: Tensor = x.mT if tall else x
    return result


# The first and the last layer of a network and its embeddings do better with AdamW.
_ENDS = ("conv_in", "conv_out", "proj_in", "proj_out")


def hidden_matrices(model: nn.Module) -> set[str]:
    """The names of the weights that Muon is for: those of hidden linear and convolution layers.

    By the layer and not by the number of axes: a LayerNorm over (C, H, W) has three, and none of
    them multiplies anything.
    """
    return {
        f"{name}.weight"
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and name.split(".")[0] not in _ENDS
    }


class Muon(torch.optim.Optimizer):
    """Muon for the hidden matrices of a network, AdamW for all other weights.

    A convolution counts as the matrix (out, in·kh·kw); a transposed one is left to AdamW. Updates
    are scaled by 0.2 √(larger side), to the size of AdamW's (Liu et al. 2025, "Muon is scalable for
    LLM training"), so that one learning rate serves both.

    Honours `found_inf`, as torch's fused optimizers do: where it is 1, the step changes nothing.

    Args:
        matrices: the weights for Muon, see `hidden_matrices`.
        others: the weights for AdamW.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter] = (),
        lr: float = 3e-3,
        weight_decay: float = 0.0,
    ) -> None:
        groups = [
            {"params": list(matrices), "matrices": True},
            # `fused` makes load_state_dict put AdamW's `step` on the device of its parameter, where
            # the kernel wants it.
            {"params": list(others), "matrices": False, "fused": True},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            {"lr": lr, "weight_decay": weight_decay},
        )

    # torch's optimizers take a closure that computes the loss anew; nobody gives this one any.
    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            if group["matrices"]:
                self._step_matrices(group)
            else:
                self._step_others(group)

    def _step_matrices(self, group: dict[str, Any]) -> None:
        # Matrices of one shape together: a few large products instead of many small ones.
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                rows = parameter.shape[0]
                by_shape.setdefault((rows, parameter.numel() // rows), []).append(parameter)
        for shape, parameters in by_shape.items():
            self._step_alike(parameters, shape, group["lr"], group["weight_decay"])

    def _step_alike(
        self, parameters: list[nn.Parameter], shape: tuple[int, int], lr: float, weight_decay: float
    ) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        buffers = [self._momentum(p) for p in parameters]
        weights: list[Tensor] = list(parameters)
        taken: float | Tensor = 1.0
        if self.found_inf is not None:
            # A product with 0 would not do: 0 · NaN is NaN.
            bad = self.found_inf != 0
            gradients = [torch.where(bad, b, g) for g, b in zip(gradients, buffers, strict=True)]
            taken = (~bad).float()
        torch._foreach_lerp_(buffers, gradients, 1 - _MOMENTUM)
        nesterov = torch._foreach_lerp(gradients, buffers, _MOMENTUM)
        updates = orthogonalize(torch.stack([u.reshape(shape) for u in nesterov])).float()
        updates *= lr * 0.2 * math.sqrt(max(shape)) * taken
        if weight_decay:
            torch._foreach_mul_(weights, 1 - lr * weight_decay * taken)
        moves = [u.reshape(w.shape) for u, w in zip(updates, weights, strict=True)]
        torch._foreach_sub_(weights, moves)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer

    def _step_others(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[p] for p in parameters]
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            fused=True,
            grad_scale=None,
            found_inf=self.found_inf,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )
