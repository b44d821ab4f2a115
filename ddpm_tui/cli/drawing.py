"""`sample`, `forward` and `export`: what leaves pictures behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ddpm_tui.choices import BetaSchedule
from ddpm_tui.cli.options import (
    Checkpoint,
    Clip,
    DataDir,
    Device,
    Eta,
    GuidanceScale,
    Json,
    PictureSeed,
    Prompt,
    RunName,
    RunsDir,
    SamplerName,
    SamplesDir,
    SamplingSettings,
    Steps,
    Thresholding,
    TimestepSpacing,
    VarianceType,
    open_named,
    print_json,
    sampling_overrides,
)


def sample(
    run: RunName,
    num: Annotated[int | None, typer.Option(help="Pictures [default: 16].", min=1)] = None,
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
    """Draw pictures: a PNG grid and a GIF of the reverse process.

    The GIF has at most 100 frames, the last one held. Above 256 pictures, grid and GIF show the
    first 256 and one .npy holds them all.
    """
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
        sampling_overrides(overrides, settings),
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
    ] = BetaSchedule.squaredcos_cap_v2,
    num_train_timesteps: Annotated[
        int, typer.Option(help="T, the length of the process.", min=2, max=10_000)
    ] = 1000,
    num: Annotated[int, typer.Option(help="Pictures.", min=1, max=1000)] = 10,
    seed: Annotated[int, typer.Option(help="Decides the noise.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder.", metavar="DIR")] = Path(),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show real images turning into noise.

    The forward process: what is left of them at 25, 50, 75 and 100 % of the timesteps.
    """
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
    """Make a folder to hand on.

    Pictures, GIF, loss plot, weights, config and a README.
    """
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
