"""Component 2, the update rules: the article's own, and whole trajectories against diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.diffusion import predict_x0
from engine.reverse import ReverseStep, reverse_process
from engine.samplers import SAMPLERS, SamplerOptions, ddim_step, ddpm_step
from engine.schedule import BETA_SCHEDULES, NoiseSchedule, inference_timesteps

TOTAL = 1000
SHAPE = (4, 1, 3, 3)
SCHEDULES = sorted(BETA_SCHEDULES)
# 1,000 steps visit every timestep, whatever the spacing.
VISITS = [(n, spacing) for n in (7, 20, 50) for spacing in ("leading", "linspace", "trailing")]
VISITS.append((1000, "trailing"))


def noise_at(t: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(t))


def network(schedule: NoiseSchedule):
    """A nonlinear denoiser that leads to pictures of unit size, and so does not blow up errors."""

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_cumprod = schedule.alphas_cumprod[t].float().reshape(-1, 1, 1, 1)
        ideal = (1 - alpha_cumprod).sqrt() * x_t
        return ideal + 0.1 * alpha_cumprod.sqrt() * torch.sin(3 * x_t + t.reshape(-1, 1, 1, 1))

    return predict


def our_trajectory(
    schedule: NoiseSchedule, timesteps: list[int], **options: object
) -> list[ReverseStep]:
    return list(
        reverse_process(
            network(schedule),
            schedule,
            noise_at(TOTAL),
            timesteps,
            noise_at,
            **options,  # type: ignore[arg-type]
        )
    )


def their_trajectory(
    scheduler: DDPMScheduler | DDIMScheduler, schedule: NoiseSchedule, num: int, **options: float
) -> list[tuple[Tensor, Tensor]]:
    """(prev_sample, x_0) of every step; a generator per step makes the draws of `noise_at`."""
    # diffusers computes 1 − ᾱ and β in float32, where they have four digits left at small t.
    # Its formulas are the oracle here, not its rounding.
    scheduler.betas = schedule.betas
    scheduler.alphas_cumprod = schedule.alphas_cumprod
    scheduler.set_timesteps(num)
    predict = network(schedule)
    x_t, steps = noise_at(TOTAL), []
    for t in scheduler.timesteps:
        eps = predict(x_t, t.expand(len(x_t)))
        draws = torch.Generator().manual_seed(int(t))
        out = scheduler.step(eps, t, x_t, generator=draws, **options)
        x_t = out.prev_sample
        steps.append((x_t, out.pred_original_sample))
    return steps


def compare(ours: list[ReverseStep], theirs: list[tuple[Tensor, Tensor]]) -> None:
    assert len(ours) == len(theirs)
    for our, (prev_sample, x0) in zip(ours, theirs, strict=True):
        # Without clipping, x_0 = (x_t − …) / √ᾱ_t is as large as 20,000 at the end of the cosine
        # schedule, and so is its rounding; hence the tolerance in terms of the size.
        for one, other in ((our.prev_sample, prev_sample), (our.x0, x0)):
            assert one.dtype == other.dtype == torch.float32
            error = float((one - other).abs().max()) / max(1.0, float(other.abs().max()))
            assert error < 1e-4, our.t


@pytest.mark.parametrize("variance_type", ["fixed_large", "fixed_small"])
def test_ddpm_is_the_articles_update_at_every_t(variance_type) -> None:
    schedule = NoiseSchedule.create("linear", TOTAL)
    # The article's own variables, in float64.
    betas = torch.linspace(10**-4, 0.02, TOTAL, dtype=torch.float64)
    alphas = 1 - betas
    alpha_bars = torch.cumprod(alphas, dim=0)
    for t in range(TOTAL):
        x, eta_theta, z = noise_at(3 * t), noise_at(3 * t + 1), noise_at(3 * t + 2)
        x0 = predict_x0(schedule, x, t, eta_theta)
        ours = ddpm_step(
            schedule, x, x0, eta_theta, t, t - 1, lambda z=z: z, SamplerOptions(variance_type)
        )

        alpha_t, alpha_t_bar = alphas[t], alpha_bars[t]
        x = (1 / alpha_t.sqrt()) * (x - (1 - alpha_t) / (1 - alpha_t_bar).sqrt() * eta_theta)
        if t > 0:
            beta_t = betas[t]
            if variance_type == "fixed_large":  # option 1
                sigma_t = beta_t.sqrt()
            else:  # option 2
                prev_alpha_t_bar = alpha_bars[t - 1]
                beta_tilda_t = ((1 - prev_alpha_t_bar) / (1 - alpha_t_bar)) * beta_t
                sigma_t = beta_tilda_t.sqrt()
            x = x + sigma_t * z
        torch.testing.assert_close(ours, x, rtol=0, atol=1e-5, msg=lambda m, t=t: f"t = {t}: {m}")


@pytest.mark.parametrize(("num", "spacing"), VISITS)
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_large"])
def test_a_ddpm_trajectory_is_that_of_diffusers(
    variance_type, name, clip_sample, num, spacing
) -> None:
    schedule = NoiseSchedule.create(name, TOTAL)
    theirs = DDPMScheduler(
        TOTAL,
        beta_schedule=name,
        variance_type=variance_type,
        clip_sample=clip_sample,
        timestep_spacing=spacing,
    )
    ours = our_trajectory(
        schedule,
        inference_timesteps(TOTAL, num, spacing),
        sampler="ddpm",
        options=SamplerOptions(variance_type=variance_type),
        clip_sample=clip_sample,
    )
    expected = their_trajectory(theirs, schedule, num)
    if variance_type == "fixed_large" and ours[-1].t > 0:
        # diffusers would add noise to the finished picture; a last step is x_0 itself.
        x0 = expected[-1][1]
        expected[-1] = (x0, x0)
    compare(ours, expected)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_diffusers_as_it_comes_is_as_near_as_its_rounding(sampler) -> None:
    """The whole way in its own float32 schedule, as an exported run is sampled there."""
    schedule = NoiseSchedule.create("linear", TOTAL)
    scheduler = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[sampler](
        TOTAL, beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(TOTAL)
    predict, x_t = network(schedule), noise_at(TOTAL)
    for t in scheduler.timesteps:
        draws = torch.Generator().manual_seed(int(t))
        eps = predict(x_t, t.expand(len(x_t)))
        x_t = scheduler.step(eps, t, x_t, generator=draws).prev_sample
    ours = our_trajectory(schedule, inference_timesteps(TOTAL, TOTAL), sampler=sampler)
    torch.testing.assert_close(ours[-1].prev_sample, x_t, rtol=0, atol=2e-3)


# diffusers' DDIM takes t − T // n for the timestep after t, also where the next one that it visits
# is another. So the two are the same rule only for spacings of that stride.
STRIDES = [
    (n, spacing)
    for n, spacing in VISITS
    if spacing == "leading" or (spacing == "trailing" and TOTAL % n == 0)
]


@pytest.mark.parametrize(("num", "spacing"), STRIDES)
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_ddim_trajectory_is_that_of_diffusers(eta, name, clip_sample, num, spacing) -> None:
    schedule = NoiseSchedule.create(name, TOTAL)
    theirs = DDIMScheduler(
        TOTAL,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule=name,
        clip_sample=clip_sample,
        set_alpha_to_one=True,
        timestep_spacing=spacing,
    )
    ours = our_trajectory(
        schedule,
        inference_timesteps(TOTAL, num, spacing),
        sampler="ddim",
        options=SamplerOptions(eta=eta),
        clip_sample=clip_sample,
    )
    compare(ours, their_trajectory(theirs, schedule, num, eta=eta))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_ddim_with_eta_one_is_ddpm_with_the_small_variance(name, spacing) -> None:
    schedule = NoiseSchedule.create(name, TOTAL)
    timesteps = inference_timesteps(TOTAL, 7, spacing)
    ddpm, ddim = (
        our_trajectory(schedule, timesteps, sampler=sampler, options=options, clip_sample=False)
        for sampler, options in (
            ("ddpm", SamplerOptions(variance_type="fixed_small")),
            ("ddim", SamplerOptions(eta=1.0)),
        )
    )
    compare(ddpm, [(step.prev_sample, step.x0) for step in ddim])


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_last_step_is_the_predicted_x0_without_noise(sampler, eta) -> None:
    def no_noise() -> Tensor:
        raise AssertionError("drew noise for the clean image")

    schedule = NoiseSchedule.create("linear", TOTAL)
    x_t, x0, eps = noise_at(0), noise_at(1), noise_at(2)
    for t in (0, 1, 500):
        prev_sample = SAMPLERS[sampler](
            schedule, x_t, x0, eps, t, -1, no_noise, SamplerOptions(eta=eta)
        )
        torch.testing.assert_close(prev_sample, x0, rtol=0, atol=1e-6)


def test_ddim_without_eta_draws_no_noise() -> None:
    def no_noise() -> Tensor:
        raise AssertionError("drew noise")

    schedule = NoiseSchedule.create("linear", TOTAL)
    x_t, x0, eps = noise_at(0), noise_at(1), noise_at(2)
    prev_sample = ddim_step(schedule, x_t, x0, eps, 500, 400, no_noise, SamplerOptions(eta=0))
    alpha_cumprod = schedule.alphas_cumprod[400]
    expected = alpha_cumprod.sqrt() * x0 + (1 - alpha_cumprod).sqrt() * eps
    torch.testing.assert_close(prev_sample, expected)
