"""The steps that a sampler makes, as numbers: which timesteps, which weights, how much noise.

Every update rule is linear in what it is given, so its weights are read off the rule itself: it is
asked for its answer to a one in each place and zeros in all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.config import SamplingConfig
from engine.samplers import SAMPLERS, Context, Prediction, SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps


@dataclass(frozen=True)
class StepWeights:
    """x_{prev_t} = x_t · x_t + x0 · x̂_0 + eps · ε + before · x̂_0 of the step before + there · x̂_0
    of the second call + sigma · fresh noise.

    Attributes:
        t, prev_t: from and to; prev_t = −1 is the clean image.
        calls: network calls of the step.
    """

    t: int
    prev_t: int
    x_t: float
    x0: float
    eps: float
    before: float
    there: float
    sigma: float
    calls: int


def step_weights(schedule: NoiseSchedule, sampling: SamplingConfig) -> list[StepWeights]:
    """Every step of the reverse process as `sampling` asks for it, from noisy to clean."""
    timesteps = inference_timesteps(
        schedule.num_train_timesteps, sampling.num_inference_steps, sampling.timestep_spacing
    )
    return [
        _weights(schedule, sampling, before, t, prev_t)
        for before, t, prev_t in zip(
            [None, *timesteps], timesteps, [*timesteps[1:], -1], strict=False
        )
    ]


def network_calls(weights: list[StepWeights]) -> int:
    """How often the network is called for a picture, without those that guidance adds."""
    return sum(step.calls for step in weights)


def terms_of_guidance(sampling: SamplingConfig, parts: int = 1) -> int:
    """Passes through the network that one call takes: one for each class of the prompt, and one
    without a class where there is guidance (see `engine.conditioning.Guided`)."""
    scale = sampling.guidance_scale
    return (parts if scale else 0) + (scale != 1)


def _weights(
    schedule: NoiseSchedule, sampling: SamplingConfig, before: int | None, t: int, prev_t: int
) -> StepWeights:
    rule = SAMPLERS[sampling.sampler]
    options = SamplerOptions(sampling.variance_type, sampling.eta)
    calls = 1

    def answer(**one: float) -> float:
        """What the rule makes of a one in one place."""
        nonlocal calls
        calls = 1

        def number(name: str) -> Tensor:
            return torch.tensor(one.get(name, 0.0), dtype=torch.float64)

        def predict(x: Tensor, at: int) -> Prediction:
            nonlocal calls
            calls += 1
            return Prediction(at, x, number("there"), number("there"))

        now = Prediction(t, number("x_t"), number("x0"), number("eps"))
        zero = number("")
        previous = None if before is None else Prediction(before, zero, number("before"), zero)
        context = Context(previous, predict, lambda: number("sigma"), options)
        return float(rule(schedule, now, prev_t, context))

    x_t, x0, eps, last, there, sigma = (
        answer(**{name: 1.0}) for name in ("x_t", "x0", "eps", "before", "there", "sigma")
    )
    return StepWeights(t, prev_t, x_t, x0, eps, last, there, sigma, calls)
