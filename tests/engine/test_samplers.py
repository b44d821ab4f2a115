"""Component 2, the update rules: the article's own, and whole trajectories against diffusers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from itertools import combinations
from typing import Any, NoReturn

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from torch import Tensor

from engine.diffusion import predict_x0_and_eps, q_sample
from engine.reverse import Denoiser, ReverseStep, clip_x0, dynamic_threshold, reverse_process
from engine.samplers import (
    SAMPLERS,
    Context,
    Prediction,
    SamplerOptions,
    ddim_step,
    ddpm_step,
    heun_step,
)
from engine.schedule import BETA_SCHEDULES, NoiseSchedule, inference_timesteps

# diffusers' own, of a numpy older than the one it runs with.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOTAL = 1000
SHAPE = (4, 1, 3, 3)
SCHEDULES = sorted(BETA_SCHEDULES)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "linspace", "trailing")

# A quantile that nine pixels have, and that is often above 1.
RATIO = 0.95
LIMITS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "free": None,
    "clipped": clip_x0,
    "thresholded": partial(dynamic_threshold, ratio=RATIO),
}

# In diffusers: (prev_sample, x_0) of every step.
Trajectory = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """What both sides are given."""

    beta_schedule: str
    prediction_type: str
    limit: str
    num: int
    spacing: str = "trailing"
    zero_snr: bool = False

    @cached_property
    def schedule(self) -> NoiseSchedule:
        return NoiseSchedule.create(self.beta_schedule, TOTAL, rescale_betas_zero_snr=self.zero_snr)

    @cached_property
    def timesteps(self) -> list[int]:
        return inference_timesteps(TOTAL, self.num, self.spacing)


def noise_at(t: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(t))


def network(schedule: NoiseSchedule, prediction_type: str) -> Denoiser:
    """A nonlinear denoiser that leads to pictures of unit size, and so does not blow up errors.

    Its velocity is 0.1 sin(3 x_t + t); image and noise are what that implies. In float32 as all
    networks: where √ᾱ is 1/20,000, the rounding of a noise is seen in the image.
    """

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        x_t = x_t.float()
        alpha_cumprod = schedule.alphas_cumprod[t].float().reshape(-1, 1, 1, 1)
        signal, sigma = alpha_cumprod.sqrt(), (1 - alpha_cumprod).sqrt()
        v = 0.1 * torch.sin(3 * x_t + t.reshape(-1, 1, 1, 1))
        if prediction_type == "epsilon":
            return sigma * x_t + signal * v
        return signal * x_t - sigma * v if prediction_type == "sample" else v

    return predict


def ours(case: Case, sampler: str, options: SamplerOptions | None = None) -> list[ReverseStep]:
    return list(
        reverse_process(
            network(case.schedule, case.prediction_type),
            case.schedule,
            noise_at(TOTAL),
            case.timesteps,
            noise_at,
            prediction_type=case.prediction_type,
            sampler=sampler,
            options=options,
            limit_x0=LIMITS[case.limit],
        )
    )


# --- diffusers: its formulas are the oracle here, not its rounding ---
#
# It computes 1 − ᾱ and β in float32, where they have four digits left at small t. So its schedulers
# are given our float64 schedule: as alphas_cumprod, or as the sigmas √(1 − ᾱ) / √ᾱ made from it.


def settings(case: Case) -> dict[str, Any]:
    """What the constructors of its schedulers have in common."""
    betas = NoiseSchedule.create(case.beta_schedule, TOTAL).betas
    rescaled = {"rescale_betas_zero_snr": True} if case.zero_snr else {}
    return {
        "num_train_timesteps": TOTAL,
        "trained_betas": betas.float().numpy(),
        "prediction_type": case.prediction_type,
        "timestep_spacing": case.spacing,
        **rescaled,
    }


# Its own sample_max_value is 1, which makes clipping of dynamic thresholding.
THRESHOLDING = {"thresholding": True, "dynamic_thresholding_ratio": RATIO, "sample_max_value": 1e9}


def limit_settings(case: Case) -> dict[str, Any]:
    return THRESHOLDING if case.limit == "thresholded" else {"clip_sample": case.limit == "clipped"}


def sigmas(case: Case) -> Tensor:
    alphas_cumprod = case.schedule.alphas_cumprod[case.timesteps]
    return torch.cat([((1 - alphas_cumprod) / alphas_cumprod).sqrt(), torch.zeros(1).double()])


def ancestral(scheduler: DDPMScheduler | DDIMScheduler, case: Case, **options: float) -> Trajectory:
    """DDPM or DDIM; a generator a step makes the draws of `noise_at`."""
    torch.testing.assert_close(
        scheduler.alphas_cumprod, case.schedule.alphas_cumprod.float(), rtol=1e-3, atol=1e-6
    )
    scheduler.betas = case.schedule.betas
    scheduler.alphas_cumprod = case.schedule.alphas_cumprod
    scheduler.set_timesteps(case.num)
    assert scheduler.timesteps.tolist() == case.timesteps
    predict = network(case.schedule, case.prediction_type)
    x_t, steps = noise_at(TOTAL), []
    for t in scheduler.timesteps:
        draws = torch.Generator().manual_seed(int(t))
        output = predict(x_t, t.expand(len(x_t)))
        out = scheduler.step(output, t, x_t, generator=draws, **options)
        x_t = out.prev_sample
        steps.append((x_t, out.pred_original_sample))
    return steps


def ddpm(case: Case, variance_type: str) -> Trajectory:
    scheduler = DDPMScheduler(variance_type=variance_type, **settings(case), **limit_settings(case))
    steps = ancestral(scheduler, case)
    if variance_type == "fixed_large" and case.timesteps[-1] > 0:
        # It would add noise to the finished picture; a last step is x_0 itself.
        x0 = steps[-1][1]
        steps[-1] = (x0, x0)
    return steps


def ddim(case: Case, eta: float) -> Trajectory:
    return ancestral(DDIMScheduler(**settings(case), **limit_settings(case)), case, eta=eta)


def dpmpp(case: Case, algorithm_type: str) -> Trajectory:
    # It knows no clip_sample, but with a sample_max_value of 1 dynamic thresholding is that.
    limits = {
        "free": {},
        "clipped": {"thresholding": True, "sample_max_value": 1.0},
        "thresholded": THRESHOLDING,
    }
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type=algorithm_type,
        solver_type="midpoint",
        **settings(case),
        **limits[case.limit],
    )
    # Given by hand, for `leading` and `linspace` are others there.
    scheduler.set_timesteps(timesteps=case.timesteps)
    # σ = ∞ would make a nan of √(1 − ᾱ); at 10^8 nothing of the image is left in float32.
    scheduler.sigmas = sigmas(case).clamp(max=1e8)
    predict = network(case.schedule, case.prediction_type)
    x_t, steps = noise_at(TOTAL), []
    for t in scheduler.timesteps:
        draws = torch.Generator().manual_seed(int(t))
        output = predict(x_t, t.expand(len(x_t)))
        x_t = scheduler.step(output, t, x_t, generator=draws).prev_sample
        steps.append((x_t, scheduler.model_outputs[-1]))
        if len(steps) == 1 and scheduler.sigmas[0] == 1e8:
            # In λ the first step is infinitely long: what was predicted before it says nothing of
            # the slope after it, and the multistep begins anew.
            scheduler.lower_order_nums = 0
    return steps


def heun(case: Case) -> Trajectory:
    """In x̄ = x_t / √ᾱ, and in float64: x̄ is as large as 20,000 in the cosine schedule."""
    denoiser = network(case.schedule, case.prediction_type)
    arguments = settings(case) | {"clip_sample": case.limit == "clipped"}
    threshold = DDPMScheduler(**THRESHOLDING)._threshold_sample
    if case.limit == "thresholded":
        arguments["prediction_type"] = "sample"

    def predict(x_t: Tensor, t: int) -> Tensor:
        output = denoiser(x_t, torch.tensor([t] * len(x_t))).double()
        if case.limit != "thresholded":
            return output
        # It knows no thresholding, so it is given images that another scheduler has thresholded.
        x0, _ = predict_x0_and_eps(case.schedule, case.prediction_type, x_t, t, output)
        return threshold(x0)

    scheduler = HeunDiscreteScheduler(**arguments)
    scheduler.set_timesteps(timesteps=case.timesteps)
    levels = sigmas(case)
    scheduler.sigmas = torch.cat([levels[:1], levels[1:-1].repeat_interleave(2), levels[-1:]])
    scheduler.set_begin_index(0)
    x_bar, steps = noise_at(TOTAL).double() * (1 + levels[0] ** 2).sqrt(), []
    for index, t in enumerate(case.timesteps):
        sigma, next_sigma = levels[index : index + 2]
        x0 = None
        for stage in (t, (*case.timesteps, -1)[index + 1]):
            x_t = scheduler.scale_model_input(x_bar, stage)
            out = scheduler.step(predict(x_t, stage), stage, x_bar)
            x_bar = out.prev_sample
            x0 = out.pred_original_sample if x0 is None else x0
            if next_sigma < 0.01 * sigma:
                # Here Euler's step stands alone, at the end in diffusers too.
                scheduler.dt = None
                scheduler._step_index += 1
                break
        steps.append((x_bar / (1 + next_sigma**2).sqrt(), x0))
    return steps


SMALL, LARGE = SamplerOptions("fixed_small"), SamplerOptions("fixed_large")
VARIANTS: dict[str, tuple[str, SamplerOptions, Callable[[Case], Trajectory]]] = {
    "ddpm, small": ("ddpm", SMALL, partial(ddpm, variance_type="fixed_small")),
    "ddpm, large": ("ddpm", LARGE, partial(ddpm, variance_type="fixed_large")),
    "ddim": ("ddim", SamplerOptions(), partial(ddim, eta=0.0)),
    "ddim, eta 0.5": ("ddim", SamplerOptions(eta=0.5), partial(ddim, eta=0.5)),
    "ddim, eta 1": ("ddim", SamplerOptions(eta=1.0), partial(ddim, eta=1.0)),
    "dpmpp_2m": ("dpmpp_2m", SamplerOptions(), partial(dpmpp, algorithm_type="dpmsolver++")),
    "dpmpp_2m_sde": (
        "dpmpp_2m_sde",
        SamplerOptions(),
        partial(dpmpp, algorithm_type="sde-dpmsolver++"),
    ),
    "heun": ("heun", SamplerOptions(), heun),
}


def hold_against_diffusers(case: Case, variant: str) -> None:
    sampler, options, theirs = VARIANTS[variant]
    steps, expected = ours(case, sampler, options), theirs(case)
    assert len(steps) == len(expected) == case.num
    for step, (prev_sample, x0) in zip(steps, expected, strict=True):
        assert step.prev_sample.dtype == step.x0.dtype == torch.float32
        assert step.prev_sample.isfinite().all()
        assert float((step.x0 - x0).abs().max()) < 1e-4, step.t
        assert float((step.prev_sample - prev_sample).abs().max()) < 1e-4, step.t


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
# diffusers' DDIM takes t − T // n for the timestep after t, also where the next one that it visits
# is another: 7 steps are of that stride only in `leading`.
@pytest.mark.parametrize(("num", "spacing"), [(7, "leading"), (20, "trailing")])
def test_a_trajectory_is_that_of_diffusers(
    name, prediction_type, limit, num, spacing, variant
) -> None:
    hold_against_diffusers(Case(name, prediction_type, limit, num, spacing), variant)


# Every schedule with every prediction type, and either with every limit.
SQUARE = [
    (name, prediction_type, list(LIMITS)[(i + j) % 3])
    for i, name in enumerate(SCHEDULES)
    for j, prediction_type in enumerate(PREDICTIONS)
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "prediction_type", "limit"), SQUARE)
def test_a_trajectory_of_50_steps_is_that_of_diffusers(
    name, prediction_type, limit, variant
) -> None:
    hold_against_diffusers(Case(name, prediction_type, limit, 50), variant)


@pytest.mark.parametrize(("number", "variant"), enumerate(VARIANTS))
def test_a_trajectory_of_1000_steps_is_that_of_diffusers(number, variant) -> None:
    hold_against_diffusers(Case(*SQUARE[4 * (number % 3)], TOTAL), variant)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "ddim" not in name])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("num", [7, 15])
def test_a_rule_holds_for_any_stride(num, spacing, variant) -> None:
    """15 steps is where diffusers' `lower_order_final` ends."""
    hold_against_diffusers(Case("linear", "epsilon", "clipped", num, spacing), variant)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "heun"])
