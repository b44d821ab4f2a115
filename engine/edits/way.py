"""Edits on the way down: ask for something else, go back up, go on in several ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from engine import interventions
from engine.config import SamplingConfig, override_sampling
from engine.edits.common import Edit, descent_of, draws_of, in_rows, repeated
from engine.errors import ConfigError
from engine.images import Pixels
from engine.reverse import ReverseStep
from engine.sampling import TrainedModel, draws_noise, sampler_words
from engine.sheet import Sheet, filmed, to_pixels
from engine.takes.path import check_room, timesteps_of


def switch(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    changes: Mapping[int, Mapping[str, Any]],
) -> Edit:
    """Change what is asked for on the way; unchanged and changed go down side by side.

    Args:
        changes: for each t, the fields of `sampling` that change from there on: `prompt`,
            `guidance_scale`.
    """
    indices = range(sampling.num)
    asked = [trained.denoiser(sampling, indices)]
    points = sorted(changes, reverse=True)
    timesteps, settings = timesteps_of(trained.schedule.num_train_timesteps, sampling), sampling
    for t in points:
        interventions.position(timesteps, t, trained.schedule.num_train_timesteps)
        settings = override_sampling(trained.config, {**settings.model_dump(), **changes[t]})
        asked.append(trained.denoiser(settings, indices))
    changed = asked.pop()
    for t in reversed(points):
        changed = interventions.switch_at(t, asked.pop(), changed)

    both = interventions.side_by_side([trained.denoiser(sampling, indices), changed])
    draw = repeated(draws_of(trained, seed, indices), 2)
    descend = descent_of(trained, sampling, both, draw)
    film: list[Pixels] = []
    x_T = draw("x_T", 0)
    result = yield from filmed(descend(x_T, timesteps, 0), film, x_T)
    words = [
        f"from t = {t} on {', '.join(f'{key} {value}' for key, value in changes[t].items())}"
        for t in points
    ]
    unchanged, edited = result.chunk(2)
    name = "-".join(f"t{t}-{value}" for t in points for value in changes[t].values())
    return Sheet.of(
        f"switch-{name}",
        {"unchanged": unchanged, "; ".join(words): edited},
        film,
        {"changes": {str(t): dict(change) for t, change in changes.items()}},
        film_columns=sampling.num,
    )


def renoise(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    at: int,
    back_to: int,
    times: int = 1,
) -> Edit:
    """Go down to t = `at`, take x back up to t = `back_to`, and go on from there.

    Raises:
        ConfigError: `back_to` is not above `at`, or one of them is no timestep.
    """
    timesteps, total = (
        timesteps_of(trained.schedule.num_train_timesteps, sampling),
        trained.schedule.num_train_timesteps,
    )
    low, high = (interventions.position(timesteps, t, total) for t in (at, back_to))
    if high >= low:
        raise ConfigError(
            f"re-noising goes up, and t = {back_to} is not above t = {at}"
            + (f": with {len(timesteps)} steps both are {timesteps[low]}" * (at < back_to)),
            "Give a larger t to go back to.",
        )
    draw = draws_of(trained, seed, range(sampling.num))
    descend = descent_of(trained, sampling, trained.denoiser(sampling, range(sampling.num)), draw)
    x_T = draw("x_T", 0)
    plain = yield from filmed(descend(x_T, timesteps, 0), [], x_T)

    legs = interventions.back_and_on(len(timesteps), low, high, times)
    steps = interventions.walk(descend, trained.schedule, timesteps, x_T, legs, draw)
    film: list[Pixels] = []
    jumps: list[tuple[Tensor, Tensor]] = []
    result = yield from filmed(_noting_jumps(steps, jumps), film, x_T)
    below, above = jumps[-1]
    return Sheet.of(
        f"renoise-t{timesteps[low]}to{timesteps[high]}x{times}",
        {
            "without": plain,
            f"at t = {timesteps[low]}": below,
            f"re-noised to t = {timesteps[high]}": above,
            "result": result,
        },
        film,
        {"at": timesteps[low], "back_to": timesteps[high], "times": times},
    )


def branch(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    at: int,
    branches: int,
    *,
    prompts: Sequence[str] = (),
    picture: int = 0,
) -> Edit:
    """Several continuations of one x_t: by other noise, other prompts, or both.

    Args:
        branches: continuations of each prompt, each with its own noise.
        prompts: what the branches ask for; none means what was asked for before.
        picture: which picture of the seed.

    Raises:
        ConfigError: the branches would all be the same, or `at` is no timestep.
    """
    if branches > 1 and not draws_noise(sampling):
        raise ConfigError(
            f"the branches would all be the same: {sampler_words(sampling)} draws no noise",
            "Take --sampler dpmpp_2m_sde, or one branch for each of several prompts.",
        )
    variants = [
        override_sampling(trained.config, {**sampling.model_dump(), "prompt": prompt})
        for prompt in prompts
    ] or [sampling]
    check_room(branches * len(variants))
    timesteps = timesteps_of(trained.schedule.num_train_timesteps, sampling)
    low = interventions.position(timesteps, at, trained.schedule.num_train_timesteps)
    asked = interventions.side_by_side(
        [trained.denoiser(variant, [picture] * branches) for variant in variants]
    )
    draw = draws_of(trained, seed, [picture])
    x_t = draw("x_T", 0)
    trunk = descent_of(trained, sampling, trained.denoiser(sampling, [picture]), draw)
    step = None
    for step in islice(trunk(x_t, timesteps, 0), low):
        yield step
        x_t = step.prev_sample

    count = branches * len(variants)
    many = x_t.repeat(count, 1, 1, 1)
    after = interventions.repeated_step(step, count) if step else None
    twigs = repeated(interventions.branch_draw(draw, branches), len(variants))
    film: list[Pixels] = [to_pixels(many)]
    steps = (
        replace(step, index=low + step.index, num_steps=len(timesteps))
        for step in descent_of(trained, sampling, asked, twigs)(many, timesteps[low:], 0, after)
    )
    result = yield from filmed(steps, film, many)
    # Each row: what the branches share, then the branches.
    grid = torch.cat([x_t.expand(len(variants), 1, -1, -1, -1), in_rows(result, branches)], dim=1)
    named = prompts or (sampling.prompt or "branches",)
    return Sheet(
        f"branch-t{timesteps[low]}-picture{picture}" + "".join(f"-{p}" for p in prompts),
        tuple(f"x_t at t = {timesteps[low]}, then {name}" for name in named),
        to_pixels(grid.flatten(0, 1)),
        branches + 1,
        film,
        branches,
        {"at": timesteps[low], "picture": picture, "prompts": list(prompts)},
    )


def _noting_jumps(
    steps: Iterator[ReverseStep], jumps: list[tuple[Tensor, Tensor]]
) -> Iterator[ReverseStep]:
    """Pass the steps on, noting each (x before, x after) where x was re-noised between them."""
    arrived = None
    for step in steps:
        if arrived is not None and step.x_t is not arrived:
            jumps.append((arrived, step.x_t))
        arrived = step.prev_sample
        yield step
