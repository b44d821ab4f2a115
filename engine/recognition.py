"""Until which timestep the class of a noisy image can still be told, by the best that can be done.

The observer knows images of the training set by heart, and how noise is added. Given x_t it weighs
each of them by the likelihood that x_t came from it, N(x_t; √ᾱ_t x_i, (1 − ᾱ_t) I), and names the
class with the most weight. A person, who sees one image and not the exact noise level, gives up
earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.dataset import Dataset
from engine.data.range import to_unit
from engine.diffusion import q_sample
from engine.forward import spread_over_classes
from engine.rng import sample_noise
from engine.schedule import NoiseSchedule

KNOWN = 2000  # training images that the observer knows
ASKED = 200  # held-out images that it is asked about
_SEED = 0


def recognised(
    dataset: Dataset, schedule: NoiseSchedule, timesteps: Sequence[int]
) -> dict[int, float]:
    """The share of held-out images whose class the observer names, for each timestep."""
    known_at = spread_over_classes(dataset.labels, min(KNOWN, len(dataset.labels)))
    asked_at = spread_over_classes(dataset.test_labels, min(ASKED, len(dataset.test_labels)))
    known, labels = to_unit(dataset.images[known_at]).flatten(1), dataset.labels[known_at]
    x_start, truth = to_unit(dataset.test_images[asked_at]), dataset.test_labels[asked_at]
    noise = sample_noise(
        _SEED, "forward", 0, range(len(x_start)), dataset.image_shape, x_start.device
    )
    shares = {}
    for t in timesteps:
        x_t = q_sample(schedule, x_start, torch.full((len(x_start),), t), noise).flatten(1)
        named = _class_of(x_t, known, labels, float(schedule.alphas_cumprod[t]))
        shares[t] = float((named == truth).double().mean())
    return shares


def _class_of(x_t: Tensor, known: Tensor, labels: Tensor, alpha_cumprod: float) -> Tensor:
    """int64 (N,): the likeliest class of each x_t (N, D), given images known (M, D)."""
    signal = alpha_cumprod**0.5
    # log N up to a constant for each x_t: |x_t|² says nothing of which image it was.
    closeness = signal * (x_t @ known.T).double()
    closeness -= alpha_cumprod / 2 * known.double().square().sum(dim=1)
    closeness /= max(1 - alpha_cumprod, 1e-12)
    classes = int(labels.max()) + 1
    scores = [closeness[:, labels == label].logsumexp(dim=1) for label in range(classes)]
    return torch.stack(scores, dim=1).argmax(dim=1)
