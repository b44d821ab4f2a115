"""Controlled generation from a trained run: the interventions, with what there is to see of each.

An edit is a generator, as the reverse process is: it yields the steps as they happen, and returns
a `Sheet` for the files. Picture i of a seed meets the same noise as in `draw_samples`, so what an
edit changed is all that is different.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from engine import interventions
from engine.config import SamplingConfig, override_sampling
from engine.errors import ConfigError
from engine.images import Pixels
from engine.interventions import Descend, Draw
from engine.reverse import Denoiser, ReverseStep
from engine.rng import sample_noise
from engine.sampling import TrainedModel, draws_noise, make_descent, sampler_words
from engine.sheet import Sheet, filmed, to_pixels
from engine.takes.path import check_room, timesteps_of


@dataclass(frozen=True)
class Given:
    """Real pictures to work on.

    Attributes:
        name: where they are from, for a file name.
        images: float32 (N, C, H, W) in [−1, 1], on the run's device.
        titles: what each is, for a person.
        labels: their classes, int64 (N,); None where nobody knows.
    """

    name: str
    images: Tensor
    titles: tuple[str, ...]
    labels: Tensor | None = None

    def copies(self, num: int) -> Given:
        """Each picture `num` times, the copies of one together."""
        labels = None if self.labels is None else self.labels.repeat_interleave(num)
        return replace(self, images=self.images.repeat_interleave(num, dim=0), labels=labels)


Edit = Generator[ReverseStep, None, Sheet]


def start(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    given: Given,
    strength: float,
    copies: int,
) -> Edit:
    """Start from real pictures, noised part of the way up (SDEdit).

    Args:
        strength: the share of the way, see `interventions.start_from`.
        copies: continuations of each picture, each with its own noise.
    """
    all_given = given.copies(copies)
    indices = [*range(copies)] * len(given.images)
    draw = _draws(trained, seed, indices)
    x_t, timesteps = interventions.start_from(
        trained.schedule,
        all_given.images,
        timesteps_of(trained.schedule.num_train_timesteps, sampling),
        strength,
        draw("x_T", 0),
    )
    descend = _descent(trained, sampling, _asked(trained, sampling, all_given, indices), draw)
    film = [to_pixels(x_t)]
    result = yield from filmed(descend(x_t, timesteps, 0), film, x_t)
    t = timesteps[0] if timesteps else -1
    return Sheet.of(
        f"start{strength:g}-{given.name}",
        {"original": all_given.images, f"noised to t = {t}": x_t, "result": result},
        film,
        {"pictures": given.titles, "strength": strength, "t": t},
    )


def inpaint(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    given: Given,
    repaint: Tensor,
    copies: int,
    *,
    mask_name: str = "mask",
    jump_length: int = 5,
    resample: int = 10,
) -> Edit:
    """Paint part of real pictures anew (RePaint).

    Args:
        repaint: bool (H, W), True where to paint.
        copies: results for each picture, each with its own noise.
        jump_length, resample: see `interventions.repaint_legs`.
    """
    all_given = given.copies(copies)
    image, repaint = all_given.images, repaint.to(trained.device)
    timesteps = timesteps_of(trained.schedule.num_train_timesteps, sampling)
    indices = [*range(copies)] * len(given.images)
    draw = _draws(trained, seed, indices)
    descend = _descent(trained, sampling, _asked(trained, sampling, all_given, indices), draw)
    steps = interventions.walk(
        interventions.keep_known(descend, trained.schedule, image, repaint, draw),
        trained.schedule,
        timesteps,
        draw("x_T", 0),
        interventions.repaint_legs(len(timesteps), jump_length, resample),
        draw,
    )
    film: list[Pixels] = []
    result = yield from filmed(steps, film, image)
    return Sheet.of(
        f"inpaint-{mask_name}-jump{jump_length}x{resample}-{given.name}",
        {"original": image, "to repaint": image.masked_fill(repaint, 0), "result": result},
        film,
        {
            "pictures": given.titles,
            "mask": mask_name,
            "jump_length": jump_length,
            "resample": resample,
        },
    )


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
    draw = _repeated(_draws(trained, seed, indices), 2)
    descend = _descent(trained, sampling, both, draw)
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
    draw = _draws(trained, seed, range(sampling.num))
    descend = _descent(trained, sampling, trained.denoiser(sampling, range(sampling.num)), draw)
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
    draw = _draws(trained, seed, [picture])
    x_t = draw("x_T", 0)
    trunk = _descent(trained, sampling, trained.denoiser(sampling, [picture]), draw)
    step = None
    for step in islice(trunk(x_t, timesteps, 0), low):
        yield step
        x_t = step.prev_sample

    count = branches * len(variants)
    many = x_t.repeat(count, 1, 1, 1)
    after = interventions.repeated_step(step, count) if step else None
    twigs = _repeated(interventions.branch_draw(draw, branches), len(variants))
    film: list[Pixels] = [to_pixels(many)]
    steps = (
        replace(step, index=low + step.index, num_steps=len(timesteps))
        for step in _descent(trained, sampling, asked, twigs)(many, timesteps[low:], 0, after)
    )
    result = yield from filmed(steps, film, many)
    # Each row: what the branches share, then the branches.
    grid = torch.cat([x_t.expand(len(variants), 1, -1, -1, -1), _rows(result, branches)], dim=1)
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


def interpolate(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seeds: tuple[int, int],
    frames: int,
) -> Edit:
    """From the pictures of one seed to those of another, along the arc between their noise.

    Args:
        frames: pictures on the way, both ends included.

    Raises:
        ConfigError: the sampler draws noise, so that x_T does not decide the picture.
    """
    if draws_noise(sampling):
        raise ConfigError(
            f"{sampler_words(sampling)} draws noise on the way: x_T does not decide the picture",
            "Take --sampler ddim, dpmpp_2m or heun.",
        )
    indices = range(sampling.num)
    first, last = (_draws(trained, seed, indices)("x_T", 0) for seed in seeds)
    weights = [index / (frames - 1) for index in range(frames)]
    x_T = torch.stack([interventions.slerp(first, last, weight) for weight in weights], dim=1)
    x_T = x_T.flatten(0, 1)
    of_picture = [index for index in indices for _ in range(frames)]
    descend = _descent(
        trained,
        sampling,
        trained.denoiser(sampling, of_picture),
        _draws(trained, seeds[0], of_picture),
    )
    result = yield from filmed(
        descend(x_T, timesteps_of(trained.schedule.num_train_timesteps, sampling), 0), [], x_T
    )
    rows = _rows(result, frames)
    return Sheet(
        f"interpolate-seeds{seeds[0]}to{seeds[1]}-{frames}frames",
        tuple(f"picture {i}, from seed {seeds[0]} to seed {seeds[1]}" for i in indices),
        to_pixels(result),
        frames,
        [to_pixels(rows[:, frame]) for frame in range(frames)],
        facts={"seeds": list(seeds), "frames": frames},
    )


def invert(
    trained: TrainedModel,
    sampling: SamplingConfig,
    given: Given,
    *,
    to_prompt: str = "",
    refinements: int = 0,
) -> Edit:
    """Find the noise that real pictures come from (DDIM inversion), and come down from it again.

    Nothing is clipped on the way, because clipping cannot be undone. The sheet's facts say how far
    the pictures that came back are from those that were given.

    Args:
        to_prompt: come down asking for this, too.
        refinements: see `interventions.invert`.

    Raises:
        ConfigError: the sampler is not deterministic DDIM.
    """
    if sampling.sampler != "ddim" or sampling.eta:
        raise ConfigError(
            f"the way up is that of ddim with eta 0, not of {sampler_words(sampling)}",
            "Leave the sampler to this command.",
        )
    check_room(len(given.images))
    # The way back has to meet the numbers of the way up; bf16 and TF32 would round them apart.
    trained = replace(trained, dtype=torch.float32, exact=True)
    free = sampling.model_copy(update={"clip_sample": False, "thresholding": False})
    timesteps, original = timesteps_of(trained.schedule.num_train_timesteps, sampling), given.images
    asked = _asked(trained, free, given, range(len(original)))
    film = [to_pixels(original)]
    x_T = original
    for step in interventions.invert(
        asked,
        trained.schedule,
        original,
        timesteps,
        prediction_type=trained.config.diffusion.prediction_type,
        refinements=refinements,
    ):
        yield step
        x_T = step.x_t
    film.append(to_pixels(x_T))

    # Deterministic: no noise is ever drawn.
    draw = _draws(trained, 0, range(len(original)))
    back = yield from filmed(_descent(trained, free, asked, draw)(x_T, timesteps, 0), film, x_T)
    rows = {"original": original, "the noise it comes from": x_T, "brought back": back}
    if to_prompt:
        other = override_sampling(trained.config, {**free.model_dump(), "prompt": to_prompt})
        asked = trained.denoiser(other, range(len(original)))
        descend = _descent(trained, free, asked, draw)
        rows[to_prompt] = yield from filmed(descend(x_T, timesteps, 0), [], x_T)
    error = (back - original).flatten(1)
    facts = {
        "pictures": given.titles,
        "refinements": refinements,
        "to_prompt": to_prompt,
        # Of a range of 2, from −1 to 1.
        "rms_error": error.square().mean(dim=1).sqrt().tolist(),
        "max_error": error.abs().amax(dim=1).tolist(),
        # 1 for normal noise.
        "noise_std": x_T.flatten(1).std(dim=1).tolist(),
    }
    name = f"invert-{given.name}" + (f"-refine{refinements}" if refinements else "")
    name += f"-to-{to_prompt}" if to_prompt else ""
    return Sheet.of(name, rows, film, facts)


def _draws(trained: TrainedModel, seed: int, indices: Sequence[int]) -> Draw:
    """The draws of the pictures `indices` of a seed, as `draw_samples` makes them."""
    check_room(len(indices))
    return lambda purpose, t: sample_noise(
        seed, purpose, t, indices, trained.image_shape, trained.device
    )


def _repeated(draw: Draw, copies: int) -> Draw:
    return lambda purpose, t: draw(purpose, t).repeat(copies, 1, 1, 1)


def _descent(
    trained: TrainedModel, sampling: SamplingConfig, denoiser: Denoiser, draw: Draw
) -> Descend:
    prediction_type = trained.config.diffusion.prediction_type
    return make_descent(denoiser, trained.schedule, sampling, prediction_type, draw)


def _asked(
    trained: TrainedModel, sampling: SamplingConfig, given: Given, indices: Sequence[int]
) -> Denoiser:
    """What the prompt asks for; without one, each picture's own class where it is known."""
    # Without a prompt picture i is of class i mod the number of classes: a class as i is itself.
    return trained.denoiser(sampling, indices if given.labels is None else given.labels.tolist())


def _rows(images: Tensor, columns: int) -> Tensor:
    """(rows·columns, C, H, W) -> (rows, columns, C, H, W)."""
    return images.reshape(-1, columns, *images.shape[1:])


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
