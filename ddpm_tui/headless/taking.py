"""Takes without a screen: what `ddpm-tui take` does once its options are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless import notes, passed_over
from ddpm_tui.headless.progress import Progress, progress
from ddpm_tui.sanitize import clean, clean_lines, json_text
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.runs.folder import Run
    from engine.takes.perform import TakeStep
    from engine.takes.recipe import Recipe


def recipe_of(
    run: Run,
    overrides: dict[str, Any],
    turns: Sequence[str],
    versus: Sequence[str],
    *,
    origin: str = "noise",
    strength: float | None = None,
    seed: int = 0,
    which: str = "best",
) -> Recipe:
    """The recipe that the options ask for.

    Args:
        overrides: fields of the run's `[sampling]` table.

    Raises:
        ConfigError: a turn, the origin or a setting is not written so.
        CheckpointError: there is no such checkpoint.
    """
    from engine.config import override_sampling
    from engine.runs.checkpoint import find_checkpoint
    from engine.takes.recipe import STRENGTH, Recipe
    from engine.takes.text import parse_origin, parse_turn

    if origin == "noise" and strength is not None:
        raise ConfigError("pure noise has no strength", "Give --from, or leave out --strength.")
    found = find_checkpoint(run, which)
    passed_over.say(found.passed_over)
    return Recipe(
        run=run.name,
        checkpoint=found.step,
        sampling=override_sampling(run.config(), overrides),
        seed=seed,
        origin=parse_origin(origin, STRENGTH if strength is None else strength),
        turns=tuple(map(parse_turn, turns)),
        versus=_versus(run, versus),
    )


def saved(path: Path, runs_dir: Path, name: str | None = None) -> tuple[Run, Recipe]:
    """A saved recipe, and its run or another of that name.

    Raises:
        RunError: the recipe cannot be read, or the run is not there.
        ConfigError: it is no recipe.
    """
    from engine.runs.folder import open_run
    from engine.takes.files import read_recipe

    recipe = read_recipe(path)
    run = open_run(runs_dir, name or recipe.run)
    return run, replace(recipe, run=run.name)


def take(
    run: Run,
    recipe: Recipe,
    *,
    trajectory: bool = False,
    out: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    as_json: bool = False,
) -> None:
    """Perform a take, and say where its files are."""
    from engine.runs import io
    from engine.sampling import load_trained
    from engine.takes.files import save_take
    from engine.takes.recipe import FromNoise
    from engine.takes.text import format_turn, to_json
    from engine.takes.versus import lay_lanes, perform_lanes

    trained = load_trained(run, which=str(recipe.checkpoint), device=device)
    with io.advising("--out"):
        run.check_output("samples", out)
    lanes = lay_lanes(trained.schedule, recipe)
    if isinstance(recipe.origin, FromNoise):
        for sampling in dict.fromkeys(lane.recipe.sampling for lane in lanes):
            notes.say_start(trained.schedule, sampling)
    models = [trained] + [
        load_trained(run, which=str(lane.recipe.checkpoint), device=device)
        if lane.recipe.checkpoint != recipe.checkpoint
        else trained
        for lane in lanes[1:]
    ]
    performed = perform_lanes(models, lanes, data_dir=data_dir)
    total = sum(len(lane.path) for lane in lanes)
    with (
        io.advising("--out"),
        progress(f"taking {run.name}", total, quiet=as_json) as bar,
    ):
        files = save_take(
            run, recipe, lanes, _watched(performed, bar, total), out=out, trajectory=trajectory
        )
    if as_json:
        facts = {**to_json(recipe), "png": str(files.png), "gif": str(files.gif)}
        facts |= {"recipe": str(files.recipe), "trajectories": [*map(str, files.trajectories)]}
        print(json_text(facts))
        return
    num = lanes[0].path[-1].num
    what = "1 picture" if num == 1 else f"{num} pictures"
    steps = f"{len(lanes[0].path)} steps"
    print(f"{what} from {run.name} at step {recipe.checkpoint:,}, seed {recipe.seed}, {steps}")
    for turn in recipe.turns:
        print(f"turn     {clean(format_turn(turn))}")
    if recipe.versus:
        changes = ", ".join(f"{key} {value}" for key, value in recipe.versus.items())
        print(f"versus   {clean(changes)} (on the right), {len(lanes[1].path)} steps")
    print(clean_lines(f"picture  {files.png}\ngif      {files.gif}\nrecipe   {files.recipe}"))
    for path in files.trajectories:
        print(clean(f"steps    {path}"))


def _watched(
    steps: Iterator[tuple[int, TakeStep]], bar: Progress, total: int
) -> Iterator[tuple[int, TakeStep]]:
    for done, (lane, step) in enumerate(steps, start=1):
        bar.update(done, f"steps, t = {step.t}", total)
        yield lane, step


def _versus(run: Run, texts: Sequence[str]) -> dict[str, Any]:
    """What the second lane has instead, from texts such as "sampler=ddim"."""
    from engine.runs.checkpoint import find_checkpoint
    from engine.settings import parse_settings

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, given = (part.strip() for part in text.partition("="))
        if key == "checkpoint" and equals:
            found = find_checkpoint(run, given)
            passed_over.say(found.passed_over)
            values[key] = found.step
        else:
            values |= parse_settings([f"sampling.{text}"])["sampling"]
    return values
