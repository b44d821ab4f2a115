"""The verbs. Heavy imports stay inside them: `--help`, `runs` and `export` start at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm_tui.choices import (
    BetaSchedule,
    Color,
    LrSchedule,
    Precision,
    Prediction,
    Sampler,
    Spacing,
    Variance,
)
from ddpm_tui.edit_cli import edit_app
from engine.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from engine.config import RunConfig
    from engine.runs.folder import Run

INTERRUPTED = 130

app = typer.Typer(
    name="ddpm-tui",
    help="Train, watch and steer denoising diffusion models (DDPM) in the terminal.\n\n"
    "Without a command it opens the workbench. `ddpm-tui COMMAND --help` explains a command.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="List the data sets on this machine and where they come from; `get` downloads one.",
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
app.add_typer(edit_app, name="edit")


RunsDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the runs [default: $DDPM_TUI_RUNS, else ./runs].", metavar="DIR"),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder to look for data sets in first.", metavar="DIR")
]
RunName = Annotated[
    str, typer.Argument(help="Name of a run, as `ddpm-tui runs` lists it.", metavar="RUN")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Checkpoint = Annotated[
    str, typer.Option(help="best (lowest held-out loss), last, or a step number.")
]
ColorOption = Annotated[
    Color, typer.Option(help="Colours of the workbench; auto asks the environment.")
]


def _runs_dir(given: Path | None) -> Path:
    from engine.runs.folder import default_runs_dir

    return given or default_runs_dir()


def _open(runs_dir: Path | None, name: str) -> Run:
    from engine.runs.folder import open_run

    return open_run(_runs_dir(runs_dir), name)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


@app.callback(invoke_without_command=True)
def workbench(
    context: typer.Context,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    color: ColorOption = Color.auto,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Open the workbench."""
    if version:
        from importlib.metadata import version as installed

        print(f"ddpm-tui {installed('ddpm-tui')}")
        return
    if context.invoked_subcommand is None:
        _open_workbench(_runs_dir(runs_dir), data_dir, color)


def _require_terminal() -> None:
    # Textual writes to standard error, so all three have to be the terminal.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise EngineError(
            "The workbench needs a terminal, and this is none",
            "For scripts there are commands: ddpm-tui --help lists them.",
        )


def _open_workbench(
    runs_dir: Path,
    data_dir: Path | None,
    color: Color,
    *,
    device: str = "auto",
    train: str | None = None,
) -> None:
    _require_terminal()
    from ddpm_tui import color as colors

    colors.apply(colors.detect(os.environ, color.value), os.environ)
    from ddpm_tui.app import Workbench

    Workbench(runs_dir, data_dir=data_dir, device=device, train=train).run()


@app.command()
def train(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="fashion-mnist, mnist or fashion-mnist-10k (built in) "
            "[default: fashion-mnist where it is found, else fashion-mnist-10k]."
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(help="default (a good U-Net, quick) or article (the article's recipe)."),
    ] = "default",
    model: Annotated[
        str | None, typer.Option(help="unet, dit or article [default: the preset's].")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.", min=1)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Length in passes over the data, instead of --steps.", min=1)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    lr_schedule: Annotated[LrSchedule | None, typer.Option(help="Learning rate over time.")] = None,
    class_conditional: Annotated[
        bool | None,
        typer.Option(
            "--class-conditional/--unconditional",
            help="Tell the network the classes, so that `sample --prompt` can ask for them.",
            show_default=False,
        ),
    ] = None,
    prediction_type: Annotated[
        Prediction | None,
        typer.Option(help="What the network predicts: the noise, the image or the velocity."),
    ] = None,
    beta_schedule: Annotated[
        BetaSchedule | None,
        typer.Option(help="Noise schedule; squaredcos_cap_v2 is the cosine schedule."),
    ] = None,
    num_train_timesteps: Annotated[
        int | None, typer.Option(help="T, the length of the forward process.", min=2)
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Numbers that the network works in.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, as in training.snr_gamma=5; may be repeated. "
            "`ddpm-tui config` lists them all.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random draw follows from it.", min=0)] = 0,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run [default: run1, run2, …].")
    ] = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="Open the workbench with this run going.")
    ] = False,
    color: ColorOption = Color.auto,
    as_json: Json = False,
) -> None:
    """Train a new run and keep it in its own folder.

    Prints the run's name first. Ctrl+C saves a checkpoint and stops; `ddpm-tui resume` goes on.
    """
    if tui:
        _require_terminal()
    overrides: dict[str, dict[str, Any]] = {
        "data": {"batch_size": batch_size},
        "diffusion": {
            "beta_schedule": beta_schedule and beta_schedule.value,
            "num_train_timesteps": num_train_timesteps,
            "prediction_type": prediction_type and prediction_type.value,
        },
        "model": {"name": model, "class_conditional": class_conditional},
        "training": {
            "steps": steps,
            "lr": lr,
            "lr_schedule": lr_schedule and lr_schedule.value,
            "precision": precision and precision.value,
        },
    }
    given = _merge(overrides, settings or [])
    if epochs is not None and "steps" in given["training"]:
        raise ConfigError("epochs and steps exclude each other", "Give one of them.")
    config = _config(preset, dataset, data_dir, epochs, seed, given)

    from engine.device import resolve_device
    from engine.runs.folder import create_run

    resolve_device(device)
    run = create_run(_runs_dir(runs_dir), config, name=name)
    if tui:
        _open_workbench(run.path.parent, data_dir, color, device=device, train=run.name)
        return
    _train(run, device, data_dir, as_json)


