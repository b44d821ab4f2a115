"""What the machine could do: the best matrix product, and how much of one a training step is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.bench.timing import now

SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192, 16384)}
_SECONDS = 0.2


@dataclass(frozen=True)
class Peak:
    """The fastest matrix product that was found: two square matrices of `size`."""

    flops_per_second: float
    size: int


def matmul_peak(
    dtype: torch.dtype,
    device: torch.device,
    *,
    sizes: Sequence[int] = (),
    seconds: float = _SECONDS,
) -> Peak:
    """The best of several sizes, each tried for `seconds`; n×n by n×n counts as 2n³."""
    best = Peak(0.0, 0)
    for size in sizes or SIZES["cpu" if device.type == "cpu" else "cuda"]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = a @ b
        repeats, shortest, until = 1, math.inf, now(device) + seconds
        while (started := now(device)) < until:
            for _ in range(repeats):
                torch.mm(a, b, out=out)
            elapsed = now(device) - started
            shortest = min(shortest, elapsed / repeats)
            # Long enough that the clock and the launch do not count.
            if elapsed < seconds / 10:
                repeats *= 2
        best = max(best, Peak(2 * size**3 / shortest, size), key=lambda p: p.flops_per_second)
    return best


def count_flops(compute: Callable[[], Tensor]) -> int:
    """The floating-point operations of `compute()` and of the gradients of its scalar.

    Counted are matrix products and convolutions, attention's too, forward and backward, a
    multiplication with its addition as two. Not counted are norms, activations, sums, draws, the
    optimizer and the average of the weights: they move memory rather than multiply.
    """
    # The fused attention of the CPU is unknown to the counter; its plain form is two products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        compute().backward()
    return int(counter.get_total_flops())


def step_flops(model: nn.Module, image_shape: Sequence[int], batch_size: int) -> int:
    """The operations of a training step; counted on a copy and one image, as all scale with it."""
    network = copy.deepcopy(model).float().cpu()
    x, t = torch.zeros(1, *image_shape), torch.zeros(1, dtype=torch.int64)
    return batch_size * count_flops(lambda: network(x, t).sum())
