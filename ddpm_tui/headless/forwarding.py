"""`ddpm-tui forward`: real images on their way into noise, and what a network sees through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_tui.headless import passed_over
from ddpm_tui.sanitize import clean, clean_lines

if TYPE_CHECKING:
    from engine.runs.folder import Run


def forward(
    dataset: str | None,
    beta_schedule: str,
    num_train_timesteps: int,
    num: int,
    seed: int,
    *,
    out: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Write the article's strip, and say where it is."""
    from engine.data import default_dataset
    from engine.data.dataset import load
    from engine.forward import ForwardProcess
    from engine.forward_files import write_forward
    from engine.runs import io
    from engine.runs.folder import prepare_output
    from engine.schedule import NoiseSchedule

    with io.advising("--out"):
        prepare_output(out)
    data = load(dataset or default_dataset(data_dir), data_dir=data_dir)
    schedule = NoiseSchedule.create(beta_schedule, num_train_timesteps)
    process = ForwardProcess.of(data, schedule, num, seed)
    png, gif = write_forward(process, out, f"forward-{data.name}-{beta_schedule}")
    if as_json:
        print(json.dumps({"png": str(png), "gif": str(gif), "dataset": data.name}))
        return
    print(clean(f"{data.name} ({data.origin}), {beta_schedule}, T = {num_train_timesteps}"))
    print(clean_lines(f"picture  {png}\ngif      {gif}"))


def look(
    run: Run,
    dataset: str | None,
    timestep: int | None,
    num: int,
    seed: int,
    *,
    which: str,
    out: Path,
    data_dir: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Write what a run's network makes of noised images, and say where it is.

    Raises:
        ConfigError: the run has no such timestep.
        DataError: the images are of another shape than those of the training.
    """
    from engine.data.dataset import load
    from engine.errors import ConfigError
    from engine.forward import ForwardProcess
    from engine.forward_files import write_denoised
    from engine.probe import Probe
    from engine.runs import io
    from engine.runs.folder import prepare_output
    from engine.sampling import load_trained

    with io.advising("--out"):
        prepare_output(out)
    trained = load_trained(run, which=which, device=device)
    passed_over.say(trained.passed_over)
    total = trained.schedule.num_train_timesteps
    t = total // 2 - 1 if timestep is None else timestep
    if t >= total:
        raise ConfigError(f"There is no timestep {t}", f"{run.name} has 0 to {total - 1}.")
    data = load(dataset or trained.config.data.dataset, data_dir=data_dir)
    process = ForwardProcess.of(data, trained.schedule.to("cpu"), num, seed)
    probe = Probe(trained, process, data.class_names)
    stem = f"forward-{run.name}-step{trained.step}-t{t}"
    png, gif = write_denoised(probe, t, data.name, out=out, stem=stem)
    seen = probe.at(t)
    errors = {
        "x0_error": float(seen.x0_error.mean()),
        "eps_error": float(seen.eps_error.mean()),
    }
    if as_json:
        facts = {"run": run.name, "step": trained.step, "t": t, "told_class": probe.told, **errors}
        print(json.dumps({**facts, "png": str(png), "gif": str(gif), "dataset": data.name}))
        return
    print(
        f"{run.name} at step {trained.step:,} on {data.name}, t = {t}: mean squared error of x_0 "
        f"{errors['x0_error']:.3g}, of the noise {errors['eps_error']:.3g}"
    )
    print(clean_lines(f"picture  {png}\ngif      {gif}"))
