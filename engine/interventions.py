"""Interventions in the reverse process, as small pieces to be put together.

None of them knows an update rule or a network. An intervention is a choice of where the reverse
process starts, of what it is asked on the way, or of where it is left and entered anew. Who leaves
and enters anew starts a new `reverse_process`, so a multistep sampler begins there without memory,
as it must: x has jumped. Where only the denoiser changes (`switch_at`) the memory stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from engine.diffusion import predict_x0_and_eps
from engine.errors import ConfigError
from engine.reverse import Denoiser, ReverseStep
from engine.schedule import NoiseSchedule

# (purpose, t) -> (N, C, H, W) standard normal: the draws of N pictures, see `engine.rng`.
Draw = Callable[[str, int], Tensor]


class Descend(Protocol):
    """The reverse process with all decided but where it starts and where it goes."""

    def __call__(
        self,
        x_t: Tensor,
        timesteps: Sequence[int],
        round_number: int,
        after: ReverseStep | None = None,
    ) -> Iterator[ReverseStep]:
        """The reverse process from x_t (N, C, H, W), along falling timesteps.

        Args:
            round_number: how often the way was left and entered anew; each has noise of its own.
            after: the step that led to x_t, for multistep samplers.
        """
        ...


# (start, stop): the reverse process from timesteps[start] until timesteps[stop] is reached;
# len(timesteps) is the clean image.
Leg = tuple[int, int]
# Of a whole way with all that is gone anew; each takes a network call.
MAX_STEPS = 500_000


def position(timesteps: Sequence[int], t: int, num_train_timesteps: int) -> int:
    """Where on the way t is: the position of the first timestep at or below it.

    Raises:
        ConfigError: t is no timestep, or the way ends above it.
    """
    if not 0 <= t < num_train_timesteps:
        raise ConfigError(
            f"{t} is not a timestep of this run",
            f"T is {num_train_timesteps}, so t is 0 to {num_train_timesteps - 1}.",
        )
    above = sum(visited > t for visited in timesteps)
    if above == len(timesteps):
        raise ConfigError(
            f"With {len(timesteps)} steps no timestep at or below {t} is visited: "
            f"the last one is {timesteps[-1]}",
            "Take more steps, or a larger t.",
        )
    return above


def renoise(schedule: NoiseSchedule, x_t: Tensor, t: int, t_back: int, noise: Tensor) -> Tensor:
    """x_{t'} ~ q(x_{t'} | x_t) for a t' above t: the forward process from anywhere, in one step.

    √(ᾱ_t' / ᾱ_t) x_t + √(1 − ᾱ_t' / ᾱ_t) ε; the forward steps between are products of normals, so
    this is exact for any stride. t = −1 is the clean image, which makes it `q_sample`.

    Raises:
        ValueError: t_back is not above t.
    """
    if t_back <= t:
        raise ValueError(f"cannot re-noise from t = {t} to t = {t_back}, which is not above it")
    ratio = schedule.alpha_cumprod_at(t_back) / schedule.alpha_cumprod_at(t)
    return ratio.sqrt() * x_t + (1 - ratio).sqrt() * noise


def start_from(
    schedule: NoiseSchedule,
    image: Tensor,
    timesteps: Sequence[int],
    strength: float,
    noise: Tensor,
) -> tuple[Tensor, list[int]]:
    """An image noised part of the way up (SDEdit; Meng et al. 2022).

    Args:
        image: (N, C, H, W) in [−1, 1].
        timesteps: the whole way.
        strength: the share of the way to go: 0 leaves the image alone, 1 leaves as good as nothing
            of it.

    Returns:
        x_t, and the timesteps from there on.

    Raises:
        ConfigError: strength is not in [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"There is no strength {strength:g}", "Give one from 0 to 1.")
    count = round(strength * len(timesteps))
    remaining = list(timesteps[len(timesteps) - count :])
    if not remaining:
        return image, []
    return renoise(schedule, image, -1, remaining[0], noise), remaining


