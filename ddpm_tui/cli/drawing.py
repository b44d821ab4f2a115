"""`sample`, `forward` and `export`: what leaves pictures behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ddpm_tui.choices import BetaSchedule, Spacing, Variance
from ddpm_tui.cli.options import (
    Checkpoint,
    DataDir,
    Device,
    Eta,
    Json,
    PictureSeed,
    RunName,
    RunsDir,
    SamplerName,
    SamplesDir,
    only_given,
    open_named,
    print_json,
)


def sample(
    run: RunName,
    num: Annotated[int | None, typer.Option(help="Pictures [default: 16].", min=1)] = None,
    sampler: SamplerName = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Timesteps visited, each a network call, with heun two [default: the run's].",
            min=1,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help='Classes by name, alone or mixed, as in "0.6 dress + 0.4 coat" '
            "[default: each in turn]. For class-conditional runs."
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="1 is the class alone, above 1 exaggerates it, 0 ignores it."),
    ] = None,
    variance: Annotated[
        Variance | None,
        typer.Option(help="ddpm: σ² = β_t (fixed_large) or β̃_t (fixed_small)."),
    ] = None,
    eta: Eta = None,
    timestep_spacing: Annotated[
        Spacing | None, typer.Option(help="Which timesteps, where fewer than all are visited.")
    ] = None,
    clip: Annotated[
        bool | None,
        typer.Option(
            "--clip/--no-clip", help="Keep the predicted x_0 within [−1, 1].", show_default=False
        ),
    ] = None,
    thresholding: Annotated[
        bool | None,
        typer.Option(
            "--thresholding/--no-thresholding",
            help="Scale a predicted x_0 that is out of range instead; for high guidance.",
            show_default=False,
        ),
    ] = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    stretch: Annotated[
        bool,
        typer.Option(
            "--stretch",
            help="Stretch each picture to its own range, as the article shows them; "
            "it hides a wrong brightness.",
        ),
    ] = False,
    out: SamplesDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Draw pictures: a grid as PNG, the reverse process as GIF (100 frames, the last one held)."""
    from ddpm_tui.headless import drawing

    overrides = {
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
    drawing.sample(
        open_named(runs_dir, run),
        only_given(overrides),
        seed=seed,
        which=checkpoint,
        stretched=stretch,
        out=out,
        device=device,
        as_json=as_json,
    )


def forward(
    dataset: Annotated[str | None, typer.Option(help="Data set [default: as for train].")] = None,
    beta_schedule: Annotated[
        BetaSchedule, typer.Option(help="Noise schedule; squaredcos_cap_v2 is the cosine schedule.")
    ] = BetaSchedule.linear,
    num_train_timesteps: Annotated[
        int, typer.Option(help="T, the length of the process.", min=2, max=10_000)
    ] = 1000,
    num: Annotated[int, typer.Option(help="Pictures.", min=1, max=1000)] = 10,
    seed: Annotated[int, typer.Option(help="Decides the noise.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder.", metavar="DIR")] = Path(),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the forward process: real images and what is left of them at 25, 50, 75 and 100 %."""
    from engine.data import default_dataset
    from engine.data.dataset import load
    from engine.forward import ForwardProcess, write_forward
    from engine.schedule import NoiseSchedule

    data = load(dataset or default_dataset(data_dir), data_dir=data_dir)
    schedule = NoiseSchedule.create(beta_schedule.value, num_train_timesteps)
    process = ForwardProcess.of(data, schedule, num, seed)
    png, gif = write_forward(process, out, f"forward-{data.name}-{beta_schedule.value}")
    if as_json:
        print_json({"png": str(png), "gif": str(gif), "dataset": data.name})
        return
    print(f"{data.name} ({data.origin}), {beta_schedule.value}, T = {num_train_timesteps}")
    print(f"picture  {png}\ngif      {gif}")


def export(
    run: RunName,
    out: Annotated[
        Path | None, typer.Option(help="Folder [default: in the run's exports].", metavar="DIR")
    ] = None,
    checkpoint: Checkpoint = "best",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Make a folder to hand on: pictures, GIF, loss plot, weights, config and a README."""
    from engine.export import drawn_samples, export_run
    from engine.runs.checkpoint import find_checkpoint

    opened = open_named(runs_dir, run)
    found = find_checkpoint(opened, checkpoint)
    if drawn_samples(opened, found.step) is None:
        from ddpm_tui.headless import drawing

        print(f"{run} has no pictures from step {found.step} yet: drawing them", file=sys.stderr)
        drawing.sample(opened, {}, which=str(found.step), quiet=True)
    folder = export_run(opened, found, out)
    if as_json:
        files = sorted(path.name for path in folder.iterdir())
        print_json({"run": run, "folder": str(folder), "files": files})
        return
    print(folder)