def _merge(options: dict[str, dict[str, Any]], settings: list[str]) -> dict[str, dict[str, Any]]:
    """The options that were given and the settings of --set, by table.

    Raises:
        ConfigError: a setting is unknown, or was given by its option too.
    """
    given = {
        table: {key: value for key, value in values.items() if value is not None}
        for table, values in options.items()
    }
    if settings:
        from engine.settings import parse_settings

        for table, values in parse_settings(settings).items():
            for key, value in values.items():
                if key in given.setdefault(table, {}):
                    raise ConfigError(
                        f"{table}.{key} is given by --set and by its own option",
                        "Give one of them.",
                    )
                given[table][key] = value
    return given


def _config(
    preset: str,
    dataset: str | None,
    data_dir: Path | None,
    epochs: int | None,
    seed: int,
    given: dict[str, dict[str, Any]],
) -> RunConfig:
    """The config that the options ask for; the data set is looked for before a run is made."""
    from engine.config import make_config
    from engine.data import default_dataset, find, sources
    from engine.data.verify import verify
    from engine.prompts import parse_prompt

    name = dataset or default_dataset(data_dir)
    source = sources.get(name)
    located = find(name, data_dir)
    given["data"]["dataset"] = name
    config = make_config(preset, dataset_size=source.train_count, epochs=epochs, seed=seed, **given)
    for prompt in (config.sampling.prompt, config.preview.prompt):
        if prompt:
            parse_prompt(prompt, source.class_names)
    # Half a second for the largest set, so that damaged data leaves no run folder behind.
    verify(source, located)
    return config


def _train(run: Run, device: str, data_dir: Path | None, as_json: bool) -> None:
    from ddpm_tui import headless

    finished = headless.train(run, device=device, data_dir=data_dir, as_json=as_json)
    if not finished:
        raise typer.Exit(INTERRUPTED)


@app.command()
def resume(
    run: RunName,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="Open the workbench with this run going.")
    ] = False,
    color: ColorOption = Color.auto,
    as_json: Json = False,
) -> None:
    """Go on with a run from its last checkpoint."""
    opened = _open(runs_dir, run)
    status = opened.status()
    if status.state == "finished":
        raise EngineError(
            f"{run} is finished: {status.step} of {status.total_steps} steps",
            f"Sample from it: ddpm-tui sample {run}",
        )
    if tui:
        _open_workbench(opened.path.parent, data_dir, color, device=device, train=run)
        return
    _train(opened, device, data_dir, as_json)


