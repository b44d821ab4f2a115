"""Component 3: noise schedules and timestep spacings, held against diffusers' own."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr as diffusers_rescale
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from engine.config import DiffusionConfig
from engine.schedule import (
    BETA_SCHEDULES,
    NoiseSchedule,
    inference_timesteps,
    rescale_zero_terminal_snr,
)

SPACINGS = ("leading", "linspace", "trailing")
SCHEDULES = sorted(BETA_SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [2, 50, 1000])
def test_a_schedule_is_that_of_diffusers(name, total) -> None:
    ours = NoiseSchedule.create(name, total)
    theirs = DDPMScheduler(total, beta_start=1e-4, beta_end=0.02, beta_schedule=name)
    assert ours.num_train_timesteps == total
    torch.testing.assert_close(ours.betas.float(), theirs.betas, rtol=1e-6, atol=0)
    # diffusers multiplies in float32, so its own product is off in the fifth digit.
    theirs_exact = torch.cumprod(1 - theirs.betas.double(), dim=0)
    torch.testing.assert_close(ours.alphas_cumprod, theirs_exact, rtol=1e-4, atol=0)
    torch.testing.assert_close(ours.alphas_cumprod.float(), theirs.alphas_cumprod)


@pytest.mark.parametrize("name", ["linear", "sigmoid"])
def test_the_ends_of_a_schedule_are_settings(name) -> None:
    schedule = NoiseSchedule.create(name, 200, 0.001, 0.3)
    # A sigmoid begins and ends a 1/400 of the way from its ends.
    off = 0.299 / 400 if name == "sigmoid" else 1e-9
    assert schedule.betas[[0, -1]].tolist() == pytest.approx([0.001, 0.3], abs=off)
    theirs = DDPMScheduler(200, beta_start=0.001, beta_end=0.3, beta_schedule=name)
    torch.testing.assert_close(schedule.betas.float(), theirs.betas, rtol=1e-6, atol=0)
    torch.testing.assert_close(schedule.alphas_cumprod.float(), theirs.alphas_cumprod)


def test_the_ends_have_no_say_in_the_cosine_schedule() -> None:
    one, other = (NoiseSchedule.create("squaredcos_cap_v2", 50, *ends) for ends in ((), (0.1, 0.2)))
    assert torch.equal(one.betas, other.betas)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_only_grows(name) -> None:
    schedule = NoiseSchedule.create(name, 1000)
    assert ((schedule.betas > 0) & (schedule.betas <= 0.999)).all()
    assert (schedule.alphas_cumprod.diff() < 0).all()
    assert (schedule.snr.diff() < 0).all()
    assert schedule.alphas_cumprod[0] > 0.999
    assert 0 < schedule.alphas_cumprod[-1] < 1e-4


def test_the_cosine_schedule_follows_its_formula_up_to_the_cap() -> None:
    """ᾱ_t = f((t + 1) / T) / f(0), f(u) = cos²((u + 0.008) / 1.008 · π / 2)."""
    u = torch.arange(0, 1001, dtype=torch.float64) / 1000
    f = torch.cos((u + 0.008) / 1.008 * torch.pi / 2) ** 2
    schedule = NoiseSchedule.create("squaredcos_cap_v2", 1000)
    torch.testing.assert_close(schedule.alphas_cumprod[:-1], (f[1:] / f[0])[:-1])
    assert schedule.betas[-1] == 0.999, "where the formula would leave nothing at all"


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [2, 50, 1000])
def test_rescaling_to_zero_terminal_snr_is_that_of_diffusers(name, total) -> None:
    betas = NoiseSchedule.create(name, total).betas
    # Theirs works in place and in whatever precision it is given.
    torch.testing.assert_close(
        rescale_zero_terminal_snr(betas), diffusers_rescale(betas.clone()), rtol=0, atol=1e-12
    )
    theirs = DDPMScheduler(
        total, beta_start=1e-4, beta_end=0.02, beta_schedule=name, rescale_betas_zero_snr=True
    )
    ours = NoiseSchedule.create(name, total, rescale_betas_zero_snr=True)
    torch.testing.assert_close(
        ours.alphas_cumprod.float(), theirs.alphas_cumprod, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_terminal_snr_leaves_nothing_and_changes_the_rest_little(name) -> None:
    plain = NoiseSchedule.create(name, 1000)
    schedule = NoiseSchedule.create(name, 1000, rescale_betas_zero_snr=True)
    assert schedule.alphas_cumprod[-1] == schedule.snr[-1] == 0
    assert schedule.betas[-1] == schedule.noise_level[-1] == 1
    assert (schedule.betas > 0).all()
    assert (schedule.alphas_cumprod.diff() < 0).all()
    assert float(schedule.alphas_cumprod[0]) == pytest.approx(float(plain.alphas_cumprod[0]))
    moved = schedule.alphas_cumprod.sqrt() - plain.alphas_cumprod.sqrt()
    assert float(moved.abs().max()) <= float(plain.alphas_cumprod[-1].sqrt()) + 1e-12


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_of_a_config(name, rescale) -> None:
    config = DiffusionConfig(
        beta_schedule=name,
        num_train_timesteps=70,
        beta_start=0.003,
        beta_end=0.2,
        rescale_betas_zero_snr=rescale,
        prediction_type="v_prediction",
    )
    expected = BETA_SCHEDULES[name](70, 0.003, 0.2)
    if rescale:
        expected = rescale_zero_terminal_snr(expected)
    assert torch.equal(NoiseSchedule.of(config).betas, expected)


def test_snr() -> None:
    schedule = NoiseSchedule.from_betas(torch.tensor([0.2, 0.75, 1.0], dtype=torch.float64))
    assert schedule.alphas_cumprod.tolist() == pytest.approx([0.8, 0.2, 0])
    assert schedule.snr.tolist() == pytest.approx([4, 0.25, 0])
    assert schedule.noise_level.tolist() == pytest.approx([0.2**0.5, 0.8**0.5, 1])


def test_the_timestep_before_the_first_is_the_clean_image() -> None:
    schedule = NoiseSchedule.create("linear", 10)
    assert schedule.alpha_cumprod_at(-1) == 1
    assert schedule.alpha_cumprod_at(9) == schedule.alphas_cumprod[9]


def test_a_step_is_as_exact_where_there_is_hardly_any_noise() -> None:
    """β from ᾱ, as the samplers compute it: in float32 it would be off in the fourth digit."""
    schedule = NoiseSchedule.create("linear", 1000)
    for t in range(1000):
        beta = 1 - schedule.alpha_cumprod_at(t) / schedule.alpha_cumprod_at(t - 1)
        assert float(beta) == pytest.approx(float(schedule.betas[t]), rel=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("num", [7, 20, 50, 1000])
def test_a_spacing_is_that_of_diffusers(spacing, num) -> None:
    theirs = DDPMScheduler(1000, timestep_spacing=spacing)
    theirs.set_timesteps(num)
    assert inference_timesteps(1000, num, spacing) == theirs.timesteps.tolist()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("total", [2, 15, 200, 1000])
def test_a_spacing_is_that_of_diffusers_for_any_number_of_steps(spacing, total) -> None:
    theirs = DDPMScheduler(total, timestep_spacing=spacing)
    for num in range(1, total + 1):
        theirs.set_timesteps(num)
        # For some numbers (15 timesteps in 13 steps) diffusers' trailing has an extra step at −1.
        expected = theirs.timesteps.tolist()[:num]
        assert inference_timesteps(total, num, spacing) == expected, num


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("total", [2, 15, 50, 999])
def test_timesteps_fall_and_stay_in_range(spacing, total) -> None:
    for num in range(1, total + 1):
        timesteps = inference_timesteps(total, num, spacing)
        assert len(timesteps) == num
        assert all(a > b for a, b in pairwise(timesteps))
        assert timesteps[-1] >= 0
        assert timesteps[0] < total
        assert all(type(t) is int for t in timesteps)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_as_many_steps_as_timesteps_visit_all(spacing) -> None:
    assert inference_timesteps(50, 50, spacing) == list(range(50))[::-1]


@pytest.mark.parametrize("num", [0, -1, 51])
def test_a_number_of_steps_out_of_bounds_is_refused(num) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        inference_timesteps(50, num)


def test_an_unknown_spacing_is_refused() -> None:
    with pytest.raises(ValueError, match="karras"):
        inference_timesteps(50, 5, "karras")


def test_posterior_variance_is_that_of_diffusers() -> None:
    schedule = NoiseSchedule.create("linear", 100)
    theirs = DDPMScheduler(num_train_timesteps=100, variance_type="fixed_small")
    theirs.set_timesteps(100)
    for t in (1, 50, 99):
        assert float(schedule.posterior_variance[t]) == pytest.approx(
            float(theirs._get_variance(t)), rel=1e-3
        )
    assert float(schedule.posterior_variance[0]) == 0
