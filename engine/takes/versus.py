"""Two lanes from the same noise: another sampler, checkpoint or guidance, level by level of noise.

Lane 0 is the take itself. The second lane has the same turns, each where its noise level is nearest
to that of lane 0 at the turn.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from engine.sampling import TrainedModel
from engine.schedule import NoiseSchedule
from engine.takes.path import PathStep, lay_out
from engine.takes.perform import TakeStep, perform
from engine.takes.recipe import Recipe, Turn


@dataclass(frozen=True)
class Lane:
    """One of the takes that go side by side.

    Attributes:
        recipe: what `perform` performs; it has no `versus`.
        path: its steps.
        noise_levels: √(1−ᾱ_t) of each step.
    """

    recipe: Recipe
    path: tuple[PathStep, ...]
    noise_levels: tuple[float, ...]

    @classmethod
    def of(cls, schedule: NoiseSchedule, recipe: Recipe) -> Lane:
        """The lane of a recipe, without its `versus`."""
        path = lay_out(schedule, recipe)
        levels = schedule.noise_level.tolist()
        return cls(replace(recipe, versus={}), path, tuple(levels[step.t] for step in path))


def lay_lanes(schedule: NoiseSchedule, recipe: Recipe) -> tuple[Lane, ...]:
    """The lanes of a recipe: one, or two where it has a `versus`.

    Raises:
        ConfigError: see `lay_out`, for either of them.
    """
    first = Lane.of(schedule, recipe)
    if not recipe.versus:
        return (first,)
    other = replace(recipe.other_lane(), turns=())
    placed: tuple[Turn, ...] = ()
    for number, turn in enumerate(recipe.turns):
        at = 0
        if turn.at:
            so_far = Lane.of(schedule, replace(recipe, turns=recipe.turns[:number]))
            at = matching((so_far, Lane.of(schedule, replace(other, turns=placed))), turn.at)
        placed = (*placed, replace(turn, at=at))
    return first, Lane.of(schedule, replace(other, turns=placed))


def matching(lanes: Sequence[Lane], index: int) -> int:
    """The step of lane 1 that belongs beside step `index` of lane 0.

    It is the one with the nearest noise level between the same two turns; where x goes up and down
    there, as in an inpainting, the one that is as far on. The result of lane 0, step `len(path)`,
    belongs beside the result of lane 1.
    """
    first, other = lanes
    if index >= len(first.path):
        return len(other.path)
    section = first.path[index].section
    here = [at for at, step in enumerate(first.path) if step.section == section]
    there = [at for at, step in enumerate(other.path) if step.section == section]
    if not there:
        return sum(step.section < section for step in other.path)
    if first.path[here[0]].round != first.path[here[-1]].round:
        return there[(index - here[0]) * len(there) // len(here)]
    level = first.noise_levels[index]
    return min(there, key=lambda at: abs(other.noise_levels[at] - level))


def perform_lanes(
    models: Sequence[TrainedModel],
    lanes: Sequence[Lane],
    after: Sequence[Sequence[TakeStep]] = ((), ()),
    *,
    data_dir: Path | None = None,
) -> Generator[tuple[int, TakeStep], None, None]:
    """Perform the lanes in lockstep: what belongs beside a step of lane 0 comes right after it.

    Args:
        models: the checkpoint of each lane.
        after: the steps of each lane that are recorded; see `perform`.

    Yields:
        (lane, step).

    Raises:
        see `perform`.
    """
    performances = [
        perform(model, lane.recipe, recorded, data_dir=data_dir)
        for model, lane, recorded in zip(models, lanes, after, strict=False)
    ]
    return _in_lockstep(performances, lanes, [len(recorded) for recorded in after])


def _in_lockstep(
    performances: Sequence[Generator[TakeStep, None, None]],
    lanes: Sequence[Lane],
    taken: Sequence[int],
) -> Generator[tuple[int, TakeStep], None, None]:
    if len(lanes) == 1:
        for step in performances[0]:
            yield 0, step
        return
    first, other = performances
    ahead, beside = taken
    while True:
        due = matching(lanes, ahead - 1) + 1 if ahead else 0
        for step in islice(other, max(0, due - beside)):
            beside += 1
            yield 1, step
        if ahead == len(lanes[0].path):
            break
        yield 0, next(first)
        ahead += 1
    for step in other:
        yield 1, step
