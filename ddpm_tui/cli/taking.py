"""`ddpm-tui take`: perform again what was done on the screen. Heavy imports stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddpm_tui.cli.options import (
    Clip,
    DataDir,
    Device,
    Eta,
    GuidanceScale,
    Json,
    Prompt,
    RunsDir,
    SamplerName,
    SamplesDir,
    SamplingSettings,
    Steps,
    Thresholding,
    TimestepSpacing,
    VarianceType,
    only_given,
    open_named,
    resolve_runs_dir,
    sampling_overrides,
)
from engine.errors import ConfigError


def take(
    run: Annotated[
        str | None,
        typer.Argument(help="Name of a run; with --recipe, another than its own.", metavar="RUN"),
    ] = None,
    turn: Annotated[
        list[str] | None,
        typer.Option(
            help="What is done on the way, after so many steps; in their order. As in "
            "'12 ask prompt=Bag guidance_scale=3', '12 renoise t=700', "
            "'12 branch picture=3 copies=6' or '30 inpaint picture=0 mask=FILE copies=4'.",
            metavar="TURN",
        ),
    ] = None,
    versus: Annotated[
        list[str] | None,
        typer.Option(
            help="What a second lane from the same noise has instead: checkpoint=400, or a "
            "setting of the table sampling, as in sampler=ddim; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Start from held-out pictures, data:12 or data:12,15, or from picture 3 of a "
            "grid, FILE:3 [default: noise].",
            metavar="ORIGIN",
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="With --from: 0 keeps the picture, 1 starts from pure noise [default: 0.4].",
            min=0,
            max=1,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A saved take, .recipe.json or its .png, instead of all that says what to do.",
            metavar="FILE",
        ),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option(help="Pictures, with --from results of each [default: the run's].", min=1),
    ] = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    prompt: Prompt = None,
    guidance_scale: GuidanceScale = None,
    variance: VarianceType = None,
    eta: Eta = None,
    timestep_spacing: TimestepSpacing = None,
    clip: Clip = None,
    thresholding: Thresholding = None,
    settings: SamplingSettings = None,
    seed: Annotated[int | None, typer.Option(help="Decides all noise [default: 0].", min=0)] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="best, last, or a step number [default: best].")
    ] = None,
    trajectory: Annotated[
        bool,
        typer.Option("--trajectory", help="Keep x_t, x_0 and eps of every step too, as .npz."),
    ] = False,
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Perform a take: draw pictures and steer them on the way.

    The workbench's Sample view shows the command that reproduces what is on its screen; this is
    it, to the bit. Writes a PNG, a GIF and the recipe.
    """
    options = {
        "num": num,
        "sampler": sampler and sampler.value,
        "num_inference_steps": steps,
        "variance_type": variance and variance.value,
        "eta": eta,
        "timestep_spacing": timestep_spacing and timestep_spacing.value,
        "clip_sample": clip,
        "thresholding": thresholding,
        "prompt": prompt,
        "guidance_scale": guidance_scale,
    }
    how = {"origin": origin, "strength": strength, "seed": seed, "which": checkpoint}
    overrides, given = sampling_overrides(options, settings), only_given(how)

    from ddpm_tui.headless import taking

    if recipe:
        if overrides or given or turn or versus:
            raise ConfigError(
                "--recipe says all that there is to decide",
                "Leave out what changes it, or leave out --recipe.",
            )
        opened, wanted = taking.saved(recipe, resolve_runs_dir(runs_dir), run)
    elif run is None:
        raise ConfigError("the run is missing", "Give its name, as `ddpm-tui runs` lists it.")
    else:
        opened = open_named(runs_dir, run)
        wanted = taking.recipe_of(opened, overrides, turn or (), versus or (), **given)
    taking.take(
        opened,
        wanted,
        trajectory=trajectory,
        out=out,
        device=device,
        data_dir=data_dir,
        as_json=as_json,
    )
