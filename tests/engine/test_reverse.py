"""Component 2, the reverse process as a generator: what it yields, and what it leaves alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.diffusion import predict_x0
from engine.reverse import Denoiser, ReverseStep, reverse_process
from engine.samplers import SAMPLERS, SamplerOptions
from engine.schedule import BETA_SCHEDULES, NoiseSchedule, inference_timesteps

SCHEDULE = NoiseSchedule.create("linear", 1000)
SHAPE = (2, 1, 4, 4)
SAMPLER_NAMES = sorted(SAMPLERS)


def noise_at(t: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(t))


def restless(x_t: Tensor, t: Tensor) -> Tensor:
    return x_t + torch.sin(5 * x_t)


def gaussian_denoiser(schedule: NoiseSchedule, mean: Tensor | float, std: float) -> Denoiser:
    """The best there is when the data are normal: E[ε | x_t]. With std 0, one point."""

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_cumprod = schedule.alphas_cumprod[t[0]]
        variance = alpha_cumprod * std**2 + 1 - alpha_cumprod
        offset = x_t - alpha_cumprod.sqrt() * mean
        return (1 - alpha_cumprod).sqrt() / variance * offset

    return denoise


def run(
    denoiser: Denoiser = restless,
    num: int = 10,
    *,
    sampler: str = "ddpm",
    clip_sample: bool = True,
    eta: float = 0.0,
) -> list[ReverseStep]:
    timesteps = inference_timesteps(1000, num)
    return list(
        reverse_process(
            denoiser,
            SCHEDULE,
            noise_at(1000),
            timesteps,
            noise_at,
            sampler=sampler,
            options=SamplerOptions(eta=eta),
            clip_sample=clip_sample,
        )
    )


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_one_step_a_timestep_each_starting_where_the_last_one_ended(sampler) -> None:
    steps = run(sampler=sampler)
    assert [step.t for step in steps] == inference_timesteps(1000, 10)
    assert [step.index for step in steps] == list(range(10))
    assert {step.num_steps for step in steps} == {10}
    assert torch.equal(steps[0].x_t, noise_at(1000))
    for step, following in pairwise(steps):
        assert following.x_t is step.prev_sample


@pytest.mark.parametrize("clip_sample", [True, False])
def test_a_step_says_what_the_network_believes(clip_sample) -> None:
    beyond = 0
    for step in run(clip_sample=clip_sample):
        for image in (step.x_t, step.x0, step.eps, step.prev_sample):
            assert image.shape == SHAPE
            assert image.dtype == torch.float32
        assert torch.equal(step.eps, restless(step.x_t, torch.tensor([step.t])))
        implied = predict_x0(SCHEDULE, step.x_t, step.t, step.eps)
        assert torch.equal(step.x0, implied.clamp(-1, 1) if clip_sample else implied)
        beyond += int((step.x0.abs() > 1).sum())
    assert (beyond == 0) == clip_sample


def test_the_network_is_asked_once_a_step_with_the_step_as_timestep() -> None:
    asked = []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append((x_t, t))
        return restless(x_t, t)

    steps = run(denoiser)
    assert len(asked) == len(steps)
    for step, (x_t, t) in zip(steps, asked, strict=True):
        assert x_t is step.x_t
        assert t.dtype == torch.int64
        assert t.tolist() == [step.t] * 2


def test_noise_is_drawn_for_every_step_but_the_last() -> None:
    drawn = []

    def draw_noise(t: int) -> Tensor:
        drawn.append(t)
        return noise_at(t)

    timesteps = inference_timesteps(1000, 7)
    list(reverse_process(restless, SCHEDULE, noise_at(1000), timesteps, draw_noise))
    assert drawn == timesteps[:-1]


def test_a_network_in_half_precision_is_computed_with_in_full() -> None:
    for step in run(lambda x_t, t: restless(x_t, t).bfloat16()):
        assert step.eps.dtype == step.x0.dtype == step.prev_sample.dtype == torch.float32


def test_whoever_pulls_keeps_their_grad_mode() -> None:
    weight = torch.ones(1, requires_grad=True)
    inside = []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        inside.append(torch.is_grad_enabled())
        return weight * x_t

    timesteps = inference_timesteps(1000, 4)
    steps = reverse_process(denoiser, SCHEDULE, noise_at(1000), timesteps, noise_at)
    for step in steps:
        assert torch.is_grad_enabled()
        assert not step.prev_sample.requires_grad
        (weight * 2).backward()
    assert inside == [False] * 4
    with torch.no_grad():
        for _ in reverse_process(denoiser, SCHEDULE, noise_at(1000), timesteps, noise_at):
            assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_nothing_happens_before_the_first_pull_nor_after_closing() -> None:
    asked = []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        return restless(x_t, t)

    timesteps = inference_timesteps(1000, 10)
    steps = reverse_process(denoiser, SCHEDULE, noise_at(1000), timesteps, noise_at)
    assert asked == []
    first, second = next(steps), next(steps)
    steps.close()
    assert asked == [first.t, second.t] == timesteps[:2]
    assert list(steps) == []
    assert torch.is_grad_enabled()


def test_an_error_of_the_network_reaches_whoever_pulls() -> None:
    def broken(x_t: Tensor, t: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(broken)
    assert torch.is_grad_enabled()


def test_it_can_start_anywhere_on_the_way() -> None:
    """An image noised to t, brought back from there: what a branch at t is."""
    whole = run()
    half = whole[5:]
    timesteps = [step.t for step in half]
    again = list(reverse_process(restless, SCHEDULE, half[0].x_t, timesteps, noise_at))
    assert torch.equal(again[-1].prev_sample, whole[-1].prev_sample)


@pytest.mark.parametrize("num", [1, 7, 50, 1000])
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("name", sorted(BETA_SCHEDULES))
def test_an_ideal_denoiser_of_one_point_recovers_the_point(name, sampler, num) -> None:
    schedule = NoiseSchedule.create(name, 1000)
    point = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    steps = list(
        reverse_process(
            gaussian_denoiser(schedule, point, std=0),
            schedule,
            noise_at(1000),
            inference_timesteps(1000, num),
            noise_at,
            sampler=sampler,
        )
    )
    torch.testing.assert_close(
        steps[-1].prev_sample, point.expand(SHAPE), rtol=0, atol=1e-5 if num > 1 else 0.05
    )


@pytest.mark.parametrize(
    ("sampler", "options", "num"),
    [
        ("ddpm", SamplerOptions("fixed_small"), 1000),
        ("ddpm", SamplerOptions("fixed_large"), 1000),
        ("ddim", SamplerOptions(eta=0.0), 1000),
        ("ddim", SamplerOptions(eta=1.0), 1000),
    ],
)
def test_an_ideal_denoiser_of_normal_data_draws_from_them(sampler, options, num) -> None:
    mean, std, shape = 0.3, 0.2, (20_000, 1)
    *_, last = reverse_process(
        gaussian_denoiser(SCHEDULE, mean, std),
        SCHEDULE,
        noise_at(1000, shape),
        inference_timesteps(1000, num),
        lambda t: noise_at(t, shape),
        sampler=sampler,
        options=options,
        clip_sample=False,
    )
    # The mean to three standard errors; the spread to what a finite number of steps allows.
    assert float(last.prev_sample.mean()) == pytest.approx(mean, abs=3 * std / 20_000**0.5 + 1e-3)
    assert float(last.prev_sample.std()) == pytest.approx(std, rel=0.03)
