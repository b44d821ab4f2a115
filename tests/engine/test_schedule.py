"""Component 3: noise schedules and timestep spacings, held against diffusers' own."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from engine.schedule import BETA_SCHEDULES, NoiseSchedule, inference_timesteps

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


def test_the_ends_of_the_linear_schedule_are_settings() -> None:
    schedule = NoiseSchedule.create("linear", 200, 0.001, 0.3)
    assert schedule.betas[[0, -1]].tolist() == pytest.approx([0.001, 0.3])
    theirs = DDPMScheduler(200, beta_start=0.001, beta_end=0.3)
    torch.testing.assert_close(schedule.alphas_cumprod.float(), theirs.alphas_cumprod)


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


def test_snr() -> None:
    schedule = NoiseSchedule.from_betas(torch.tensor([0.2, 0.75], dtype=torch.float64))
    assert schedule.alphas_cumprod.tolist() == pytest.approx([0.8, 0.2])
    assert schedule.snr.tolist() == pytest.approx([4, 0.25])


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
