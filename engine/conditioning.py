"""Asking for a picture by name: what a prompt does, and classifier-free guidance.

A mixture, as "0.6 dress + 0.4 coat", composes predictions, Σ w_i ε(x_t, c_i) (Liu et al. 2022,
"Compositional visual generation"), and does not average class embeddings: each network call is
then one that the network was trained for, and the weighted sum of scores is the score of
Π p(x | c_i)^{w_i}, a picture that every part finds likely. It costs a call for each part. All
three prediction types are affine in ε at a given x_t, so the same sums hold for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.prompts import parse_prompt


@dataclass(frozen=True)
class Condition:
    """What is asked for, picture by picture.

    Attributes:
        parts: (labels int64 (N,), weight) each; the weights sum to 1.
        guidance_scale: 1 is none; see `Guided`.
    """

    parts: tuple[tuple[Tensor, float], ...]
    guidance_scale: float = 1.0


def condition(
    prompt: str,
    class_names: Sequence[str],
    indices: Tensor,
    guidance_scale: float = 1.0,
) -> Condition:
    """The condition for the pictures `indices` of a seed.

    Without a prompt every class has its turn: picture i is of class i mod the number of classes,
    so that what a picture shows does not depend on how many are drawn.

    Args:
        indices: int64 (N,).

    Raises:
        ConfigError: see `parse_prompt`.
    """
    if not prompt.strip():
        return Condition(((indices % len(class_names), 1.0),), guidance_scale)
    parts = parse_prompt(prompt, class_names)
    return Condition(
        tuple((torch.full_like(indices, part.label), part.weight) for part in parts),
        guidance_scale,
    )


class Guided:
    """A class-conditional network as a denoiser of (x_t, t), steered by a condition.

    Classifier-free guidance (Ho & Salimans 2022, eq. 6, with diffusers' scale): the prediction
    without a class plus `guidance_scale` times what the class adds to it. Scale 1 is the class
    alone and costs no second call, 0 ignores the class, above 1 exaggerates it.

    Args:
        model: (x, t, class_labels) -> prediction; label `null_label` stands for "no class".
    """

    def __init__(self, model: Callable[..., Tensor], null_label: int, asked: Condition) -> None:
        self.model, self.null_label, self.asked = model, null_label, asked

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """(N, C, H, W), (N,) -> (N, C, H, W); all calls to the network go in one batch."""
        scale = self.asked.guidance_scale
        terms = [(labels, scale * weight) for labels, weight in self.asked.parts if scale]
        if scale != 1:
            terms.append((torch.full_like(t, self.null_label), 1 - scale))
        if len(terms) == 1:
            output: Tensor = self.model(x_t, t, terms[0][0])
            return output
        copies = len(terms)
        labels = torch.cat([labels for labels, _ in terms])
        outputs = self.model(x_t.repeat(copies, 1, 1, 1), t.repeat(copies), labels)
        # In float32, whatever the network works in: large scales take small differences apart.
        first, *rest = outputs.float().chunk(copies)
        total: Tensor = first * terms[0][1]
        for part, (_, weight) in zip(rest, terms[1:], strict=True):
            total = total + part * weight
        return total
