"""Component 2, the reverse process as a generator: what it yields, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.diffusion import predict_x0_and_eps
from engine.reverse import Denoiser, ReverseStep, clip_x0, dynamic_threshold, reverse_process
from engine.samplers import SAMPLERS, Context, Prediction, SamplerOptions
from engine.schedule import BETA_SCHEDULES, NoiseSchedule, inference_timesteps

SCHEDULE = NoiseSchedule.create("linear", 1000)
SHAPE = (2, 1, 4, 4)
SAMPLER_NAMES = sorted(SAMPLERS)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
LIMITS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "free": None,
    "clipped": clip_x0,
    "thresholded": partial(dynamic_threshold, ratio=0.9),
}


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
    prediction_type: str = "epsilon",
    limit: str = "clipped",
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
            prediction_type=prediction_type,
            sampler=sampler,
            options=SamplerOptions(eta=eta),
            limit_x0=LIMITS[limit],
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


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_step_says_what_the_network_predicts(limit, prediction_type, sampler) -> None:
    for step in run(limit=limit, prediction_type=prediction_type, sampler=sampler):
        for image in (step.x_t, step.x0, step.eps, step.prev_sample):
            assert image.shape == SHAPE
            assert image.dtype == torch.float32
        output = restless(step.x_t, torch.tensor([step.t]))
        x0, eps = predict_x0_and_eps(SCHEDULE, prediction_type, step.x_t, step.t, output)
        limited = LIMITS[limit]
        assert torch.equal(step.x0, limited(x0) if limited else x0)
        assert torch.equal(step.eps, eps), "the noise that it sees, not what the limit leaves"


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_limit_keeps_x0_in_range_and_none_does_not(sampler) -> None:
    peaks = {
        limit: max(float(step.x0.abs().max()) for step in run(limit=limit, sampler=sampler))
        for limit in LIMITS
    }
    assert peaks["clipped"] == peaks["thresholded"] == 1 < peaks["free"]


def test_an_unknown_prediction_or_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="score"):
        run(prediction_type="score")
    with pytest.raises(KeyError, match="euler"):
        run(sampler="euler")


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_the_network_is_asked_once_a_step_with_the_step_as_timestep(sampler) -> None:
    asked = []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append((x_t, t))
        return restless(x_t, t)

    steps = run(denoiser, sampler=sampler)
    if sampler == "heun":
        # And a second time where each step but the last ends.
        again, asked = asked[1:-1:2], [*asked[:-1:2], asked[-1]]
        assert [t.tolist() for _, t in again] == [[step.t] * 2 for step in steps[1:]]
    assert len(asked) == len(steps)
    for step, (x_t, t) in zip(steps, asked, strict=True):
        assert x_t is step.x_t
        assert t.dtype == torch.int64
        assert t.tolist() == [step.t] * 2


def test_a_rule_is_told_what_was_predicted_the_step_before(monkeypatch) -> None:
    told: list[tuple[Prediction, Prediction | None]] = []

    def rule(schedule: NoiseSchedule, now: Prediction, prev_t: int, context: Context) -> Tensor:
        told.append((now, context.previous))
        second = context.predict(now.x_t / 2, prev_t)
        assert second.t == prev_t
        assert float(second.x0.abs().max()) <= 1, "limited as the first"
        return SAMPLERS["ddim"](schedule, now, prev_t, context)

    monkeypatch.setitem(SAMPLERS, "told", rule)
    steps = run(sampler="told", num=5)
    assert told[0][1] is None
    for (before, _), (_, previous) in pairwise(told):
        assert previous is before
    for step, (now, _) in zip(steps, told, strict=True):
        assert now.t == step.t
        assert (now.x_t is step.x_t, now.x0 is step.x0, now.eps is step.eps) == (True, True, True)


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m_sde"])
def test_noise_is_drawn_for_every_step_but_the_last(sampler) -> None:
    drawn = []

    def draw_noise(t: int) -> Tensor:
        drawn.append(t)
        return noise_at(t)

    timesteps = inference_timesteps(1000, 7)
    x_T = noise_at(1000)
    list(reverse_process(restless, SCHEDULE, x_T, timesteps, draw_noise, sampler=sampler))
    assert drawn == timesteps[:-1]


def test_a_network_in_half_precision_is_computed_with_in_full() -> None:
    for step in run(lambda x_t, t: restless(x_t, t).bfloat16(), sampler="heun"):
        assert step.eps.dtype == step.x0.dtype == step.prev_sample.dtype == torch.float32


def test_whoever_pulls_keeps_their_grad_mode() -> None:
    weight = torch.ones(1, requires_grad=True)
    inside = []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        inside.append(torch.is_grad_enabled())
        return weight * x_t

    timesteps = inference_timesteps(1000, 4)
    steps = reverse_process(denoiser, SCHEDULE, noise_at(1000), timesteps, noise_at, sampler="heun")
    for step in steps:
        assert torch.is_grad_enabled()
        assert not step.prev_sample.requires_grad
        (weight * 2).backward()
    assert inside == [False] * 7
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


# --- limits ---


@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.995, 1.0])
@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 3, 4, 7)])
def test_dynamic_thresholding_is_that_of_diffusers(shape, ratio) -> None:
    x0 = noise_at(0, shape) * torch.tensor([0.1, 0.5, 1, 3, 100]).reshape(-1, 1, 1, 1)
    theirs = DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=ratio, sample_max_value=1e9
    )._threshold_sample(x0)
    ours = dynamic_threshold(x0, ratio)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert float(ours.abs().max()) <= 1
    # As it comes, with a sample_max_value of 1, theirs is clipping.
    clipping = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=ratio)
    assert torch.equal(clipping._threshold_sample(x0), clip_x0(x0))


def test_dynamic_thresholding_scales_each_image_by_its_own_quantile() -> None:
    images = torch.tensor([[-0.5, 0.2, 0.9], [-4.0, 2.0, 1.0], [0.0, -2.0, 0.5]])
    limited = dynamic_threshold(images.reshape(3, 1, 1, 3), 1.0).reshape(3, 3)
    expected = torch.tensor([[-0.5, 0.2, 0.9], [-1.0, 0.5, 0.25], [0.0, -1.0, 0.25]])
    torch.testing.assert_close(limited, expected)


# --- ideal denoisers ---


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


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_a_point_is_recovered_from_zero_terminal_snr(prediction_type, sampler) -> None:
    schedule = NoiseSchedule.create("linear", 1000, rescale_betas_zero_snr=True)
    point = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        signal, sigma = schedule.alphas_cumprod[t[0]].sqrt(), schedule.noise_level[t[0]]
        image = point.expand(SHAPE)
        return image if prediction_type == "sample" else (signal * x_t - image) / sigma

    timesteps = inference_timesteps(1000, 20)
    for step in reverse_process(
        denoise,
        schedule,
        noise_at(1000),
        timesteps,
        noise_at,
        prediction_type=prediction_type,
        sampler=sampler,
    ):
        assert step.prev_sample.isfinite().all()
        assert step.eps.isfinite().all()
    torch.testing.assert_close(step.prev_sample, point.expand(SHAPE), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("sampler", "options", "num"),
    [
        ("ddpm", SamplerOptions("fixed_small"), 1000),
        ("ddpm", SamplerOptions("fixed_large"), 1000),
        ("ddim", SamplerOptions(eta=0.0), 1000),
        ("ddim", SamplerOptions(eta=1.0), 1000),
        ("dpmpp_2m", SamplerOptions(), 200),
        ("dpmpp_2m_sde", SamplerOptions(), 200),
        ("heun", SamplerOptions(), 200),
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
        limit_x0=None,
    )
    # The mean to three standard errors; the spread to what a finite number of steps allows.
    assert float(last.prev_sample.mean()) == pytest.approx(mean, abs=3 * std / 20_000**0.5 + 1e-3)
    assert float(last.prev_sample.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpmpp_2m", 2), ("heun", 2)])
def test_twice_the_steps_divide_the_error_by_two_to_the_order(sampler, order) -> None:
    """Against where the probability flow of normal data leads: as many deviations from the mean."""
    mean, std = 0.3, 0.5

    def standardised(x_t: Tensor, t: int) -> Tensor:
        alpha_cumprod = SCHEDULE.alphas_cumprod[t]
        return (x_t - alpha_cumprod.sqrt() * mean) / (1 - alpha_cumprod * (1 - std**2)).sqrt()

    errors = []
    for num in (50, 100):
        steps = reverse_process(
            gaussian_denoiser(SCHEDULE, mean, std),
            SCHEDULE,
            noise_at(1000),
            inference_timesteps(1000, num),
            noise_at,
            sampler=sampler,
            limit_x0=None,
        )
        # Not at the end: there every sampler jumps to x_0.
        (x_t,) = (step.x_t for step in steps if step.t == 199)
        difference = standardised(x_t, 199) - standardised(noise_at(1000), 999)
        errors.append(float(difference.abs().mean()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)