def walk(
    descend: Descend,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    x_t: Tensor,
    legs: Sequence[Leg],
    draw: Draw,
) -> Iterator[ReverseStep]:
    """The reverse process leg by leg, with x re-noised between the end of one and the next start.

    A step's x_t is the step before's prev_sample, but for the first step of a leg.

    Args:
        x_t: where the first leg starts.
        legs: each starts above the end of the one before.
        draw: the noise of the jumps back.
    """
    total = sum(stop - start for start, stop in legs)
    index = 0
    for number, (start, stop) in enumerate(legs):
        if number:
            low, high = timesteps[legs[number - 1][1]], timesteps[start]
            x_t = renoise(schedule, x_t, low, high, draw(f"renoise{number}", high))
        for step in islice(descend(x_t, timesteps[start:], number), stop - start):
            yield replace(step, index=index, num_steps=total)
            index, x_t = index + 1, step.prev_sample


def back_and_on(num_steps: int, low: int, high: int, times: int = 1) -> list[Leg]:
    """Legs for `walk`: down to position `low`, back up to `high` `times` times, and to the end."""
    return [(0, low), *[(high, low)] * (times - 1), (high, num_steps)]


def repaint_legs(num_steps: int, jump_length: int, resample: int) -> list[Leg]:
    """Legs for `walk` as RePaint resamples (Lugmayr et al. 2022, algorithm 1 and appendix B).

    Every stretch of `jump_length` steps, counted from the clean end, is gone `resample` times.
    `resample` 1 is the plain way down.

    Raises:
        ConfigError: there is no room for a jump, or there are more than `MAX_STEPS`.
    """
    if resample > 1 and jump_length >= num_steps:
        raise ConfigError(
            f"a jump of {jump_length} steps does not fit into a way of {num_steps}",
            "Take more steps or shorter jumps.",
        )
    if num_steps * resample > MAX_STEPS:
        raise ConfigError(
            f"{num_steps} steps, each taken {resample} times, are more than {MAX_STEPS:,}",
            "Take fewer of them.",
        )
    legs, start = [], 0
    for stop in range((num_steps - 1) % jump_length + jump_length, num_steps, jump_length):
        for _ in range(resample - 1):
            legs.append((start, stop))
            start = stop - jump_length
    return [*legs, (start, num_steps)]


def keep_known(
    descend: Descend, schedule: NoiseSchedule, image: Tensor, repaint: Tensor, draw: Draw
) -> Descend:
    """A descent that paints where the mask says and keeps the rest (RePaint, algorithm 1).

    After every step what is known is put back, noised to where the step led; after the last one
    it is the image itself. By itself this paints seams, because a step cannot change what was put
    back: `walk` it along `repaint_legs`, so that both parts grow together.

    Args:
        image: (N, C, H, W) in [−1, 1].
        repaint: bool, broadcastable to image; True where to paint.
        draw: the noise of what is known.
    """

    def kept(
        x_t: Tensor,
        timesteps: Sequence[int],
        round_number: int,
        after: ReverseStep | None = None,
    ) -> Iterator[ReverseStep]:
        # x jumps after every step, so there is nothing to remember.
        del after
        for index in range(len(timesteps)):
            step = next(descend(x_t, timesteps[index:], round_number))
            known = image
            if index + 1 < len(timesteps):
                prev_t = timesteps[index + 1]
                noise = draw(f"known{round_number or ''}", prev_t)
                known = renoise(schedule, image, -1, prev_t, noise)
            x_t = torch.where(repaint, step.prev_sample, known)
            yield replace(step, index=index, num_steps=len(timesteps), prev_sample=x_t)

    return kept


def switch_at(t: int, first: Denoiser, then: Denoiser) -> Denoiser:
    """Ask `first` above timestep t, and `then` from t on: another prompt, guidance or network.

    Switches nest: `switch_at(700, a, switch_at(300, b, c))`. A multistep sampler remembers across
    the switch what `first` predicted, for one step.
    """
    return lambda x_t, at: (first if int(at[0]) > t else then)(x_t, at)


