"""Component 1, the forward process, against the article's formula and against diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from engine.diffusion import (
    min_snr_weight,
    per_sample_loss,
    predict_x0_and_eps,
    q_sample,
    training_target,
)
from engine.schedule import BETA_SCHEDULES, NoiseSchedule

SCHEDULES = sorted(BETA_SCHEDULES)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
LINEAR = NoiseSchedule.create("linear", 1000)
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


# --- what a network may predict ---


def test_targets() -> None:
    x_start, noise = draws(1000)
    assert training_target(LINEAR, "epsilon", x_start, EVERY_T, noise) is noise
    assert training_target(LINEAR, "sample", x_start, EVERY_T, noise) is x_start
    theirs = DDPMScheduler(1000).get_velocity(x_start, noise, EVERY_T)
    ours = training_target(LINEAR, "v_prediction", x_start, EVERY_T, noise)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_perfect_prediction_is_the_image_and_the_noise(name, prediction_type) -> None:
    """At every t: what `training_target` asks for, `predict_x0_and_eps` reads."""
    schedule = NoiseSchedule.create(name, 1000)
    x_start, noise = draws(1000)
    x_t = q_sample(schedule, x_start, EVERY_T, noise)
    target = training_target(schedule, prediction_type, x_start, EVERY_T, noise)
    for t in range(1000):
        part = slice(t, t + 1)
        x0, eps = predict_x0_and_eps(schedule, prediction_type, x_t[part], t, target[part])
        assert x0.dtype == eps.dtype == torch.float32
        # Of a noise, x_0 = (x_t − …) / √ᾱ_t, and the rounding of x_t grows by as much; of an
        # image, ε = (x_t − …) / √(1 − ᾱ_t).
        x0_atol, eps_atol = 1e-6, 1e-6
        if prediction_type == "epsilon":
            x0_atol = 4e-7 / float(schedule.alphas_cumprod[t].sqrt())
        if prediction_type == "sample":
            eps_atol = 4e-7 / float(schedule.noise_level[t])
        torch.testing.assert_close(x0, x_start[part], rtol=1e-6, atol=x0_atol)
        torch.testing.assert_close(eps, noise[part], rtol=1e-6, atol=eps_atol)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_image_and_noise_make_up_x_t_whatever_the_network_says(prediction_type) -> None:
    x_t, output = draws(1)
    for t in range(0, 1000, 9):
        x0, eps = predict_x0_and_eps(LINEAR, prediction_type, x_t, t, output)
        again = q_sample(LINEAR, x0, torch.tensor([t]), eps)
        torch.testing.assert_close(again, x_t, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_at_zero_terminal_snr_an_image_can_be_read(prediction_type) -> None:
    schedule = NoiseSchedule.create("linear", 1000, rescale_betas_zero_snr=True)
    x_start, noise = draws(1)
    t = torch.tensor([999])
    assert torch.equal(q_sample(schedule, x_start, t, noise), noise)
    target = training_target(schedule, prediction_type, x_start, t, noise)
    x0, eps = predict_x0_and_eps(schedule, prediction_type, noise, 999, target)
    assert torch.equal(x0, x_start)
    assert torch.equal(eps, noise)


def test_at_zero_terminal_snr_a_noise_says_nothing_of_the_image() -> None:
    schedule = NoiseSchedule.create("linear", 1000, rescale_betas_zero_snr=True)
    _, noise = draws(1)
    x0, eps = predict_x0_and_eps(schedule, "epsilon", noise, 999, noise)
    assert not x0.isfinite().any()
    assert torch.equal(eps, noise)


def test_an_unknown_prediction_type_is_refused() -> None:
    x_t, output = draws(1)
    with pytest.raises(ValueError, match="score"):
        predict_x0_and_eps(LINEAR, "score", x_t, 5, output)


# --- losses ---


@pytest.mark.parametrize("gamma", [1.0, 5.0, 1e9])
def test_min_snr_weights_are_those_of_the_paper(gamma) -> None:
    """Hang et al. 2023, section 3.4, in closed form; diffusers' training scripts divide alike."""
    snr = LINEAR.alphas_cumprod / (1 - LINEAR.alphas_cumprod)
    low = torch.minimum(snr, torch.tensor(gamma).double())
    theirs = compute_snr(DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02), EVERY_T).double()
    capped = torch.stack([theirs, gamma * torch.ones(1000)], dim=1).min(dim=1)[0]
    expected = {
        "sample": (low, capped),
        "epsilon": (low / snr, capped / theirs),
        "v_prediction": (low / (snr + 1), capped / (theirs + 1)),
    }
    for prediction_type, (closed, script) in expected.items():
        weight = min_snr_weight(LINEAR, prediction_type, EVERY_T, gamma)
        assert weight.dtype == torch.float64
        torch.testing.assert_close(weight, closed)
        # Its float32 keeps three digits of 1 − ᾱ at the first timesteps.
        torch.testing.assert_close(weight, script, rtol=2e-3, atol=0)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_a_weight_means_the_same_whatever_is_predicted(gamma) -> None:
    """One mistaken image, as x_0, as ε and as v: the weighted errors are one number."""
    x_start, noise = draws(1000)
    mistaken = x_start.flip(0)
    x_t = q_sample(LINEAR, x_start, EVERY_T, noise)
    alpha_cumprod = LINEAR.alphas_cumprod.reshape(-1, 1, 1, 1)
    implied = (x_t - alpha_cumprod.sqrt() * mistaken) / (1 - alpha_cumprod).sqrt()
    image, eps, v = (
        per_sample_loss(
            training_target(LINEAR, prediction_type, mistaken, EVERY_T, implied),
            LINEAR,
            x_start,
            EVERY_T,
            noise,
            prediction_type=prediction_type,
            snr_gamma=gamma,
        )
        for prediction_type in ("sample", "epsilon", "v_prediction")
    )
    torch.testing.assert_close(eps, image, rtol=1e-4, atol=0)
    torch.testing.assert_close(v, image, rtol=1e-4, atol=0)


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_at_zero_terminal_snr_a_weight_is_zero(prediction_type) -> None:
    schedule = NoiseSchedule.create("linear", 1000, rescale_betas_zero_snr=True)
    assert min_snr_weight(schedule, prediction_type, torch.tensor([999]), 5.0).tolist() == [0]


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_the_loss_is_the_mean_square_of_what_the_network_missed(prediction_type) -> None:
    x_start, noise = draws(8)
    t = torch.arange(8) * 100
    target = training_target(LINEAR, prediction_type, x_start, t, noise)
    missed = torch.arange(8).reshape(-1, 1, 1, 1) / 10
    error = per_sample_loss(
        target + missed, LINEAR, x_start, t, noise, prediction_type=prediction_type
    )
    assert error.shape == (8,)
    torch.testing.assert_close(error, missed.flatten() ** 2)
    for i in range(8):
        part = slice(i, i + 1)
        alone = per_sample_loss(
            (target + missed)[part],
            LINEAR,
            x_start[part],
            t[part],
            noise[part],
            prediction_type=prediction_type,
        )
        torch.testing.assert_close(alone, error[part])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 5), (2,)])
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("snr_gamma", [0.0, 5.0])
def test_a_loss_in_half_precision_is_float32_per_sample(shape, loss, snr_gamma) -> None:
    x_start, noise = draws(3, shape)
    output = (noise / 2).bfloat16()
    t = torch.tensor([1, 500, 999])
    error = per_sample_loss(
        output, LINEAR, x_start, t, noise, prediction_type="epsilon", loss=loss, snr_gamma=snr_gamma
    )
    assert error.shape == (3,)
    assert error.dtype == torch.float32
    if loss == "mse":
        expected = (output.double() - noise).square().flatten(1).mean(dim=1)
        if snr_gamma:
            expected = expected * min_snr_weight(LINEAR, "epsilon", t, snr_gamma)
        torch.testing.assert_close(error.double(), expected, rtol=1e-5, atol=0)


def test_huber_is_quadratic_within_one_and_linear_beyond() -> None:
    zeros, t = torch.zeros(5, 1, 2, 2), torch.full((5,), 500)
    missed = torch.tensor([0, 0.5, -1, 2, -10]).reshape(-1, 1, 1, 1).expand_as(zeros)
    error = per_sample_loss(missed, LINEAR, zeros, t, zeros, loss="huber")
    assert error.tolist() == pytest.approx([0, 0.125, 0.5, 1.5, 9.5])
