"""The weights of the samplers' steps: what is read off the rules is what the rules do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.config import SamplingConfig
from engine.reverse import reverse_process
from engine.samplers import SAMPLERS, SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps
from engine.steps import network_calls, step_weights, terms_of_guidance

SCHEDULE = NoiseSchedule.create("squaredcos_cap_v2", 100)


def denoiser(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(x) * (1 + t.reshape(-1, 1, 1, 1) / 100)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_weights_make_the_same_step_as_the_sampler(sampler: str) -> None:
    sampling = SamplingConfig(
        sampler=sampler, num_inference_steps=7, eta=0.5, variance_type="fixed_large"
    )
    drawn: dict[int, Tensor] = {}

    def draw(t: int) -> Tensor:
        generator = torch.Generator().manual_seed(t)
        drawn[t] = torch.randn(1, 1, 2, 2, generator=generator, dtype=torch.float64)
        return drawn[t]

    x_T = torch.randn(1, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    steps = list(
        reverse_process(
            denoiser,
            SCHEDULE,
            x_T,
            inference_timesteps(100, 7, "trailing"),
            draw,
            sampler=sampler,
            options=SamplerOptions("fixed_large", 0.5),
            limit_x0=None,
        )
    )
    weights = step_weights(SCHEDULE, sampling)
    assert [w.t for w in weights] == [step.t for step in steps]
    before = torch.zeros(())
    for step, w in zip(steps, weights, strict=True):
        made = w.x_t * step.x_t + w.x0 * step.x0 + w.eps * step.eps + w.before * before
        if w.sigma:
            made = made + w.sigma * drawn[step.t]
        if w.there:
            # Heun asks once more at the end of Euler's step, whose weights are those without it.
            rest = made + w.there * step.x0
            alpha = SCHEDULE.alpha_cumprod_at(w.prev_t)
            said = denoiser(rest, torch.tensor([w.prev_t])).float()
            made = made + w.there * (rest - (1 - alpha).sqrt() * said) / alpha.sqrt()
        torch.testing.assert_close(made, step.prev_sample, rtol=1e-5, atol=1e-6)
        before = step.x0


def test_a_heun_step_takes_two_calls_and_the_last_one() -> None:
    linear = NoiseSchedule.create("linear", 100)
    heun = step_weights(linear, SamplingConfig(sampler="heun", num_inference_steps=10))
    assert [step.calls for step in heun] == [2] * 9 + [1]
    assert network_calls(heun) == 19
    assert network_calls(step_weights(linear, SamplingConfig(num_inference_steps=100))) == 100


def test_ancestral_noise_is_the_posterior_variance() -> None:
    weights = step_weights(SCHEDULE, SamplingConfig(num_inference_steps=100))
    for step in weights[:-1]:
        assert step.sigma**2 == pytest.approx(float(SCHEDULE.posterior_variance[step.t]))
    assert weights[-1].sigma == 0


@pytest.mark.parametrize(
    ("scale", "parts", "terms"), [(1, 1, 1), (3, 1, 2), (0, 1, 1), (1, 2, 2), (2, 2, 3)]
)
def test_guidance_takes_more_passes(scale: float, parts: int, terms: int) -> None:
    """As many as `engine.conditioning.Guided` puts in one batch."""
    from engine.conditioning import Condition, Guided

    seen: list[int] = []

    def model(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        seen.append(len(x))
        return x

    asked = tuple((torch.zeros(1, dtype=torch.int64), 1 / parts) for _ in range(parts))
    Guided(model, 10, Condition(asked, scale))(torch.zeros(1, 1, 2, 2), torch.zeros(1).long())
    assert terms_of_guidance(SamplingConfig(guidance_scale=scale), parts) == terms == seen[0]
