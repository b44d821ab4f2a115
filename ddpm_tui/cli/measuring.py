"""`evaluate` and `bench`: figures of a run, and of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddpm_tui.cli.options import (
    Checkpoint,
    DataDir,
    Device,
    GuidanceScale,
    Json,
    PictureSeed,
    RunName,
    RunsDir,
    SamplerName,
    SamplingSettings,
    Steps,
    open_named,
    sampling_overrides,
)


def evaluate(
    run: RunName,
    num: Annotated[
        int, typer.Option(help="Pictures to draw; figures of fewer do not compare.", min=1)
    ] = 10_000,
    sampler: SamplerName = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    settings: SamplingSettings = None,
    seed: PictureSeed = 0,
    checkpoint: Checkpoint = "best",
    extractor: Annotated[
        Path | None,
        typer.Option(
            help="Weights of Inception v3 to compare by; needs the package torch-fidelity "
            "[default: the data set's own classifier].",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder [default: the run's evaluations].", metavar="DIR")
    ] = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure a run's pictures against real ones.

    Every figure stands beside what real pictures get: Fréchet and kernel distance, precision,
    recall, each class, brightness, contrast and detail, nearest training pictures. All classes in
    turn, whatever the run's own prompt. Kept in the run's `evaluations`.
    """
    from ddpm_tui.headless import evaluating

    overrides = {
        "num": num,
        "sampler": sampler and sampler.value,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
    }
    evaluating.evaluate(
        open_named(runs_dir, run),
        sampling_overrides(overrides, settings),
        seed=seed,
        which=checkpoint,
        inception=extractor,
        out=out,
        device=device,
        data_dir=data_dir,
        as_json=as_json,
    )


def bench(
    rounds: Annotated[
        int, typer.Option(help="How often each measurement is taken, all in turn.", min=1, max=100)
    ] = 5,
    seconds: Annotated[
        float, typer.Option(help="About how long each measurement takes.", min=0.01, max=600)
    ] = 2.0,
    full: Annotated[
        bool,
        typer.Option("--full", help="Time all steps of the samplers: minutes a round on a CPU."),
    ] = False,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure this machine's speed against the article's loops.

    Training and sampling, theirs and ours in turn, and where the time of a step goes.
    """
    from ddpm_tui.headless import benching

    benching.run(
        device=device,
        rounds=rounds,
        seconds=seconds,
        full=full,
        data_dir=data_dir,
        as_json=as_json,
    )