@pytest.mark.parametrize("num", [20, 50])
@pytest.mark.parametrize(
    ("name", "prediction_type", "limit"),
    [square for square in SQUARE if square[1] != "epsilon"],
)
def test_a_trajectory_from_zero_terminal_snr_is_that_of_diffusers(
    name, prediction_type, limit, num, variant
) -> None:
    case = Case(name, prediction_type, limit, num, zero_snr=True)
    assert case.schedule.alphas_cumprod[case.timesteps[0]] == 0
    hold_against_diffusers(case, variant)


@pytest.mark.parametrize("variant", ["dpmpp_2m", "dpmpp_2m_sde"])
@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_dpmpp_is_that_of_diffusers_at_what_it_takes_for_zero_terminal_snr(
    prediction_type, variant
) -> None:
    """ᾱ = 2⁻²⁴, because it knows no λ = −∞; from there its second step is of second order."""
    case = Case("linear", prediction_type, "clipped", 20, zero_snr=True)
    case.schedule.alphas_cumprod[-1] = 2**-24
    hold_against_diffusers(case, variant)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_diffusers_as_it_comes_is_as_near_as_its_rounding(sampler) -> None:
    """The whole way in its own float32 schedule, as an exported run is sampled there."""
    case = Case("linear", "epsilon", "clipped", 200)
    common = {"num_train_timesteps": TOTAL, "beta_start": 1e-4, "beta_end": 0.02}
    common["timestep_spacing"] = "trailing"
    dpmpp_settings = {"thresholding": True, "solver_order": 2}
    scheduler = {
        "ddpm": lambda: DDPMScheduler(**common),
        "ddim": lambda: DDIMScheduler(**common),
        "dpmpp_2m": lambda: DPMSolverMultistepScheduler(**common, **dpmpp_settings),
        "dpmpp_2m_sde": lambda: DPMSolverMultistepScheduler(
            **common, **dpmpp_settings, algorithm_type="sde-dpmsolver++"
        ),
        "heun": lambda: HeunDiscreteScheduler(**common, clip_sample=True),
    }[sampler]()
    scheduler.set_timesteps(case.num)
    predict = network(case.schedule, "epsilon")
    x_t = noise_at(TOTAL) * scheduler.init_noise_sigma
    takes_draws = "generator" in signature(scheduler.step).parameters
    for t in scheduler.timesteps.long():
        draws = {"generator": torch.Generator().manual_seed(int(t))} if takes_draws else {}
        eps = predict(scheduler.scale_model_input(x_t, t), t.expand(len(x_t)))
        x_t = scheduler.step(eps, t, x_t, **draws).prev_sample
    torch.testing.assert_close(ours(case, sampler)[-1].prev_sample, x_t, rtol=0, atol=2e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_three_limits_are_three_trajectories(sampler) -> None:
    """Or the tests above would say nothing of clipping."""
    ends = [ours(Case("linear", "epsilon", limit, 20), sampler)[-1].prev_sample for limit in LIMITS]
    for one, other in combinations(ends, 2):
        assert float((one - other).abs().max()) > 0.01


# --- the article, and the rules one by one ---


def no_noise() -> NoReturn:
    raise AssertionError("drew noise")


def no_network(x: Tensor, t: int) -> NoReturn:
    raise AssertionError("asked the network")


def context(
    options: SamplerOptions | None = None,
    *,
    previous: Prediction | None = None,
    predict: Callable[[Tensor, int], Prediction] = no_network,
    draw_noise: Callable[[], Tensor] = no_noise,
) -> Context:
    return Context(previous, predict, draw_noise, options or SamplerOptions())


def prediction(t: int, seed: int = 0) -> Prediction:
    return Prediction(t, noise_at(seed), noise_at(seed + 1), noise_at(seed + 2))


@pytest.mark.parametrize("variance_type", ["fixed_large", "fixed_small"])
def test_ddpm_is_the_articles_update_at_every_t(variance_type) -> None:
    schedule = NoiseSchedule.create("linear", TOTAL)
    # The article's own variables, in float64.
    betas = torch.linspace(10**-4, 0.02, TOTAL, dtype=torch.float64)
    alphas = 1 - betas
    alpha_bars = torch.cumprod(alphas, dim=0)
    for t in range(TOTAL):
        x, eta_theta, z = noise_at(3 * t), noise_at(3 * t + 1), noise_at(3 * t + 2)
        now = Prediction(t, x, *predict_x0_and_eps(schedule, "epsilon", x, t, eta_theta))
        with_z = context(SamplerOptions(variance_type), draw_noise=lambda z=z: z)
        step = ddpm_step(schedule, now, t - 1, with_z)

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
        torch.testing.assert_close(step, x, rtol=0, atol=1e-5, msg=lambda m, t=t: f"t = {t}: {m}")


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_ddim_with_eta_one_is_ddpm_with_the_small_variance(name, spacing) -> None:
    case = Case(name, "epsilon", "free", 7, spacing)
    for one, other in zip(
        ours(case, "ddpm", SMALL), ours(case, "ddim", SamplerOptions(eta=1.0)), strict=True
    ):
        assert float((one.prev_sample - other.prev_sample).abs().max()) < 1e-4


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_the_last_step_is_the_predicted_x0_without_noise(sampler, eta, t) -> None:
    schedule = NoiseSchedule.create("linear", TOTAL)
    now, plain = (
        prediction(t),
        context(SamplerOptions(eta=eta), previous=prediction(t + 1, seed=10)),
    )
    prev_sample = SAMPLERS[sampler](schedule, now, -1, plain)
    exact = sampler not in ("ddpm", "ddim")
    torch.testing.assert_close(prev_sample, now.x0, rtol=0, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_a_deterministic_sampler_draws_no_noise_and_asks_no_second_time(sampler) -> None:
    schedule = NoiseSchedule.create("linear", TOTAL)
    SAMPLERS[sampler](schedule, prediction(500), 400, context(previous=prediction(600, seed=10)))


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "dpmpp_2m_sde"])
def test_a_multistep_rule_looks_one_step_back_and_no_further(sampler) -> None:
    """By line with what was predicted before: at the middle of the step in λ."""
    schedule = NoiseSchedule.create("linear", TOTAL)
    lambdas = schedule.snr.log() / 2
    now, previous = prediction(500), prediction(600, seed=10)
    middle = (lambdas[400] + lambdas[500]) / 2
    slope = (now.x0 - previous.x0) / (lambdas[500] - lambdas[600])
    there = Prediction(500, now.x_t, (now.x0 + slope * (middle - lambdas[500])).float(), now.eps)
    step = SAMPLERS[sampler]
    with_memory, without = (
        step(schedule, at, 400, context(previous=memory, draw_noise=lambda: noise_at(7)))
        for at, memory in ((now, previous), (there, None))
    )
    torch.testing.assert_close(with_memory, without, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun"])
def test_a_rule_of_second_order_is_ddim_where_x0_stands_still(sampler) -> None:
    schedule = NoiseSchedule.create("linear", TOTAL)
    x0, eps = noise_at(0), noise_at(1)

    def at(t: int) -> Prediction:
        x_t = q_sample(schedule, x0, torch.full((len(x0),), t), eps)
        return Prediction(t, x_t, x0, eps)

    step = SAMPLERS[sampler](
        schedule, at(600), 300, context(previous=at(900), predict=lambda _, t: at(t))
    )
    torch.testing.assert_close(step, at(300).x_t, rtol=0, atol=1e-6)


def test_heun_asks_once_more_at_the_end_of_eulers_step() -> None:
    schedule, asked = NoiseSchedule.create("linear", TOTAL), []

    def predict(x: Tensor, t: int) -> Prediction:
        asked.append((x, t))
        return Prediction(t, x, noise_at(10), noise_at(11))

    now = prediction(500)
    heun_step(schedule, now, 400, context(predict=predict))
    ((x, t),) = asked
    eps = (now.x_t - schedule.alphas_cumprod[500].sqrt() * now.x0) / schedule.noise_level[500]
    euler = ddim_step(schedule, Prediction(500, now.x_t, now.x0, eps), 400, context())
    assert t == 400
    torch.testing.assert_close(x, euler, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "zero_snr"), [("linear", True), ("sigmoid", True), ("squaredcos_cap_v2", False)]
)
def test_heun_leaves_nearly_pure_noise_as_ddim_does(name, zero_snr) -> None:
    """There the trapezoid would be far off; the next timestep is an ordinary one."""
    case = Case(name, "v_prediction", "free", 20, zero_snr=zero_snr)
    predict, asked = network(case.schedule, "v_prediction"), []

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        return predict(x_t, t)

    steps = list(
        reverse_process(
            denoiser,
            case.schedule,
            noise_at(TOTAL),
            case.timesteps,
            noise_at,
            prediction_type="v_prediction",
            sampler="heun",
            limit_x0=None,
        )
    )
    ddim_steps = ours(case, "ddim")
    assert float((steps[0].prev_sample - ddim_steps[0].prev_sample).abs().max()) < 1e-6
    assert all(step.prev_sample.isfinite().all() for step in steps)
    first, second, third = case.timesteps[:3]
    assert asked[:4] == [first, second, third, third]
