"""Until when the class of a noisy image can be told."""

from __future__ import annotations

import pytest
import torch

from engine.data import load
from engine.recognition import _class_of, recognised
from engine.schedule import NoiseSchedule


def test_the_class_is_that_of_the_likeliest_images() -> None:
    """Held against the posterior of a mixture, written out."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(6, 3, generator=generator)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    for alpha in (0.9, 0.3):
        x_t = torch.randn(40, 3, generator=generator)
        kernel = torch.distributions.Normal(alpha**0.5 * known, (1 - alpha) ** 0.5)
        density = kernel.log_prob(x_t[:, None]).sum(dim=-1).exp()  # (40, 6)
        posterior = density.reshape(40, 3, 2).sum(dim=-1)
        assert (_class_of(x_t, known, labels, alpha) == posterior.argmax(dim=1)).all()


def test_fewer_are_told_the_more_noise_there_is() -> None:
    dataset = load("fashion-mnist-10k")
    shares = recognised(dataset, NoiseSchedule.create("linear", 1000), (0, 600, 999))
    assert list(shares) == [0, 600, 999]
    assert shares[0] > 0.7, "its nearest neighbour is mostly of its class"
    assert shares[0] > shares[600] + 0.1
    assert shares[999] < 0.3
    cosine = recognised(dataset, NoiseSchedule.create("squaredcos_cap_v2", 1000), (999,))
    assert cosine[999] == pytest.approx(0.1, abs=0.1), "nothing but noise: one in ten by chance"
