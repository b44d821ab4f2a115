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
from ddpm_tui.sanitize import clean
from engine.errors import ConfigError


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
    first 256 and one .npy holds them all, with their labels beside it; what is drawn is kept
    after a kill, and the same command goes on.
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
    dataset: Annotated[
        str | None, typer.Option(help="Data set [default: as for train, or the run's].")
    ] = None,
    beta_schedule: Annotated[
        BetaSchedule | None,
        typer.Option(
            help="Noise schedule; squaredcos_cap_v2 is cosine [default: squaredcos_cap_v2].",
            show_default=False,
        ),
    ] = None,
    num_train_timesteps: Annotated[
        int | None,
        typer.Option(help="T, the length of the process [default: 1000].", min=2, max=10_000),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="A run: what its network makes of the images at --timestep.", metavar="RUN"
        ),
    ] = None,
    timestep: Annotated[
        int | None, typer.Option(help="With --run, t of the picture [default: T/2 − 1].", min=0)
    ] = None,
    checkpoint: Checkpoint = "best",
    num: Annotated[int, typer.Option(help="Pictures.", min=1, max=1000)] = 10,
    seed: Annotated[int, typer.Option(help="Decides the noise.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder.", metavar="DIR")] = Path(),
    data_dir: DataDir = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Show real images turning into noise.

    The forward process: what is left of held-out images at 25, 50, 75 and 100 % of the timesteps.
    With --run: x_0, x_t, the predicted x_0 and its error, a row each, and all t as GIF.
    """
    from ddpm_tui.headless import forwarding

    if run is None:
        forwarding.forward(
            dataset,
            (beta_schedule or BetaSchedule.squaredcos_cap_v2).value,
            num_train_timesteps or 1000,
            num,
            seed,
            out=out,
            data_dir=data_dir,
            as_json=as_json,
        )
        return
    if beta_schedule is not None or num_train_timesteps is not None:
        raise ConfigError(
            "The network only knows the noise schedule that it was trained with",
            "Leave out --beta-schedule and --num-train-timesteps, or --run.",
        )
    forwarding.look(
        open_named(runs_dir, run),
        dataset,
        timestep,
        num,
        seed,
        which=checkpoint,
        out=out,
        data_dir=data_dir,
        device=device,
        as_json=as_json,
    )


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
    from ddpm_tui.headless import passed_over
    from engine.export import drawn_samples, export_run
    from engine.runs import io
    from engine.runs.checkpoint import find_checkpoint
    from engine.runs.folder import prepare_output

    opened = open_named(runs_dir, run)
    found = find_checkpoint(opened, checkpoint)
    passed_over.say(found.passed_over)
    with io.advising("--out"):
        if out is None:
            opened.check_output("exports", None)
        else:  # made beside it
            prepare_output(out.absolute().parent)
    if drawn_samples(opened, found.step) is None:
        from ddpm_tui.headless import drawing

        print(f"{run} has no pictures from step {found.step} yet: drawing them", file=sys.stderr)
        drawing.sample(opened, {}, which=str(found.step), quiet=True)
    with io.advising("--out"):
        folder = export_run(opened, found, out)
    if as_json:
        files = sorted(path.name for path in folder.iterdir())
        print_json({"run": run, "folder": str(folder), "files": files})
        return
    print(clean(str(folder)))
