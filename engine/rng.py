"""Random draws as functions of (seed, purpose, step, sample index).

No generator state survives a call. So a resume needs no saved state, a result does not depend on
how often one stopped, and the noise of a picture does not depend on the batch it is drawn in. (The
network's own rounding may, where a kernel is chosen by the size of the batch.)

Two forms, one idea:

- `generator` seeds torch's own generator for one purpose at one step. One fast call fills a whole
  batch; training uses it.
- `sample_noise` is counter-based (Philox4x32-10; Salmon et al. 2011, "Parallel random numbers: as
  easy as 1, 2, 3"): every picture has its own stream, and thousands are drawn in one vectorised
  call, on any device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK32 = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """Hash (seed, purpose, counters) into a 63-bit seed, the same on every machine."""
    text = ":".join([str(seed), purpose, *map(str, counters)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(
    seed: int, purpose: str, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A torch generator for one purpose at one step."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose, step))


def philox4x32(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 on int64 tensors that hold 32-bit words.

    Args:
        counter: four tensors of one shape (or broadcastable), values in [0, 2**32).
        key: two 32-bit words.

    Returns:
        Four tensors of random 32-bit words, as int64.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The 64-bit product wraps into the sign bit; the mask takes the two halves out unharmed.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK32) ^ c1 ^ k0,
            p1 & _MASK32,
            ((p0 >> 32) & _MASK32) ^ c3 ^ k1,
            p0 & _MASK32,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK32, (k1 + _WEYL[1]) & _MASK32
    return c0, c1, c2, c3


def sample_noise(
    seed: int,
    purpose: str,
    step: int,
    indices: Sequence[int],
    shape: Sequence[int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise, one independent stream for each sample index.

    Args:
        seed, purpose, step: what the noise is for; together they make the Philox key.
        indices: the sample indices, N of them, each in [0, 2**32).
        shape: the shape of one sample, for example (C, H, W).
        device: where the noise is drawn.

    Returns:
        float32 tensor (N, *shape). Row i depends on indices[i] alone, not on its neighbours.
    """
    numel = math.prod(shape)
    blocks = -(-numel // 4)
    key = derive_seed(seed, purpose, step)
    index = torch.tensor(indices, dtype=torch.int64, device=device).reshape(-1, 1)
    block = torch.arange(blocks, dtype=torch.int64, device=device).reshape(1, -1)
    zero = torch.zeros_like(block)
    w0, w1, w2, w3 = philox4x32((block, index, zero, zero), (key & _MASK32, key >> 32))
    normals = torch.stack((*_box_muller(w0, w1), *_box_muller(w2, w3)), dim=-1)
    return normals.reshape(len(indices), blocks * 4)[:, :numel].reshape(len(indices), *shape)


def _box_muller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    # 24 bits each: what a float32 in (0, 1] can hold, so that log never sees 0.
    u = ((a >> 8) + 1).float() * 2.0**-24
    v = (b >> 8).float() * 2.0**-24
    radius = torch.sqrt(-2 * torch.log(u))
    angle = 2 * math.pi * v
    return radius * torch.cos(angle), radius * torch.sin(angle)