@app.command()
def sample(
    run: RunName,
    num: Annotated[int | None, typer.Option(help="Pictures [default: 16].", min=1)] = None,
    sampler: Annotated[
        Sampler | None, typer.Option(help="Update rule [default: the run's].")
    ] = None,
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
    eta: Annotated[
        float | None, typer.Option(help="ddim: 0 is deterministic, 1 as noisy as ddpm.")
    ] = None,
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
    seed: Annotated[int, typer.Option(help="Picture i depends on the seed and i alone.")] = 0,
    checkpoint: Checkpoint = "best",
    stretch: Annotated[
        bool,
        typer.Option(
            "--stretch",
            help="Stretch each picture to its own range, as the article shows them; "
            "it hides a wrong brightness.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder [default: the run's samples].", metavar="DIR")
    ] = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Draw pictures: a grid as PNG, the reverse process as GIF (100 frames, the last one held)."""
    from ddpm_tui import headless

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
    headless.sample(
        _open(runs_dir, run),
        {key: value for key, value in overrides.items() if value is not None},
        seed=seed,
        which=checkpoint,
        stretched=stretch,
        out=out,
        device=device,
        as_json=as_json,
    )


@app.command()
def evaluate(
    run: RunName,
    num: Annotated[
        int, typer.Option(help="Pictures to draw; figures of fewer do not compare.", min=1)
    ] = 10_000,
    sampler: Annotated[
        Sampler | None, typer.Option(help="Update rule [default: the run's].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps a picture [default: the run's].", min=1)
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="Classifier-free guidance [default: the run's].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Picture i depends on the seed and i alone.")] = 0,
    checkpoint: Checkpoint = "best",
    extractor: Annotated[
        Path | None,
        typer.Option(
            help="Weights of Inception v3 to compare by, with the extra `inception` "
            "[default: the data set's own classifier].",
            metavar="FILE",
        ),
    ] = None,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure the pictures of a run against real ones: every figure beside what real ones get.

    Fréchet and kernel distance, precision, recall, each class, brightness, contrast and detail,
    nearest training pictures. Kept in the run's `evaluations`.
    """
    from ddpm_tui import evaluating

    overrides = {
        "num": num,
        "sampler": sampler and sampler.value,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
    }
    evaluating.evaluate(
        _open(runs_dir, run),
        {key: value for key, value in overrides.items() if value is not None},
        seed=seed,
        which=checkpoint,
        inception=extractor,
        device=device,
        data_dir=data_dir,
        as_json=as_json,
    )


@app.command()
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
        _print_json({"png": str(png), "gif": str(gif), "dataset": data.name})
        return
    print(f"{data.name} ({data.origin}), {beta_schedule.value}, T = {num_train_timesteps}")
    print(f"picture  {png}\ngif      {gif}")


@app.command()
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

    opened = _open(runs_dir, run)
    found = find_checkpoint(opened, checkpoint)
    if drawn_samples(opened, found.step) is None:
        from ddpm_tui import headless

        print(f"{run} has no pictures from step {found.step} yet: drawing them", file=sys.stderr)
        headless.sample(opened, {}, which=str(found.step), quiet=True)
    folder = export_run(opened, found, out)
    if as_json:
        files = sorted(path.name for path in folder.iterdir())
        _print_json({"run": run, "folder": str(folder), "files": files})
        return
    print(folder)


@app.command()
def config(
    preset: Annotated[str, typer.Option(help="default or article.")] = "default",
) -> None:
    """Print every setting with its default and what it means, as a run's config.toml."""
    from engine.config import make_config, to_toml
    from engine.data import SOURCES, default_dataset

    name = default_dataset(None)
    size = SOURCES[name].train_count
    print(to_toml(make_config(preset, dataset_size=size, data={"dataset": name})), end="")


@app.command()
def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    from engine.runs.folder import list_runs, summary

    folder = _runs_dir(runs_dir)
    rows = [summary(run) for run in list_runs(folder)]
    if as_json:
        _print_json(rows)
        return
    if not rows:
        print(f"No runs in {folder} yet. Start one with `ddpm-tui train`, or open `ddpm-tui`.")
        return
    from ddpm_tui.report import runs_table

    print(runs_table(rows))


@app.command()
def show(run: RunName, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Show a run: status, figures, checkpoints, files and config."""
    from engine.runs.checkpoint import best_checkpoint, list_checkpoints
    from engine.runs.folder import summary

    opened = _open(runs_dir, run)
    checkpoints = list_checkpoints(opened)
    best = best_checkpoint(checkpoints)
    facts = summary(opened)
    facts["checkpoints"] = [checkpoint.step for checkpoint in checkpoints]
    facts["best_checkpoint"] = best.step if best else None
    facts["samples"] = sorted(str(path) for path in opened.samples_path.glob("*-step*.*"))
    facts["config"] = opened.config_values()
    if as_json:
        _print_json(facts)
        return
    from ddpm_tui.report import run_report

    print(run_report(facts))


@app.command()
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
    """Measure training and sampling on this machine, against the article's loops, in turn."""
    from ddpm_tui import benching

    benching.run(
        device=device,
        rounds=rounds,
        seconds=seconds,
        full=full,
        data_dir=data_dir,
        as_json=as_json,
    )


@data_app.callback(invoke_without_command=True)
def data(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets on this machine and where they come from."""
    if context.invoked_subcommand is not None:
        return
    from ddpm_tui.report import data_table
    from engine.data import available, default_dataset

    found = available(data_dir)
    if as_json:
        _print_json(
            [
                {
                    "name": entry.name,
                    "found": entry.found,
                    "origin": entry.origin,
                    "train": entry.train_count,
                    "test": entry.test_count,
                }
                for entry in found
            ]
        )
        return
    print(data_table(found, default_dataset(data_dir)))


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="fashion-mnist or mnist.", metavar="NAME")],
) -> None:
    """Download a data set into your cache; does nothing when it is here already."""
    from ddpm_tui import headless

    headless.download(name)


def main() -> None:
    """The `ddpm-tui` command: errors of the user as one sentence, never as a traceback."""
    # OpenMP's threads spin while they wait for each other, by default almost for ever. As soon as
    # anything else wants a core (the workbench, a second job) that makes training several times
    # slower; a short spin costs a lone training about two per cent. Read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        code = app(standalone_mode=False)
    except EngineError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `ddpm-tui runs | head`: the reader has gone. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.TyperException as error:
        _complain(f"{error.format_message()} `ddpm-tui --help` and `ddpm-tui COMMAND --help` help.")
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    from ddpm_tui.sanitize import clean

    print(f"ddpm-tui: {clean(message)}", file=sys.stderr)
