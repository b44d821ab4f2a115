"""Edits of real pictures: start from them, paint part of them anew, find the noise behind them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine import interventions
from engine.config import SamplingConfig, override_sampling
from engine.edits.common import Edit, Given, asked_of, descent_of, draws_of
from engine.errors import ConfigError
from engine.images import Pixels
from engine.sampling import TrainedModel, sampler_words
from engine.sheet import Sheet, filmed, to_pixels
from engine.takes.path import check_room, timesteps_of


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
    draw = draws_of(trained, seed, indices)
    x_t, timesteps = interventions.start_from(
        trained.schedule,
        all_given.images,
        timesteps_of(trained.schedule.num_train_timesteps, sampling),
        strength,
        draw("x_T", 0),
    )
    descend = descent_of(trained, sampling, asked_of(trained, sampling, all_given, indices), draw)
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
    draw = draws_of(trained, seed, indices)
    descend = descent_of(trained, sampling, asked_of(trained, sampling, all_given, indices), draw)
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
    asked = asked_of(trained, free, given, range(len(original)))
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
    draw = draws_of(trained, 0, range(len(original)))
    back = yield from filmed(descent_of(trained, free, asked, draw)(x_T, timesteps, 0), film, x_T)
    rows = {"original": original, "the noise it comes from": x_T, "brought back": back}
    if to_prompt:
        other = override_sampling(trained.config, {**free.model_dump(), "prompt": to_prompt})
        asked = trained.denoiser(other, range(len(original)))
        descend = descent_of(trained, free, asked, draw)
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
