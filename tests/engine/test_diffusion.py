"""Component 1, the forward process, against the article's formula and against diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.diffusion import predict_x0, q_sample, training_loss
from engine.schedule import BETA_SCHEDULES, NoiseSchedule

SCHEDULES = sorted(BETA_SCHEDULES)
EVERY_T = torch.arange(1000)


def draws(count: int, shape: tuple[int, ...] = (1, 4, 4)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_start = torch.rand((count, *shape), generator=generator) * 2 - 1
    return x_start, torch.randn((count, *shape), generator=generator)


def test_q_sample_is_the_articles_forward_at_every_t() -> None:
    x0, eta = draws(1000)
    # As the article computes them, in float32.
    alphas = 1 - torch.linspace(10**-4, 0.02, 1000)
    alpha_bars = torch.tensor([torch.prod(alphas[: i + 1]) for i in range(1000)])
    a_bar = alpha_bars[EVERY_T]
    n = len(x0)
    noisy = a_bar.sqrt().reshape(n, 1, 1, 1) * x0 + (1 - a_bar).sqrt().reshape(n, 1, 1, 1) * eta
    ours = q_sample(NoiseSchedule.create("linear", 1000), x0, EVERY_T, eta)
    torch.testing.assert_close(ours, noisy, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_q_sample_is_diffusers_add_noise_at_every_t(name) -> None:
    x_start, noise = draws(1000)
    theirs = DDPMScheduler(1000, beta_schedule=name).add_noise(x_start, noise, EVERY_T)
    ours = q_sample(NoiseSchedule.create(name, 1000), x_start, EVERY_T, noise)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 5), (2,)])
def test_every_sample_has_its_own_t(shape) -> None:
    schedule = NoiseSchedule.create("linear", 1000)
    x_start, noise = draws(3, shape)
    t = torch.tensor([0, 500, 999])
    together = q_sample(schedule, x_start, t, noise)
    assert together.shape == x_start.shape
    assert together.dtype == torch.float32
    for i in range(3):
        part = slice(i, i + 1)
        alone = q_sample(schedule, x_start[part], t[part], noise[part])
        assert torch.equal(alone, together[part])


def test_noise_takes_over_and_the_variance_stays() -> None:
    schedule = NoiseSchedule.create("linear", 1000)
    x_start, noise = draws(2000)
    x_start = x_start / x_start.std()
    for t in (0, 250, 500, 999):
        x_t = q_sample(schedule, x_start, torch.full((2000,), t), noise)
        assert float(x_t.std()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(x_t, noise, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", SCHEDULES)
def test_predict_x0_undoes_q_sample(name) -> None:
    schedule = NoiseSchedule.create(name, 1000)
    x_start, noise = draws(1000)
    x_t = q_sample(schedule, x_start, EVERY_T, noise)
    for t in range(1000):
        part = slice(t, t + 1)
        x0 = predict_x0(schedule, x_t[part], t, noise[part])
        assert x0.dtype == torch.float32
        # The signal shrinks to √ᾱ_t of its size, and the rounding of x_t grows by as much.
        atol = 4e-7 / float(schedule.alphas_cumprod[t].sqrt())
        torch.testing.assert_close(x0, x_start[part], rtol=1e-6, atol=atol)


def test_the_loss_is_the_mean_square_of_what_the_network_missed() -> None:
    schedule = NoiseSchedule.create("linear", 1000)
    x_start, noise = draws(8)
    t = torch.arange(8) * 100
    seen = []

    def half(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append((x_t, t))
        return (noise / 2).bfloat16()

    loss = training_loss(half, schedule, x_start, t, noise)  # type: ignore[arg-type]
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float((noise / 2).square().mean()), rel=1e-2)
    assert torch.equal(seen[0][0], q_sample(schedule, x_start, t, noise))
    assert torch.equal(seen[0][1], t)