def side_by_side(denoisers: Sequence[Denoiser]) -> Denoiser:
    """Several denoisers as one, for a batch of equal parts: the first part asks the first, ….

    So variants go down in lockstep, and each step shows all of them.
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        parts = zip(x_t.chunk(len(denoisers)), t.chunk(len(denoisers)), strict=True)
        return torch.cat([ask(*part) for ask, part in zip(denoisers, parts, strict=True)])

    return denoise


def branch_draw(draw: Draw, branches: int) -> Draw:
    """The draws of N pictures' branches, (N·B, C, H, W), the branches of a picture together.

    Branch 0 has the noise of the picture itself, so it goes on as the picture would have, if a
    multistep sampler is told the step before, see `repeated_step`; branch b
    has the same noise however many branches there are. Start it from
    `x_t.repeat_interleave(branches, dim=0)`.
    """

    def drawn(purpose: str, t: int) -> Tensor:
        each = [draw(f"{purpose}/{branch}" if branch else purpose, t) for branch in range(branches)]
        return torch.stack(each, dim=1).flatten(0, 1)

    return drawn


def repeated_step(step: ReverseStep, times: int) -> ReverseStep:
    """A step of one picture as that of `times` branches, (times, C, H, W)."""
    parts = {
        name: getattr(step, name).repeat(times, 1, 1, 1)
        for name in ("x_t", "x0", "eps", "prev_sample")
    }
    return replace(step, **parts)


def slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Spherical interpolation between the noise of two pictures, each (N, C, H, W).

    Along the arc the norm stays what it is for noise; on the straight line between it would sink,
    and the network would see less noise than t says. Weights 0 and 1 give a and b to the bit.
    """
    here, a, b = a, a.cpu(), b.cpu()  # not every device has float64
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    cosine = torch.nn.functional.cosine_similarity(flat_a, flat_b)
    angle = cosine.clamp(-1, 1).acos().reshape(-1, *[1] * (a.ndim - 1))
    # Parallel: the arc is the line.
    parallel = angle.sin() < 1e-6
    share_a = torch.where(parallel, 1 - weight, ((1 - weight) * angle).sin() / angle.sin())
    share_b = torch.where(parallel, weight, (weight * angle).sin() / angle.sin())
    return (share_a * a + share_b * b).to(here)


def invert(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    image: Tensor,
    timesteps: Sequence[int],
    *,
    prediction_type: str = "epsilon",
    refinements: int = 0,
) -> Iterator[ReverseStep]:
    """The way up that DDIM (η = 0, no clipping) would have come down (Song et al. 2021, § 4.3).

    Each step of DDIM is solved for its x_t. That needs the noise that the network sees in x_t,
    which is not known yet; asked is first what it sees in x_{prev_t}, at t. The error of that
    falls with the length of the steps, and with refinements: asking again at the x_t that was
    found.

    Yields:
        The steps of the reverse process, last one first: from index n − 1, whose prev_sample is
        the image, to index 0, whose x_t is the noise that the image came from.
    """
    x = image
    for index in reversed(range(len(timesteps))):
        t = timesteps[index]
        alpha_cumprod = schedule.alpha_cumprod_at(t)
        alpha_cumprod_prev = schedule.alpha_cumprod_at(
            timesteps[index + 1] if index + 1 < len(timesteps) else -1
        )
        x_t = x0 = eps = x
        with torch.no_grad():
            for _ in range(1 + refinements):
                output = denoiser(x_t, torch.full((len(x_t),), t, device=x_t.device)).float()
                _, eps = predict_x0_and_eps(schedule, prediction_type, x_t, t, output)
                x0 = (x - (1 - alpha_cumprod_prev).sqrt() * eps) / alpha_cumprod_prev.sqrt()
                x_t = alpha_cumprod.sqrt() * x0 + (1 - alpha_cumprod).sqrt() * eps
        yield ReverseStep(index, len(timesteps), t, x_t, x0, eps, x)
        x = x_t
