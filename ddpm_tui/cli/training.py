"""`train`, `resume` and `config`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm_tui.choices import BetaSchedule, Color, LrSchedule, Precision, Prediction
from ddpm_tui.cli.opening import open_workbench, require_terminal
from ddpm_tui.cli.options import (
    ColorOption,
    DataDir,
    Detach,
    Device,
    Json,
    LinkBudget,
    OpenWorkbench,
    Quiet,
    RunName,
    RunsDir,
    merge_settings,
    open_named,
    print_json,
    resolve_runs_dir,
)
from ddpm_tui.streams import keep_exit_code
from engine.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from engine.config import RunConfig
    from engine.runs.folder import Run


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
    batch_size: Annotated[int | None, typer.Option(help="Batch size.", min=1)] = None,
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
        Precision | None, typer.Option(help="Arithmetic precision of the network.")
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
    tui: OpenWorkbench = False,
    detach: Detach = False,
    color: ColorOption = Color.auto,
    link_budget: LinkBudget = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a new run and keep it in its own folder.

    Prints the run's name first. Ctrl+C, `ddpm-tui stop`, SIGTERM and SIGUSR1 save a checkpoint and
    stop; `ddpm-tui resume` goes on. The exit code is 130, after one of the two signals 75.
    """
    how = _How(
        device=device,
        data_dir=data_dir,
        tui=tui,
        detach=detach,
        color=color,
        link_budget=link_budget,
        quiet=quiet,
        as_json=as_json,
    )
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
    given = merge_settings(overrides, settings)
    if epochs is not None and "steps" in given["training"]:
        raise ConfigError("--epochs and --steps exclude each other", "Give one of them.")
    config = _config(preset, dataset, data_dir, epochs, seed, given)

    from engine.device import resolve_device
    from engine.runs.folder import create_run

    resolve_device(device)
    run = create_run(resolve_runs_dir(runs_dir), config, name=name)
    raise typer.Exit(how.begin(run))


def resume(
    run: RunName,
    device: Device = "auto",
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    tui: OpenWorkbench = False,
    detach: Detach = False,
    color: ColorOption = Color.auto,
    link_budget: LinkBudget = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with a run from its last checkpoint."""
    how = _How(
        device=device,
        data_dir=data_dir,
        tui=tui,
        detach=detach,
        color=color,
        link_budget=link_budget,
        quiet=quiet,
        as_json=as_json,
    )
    opened = open_named(runs_dir, run)
    status = opened.status()
    if status.state == "finished":
        raise EngineError(
            f"{run} is finished: {status.step} of {status.total_steps} steps",
            f"Sample from it: ddpm-tui sample {run}. To train longer, start anew with --steps.",
        )
    raise typer.Exit(how.begin(opened))


def watch(
    run: RunName,
    runs_dir: RunsDir = None,
    color: ColorOption = Color.auto,
    link_budget: LinkBudget = None,
) -> None:
    """Look at a run live, wherever it is trained; no key changes anything."""
    opened = open_named(runs_dir, run)
    code = open_workbench(opened.path.parent, None, color, watch=run, link_budget=link_budget)
    raise typer.Exit(code)


def stop(
    run: RunName,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait until it has stopped.", min=0.0)
    ] = 60.0,
    runs_dir: RunsDir = None,
) -> None:
    """Have a run that is trained anywhere save a checkpoint and stop."""
    from ddpm_tui.headless import stopping

    stopping.stop(open_named(runs_dir, run), wait)


def config(
    preset: Annotated[str, typer.Option(help="default or article.")] = "default",
) -> None:
    """Print every setting, its default and its meaning.

    As a run's config.toml; `train --set KEY=VALUE` takes any of them.
    """
    from engine.config import make_config, to_toml
    from engine.data import SOURCES, default_dataset

    name = default_dataset(None)
    size = SOURCES[name].train_count
    print(to_toml(make_config(preset, dataset_size=size, data={"dataset": name})), end="")


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


@dataclass(frozen=True, kw_only=True)
class _How:
    """How a run is trained: on what, where, and what is said of it. The options of that name.

    Raises:
        ConfigError: `--tui` and `--detach`.
        EngineError: there is no terminal for the workbench.
    """

    device: str
    data_dir: Path | None
    tui: bool
    detach: bool
    color: Color
    link_budget: float | None
    quiet: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.tui and self.detach:
            raise ConfigError("--tui and --detach exclude each other", "Give one of them.")
        if self.tui:
            require_terminal()

    def begin(self, run: Run) -> int:
        """Train a run in the workbench, in a process of its own, or here; the exit code."""
        keep_exit_code()  # the result is the run
        if self.tui:
            return open_workbench(
                run.path.parent,
                self.data_dir,
                self.color,
                device=self.device,
                train=run.name,
                link_budget=self.link_budget,
            )
        if self.detach:
            return self._detach(run)
        from ddpm_tui.headless import training

        return training.train(
            run,
            device=self.device,
            data_dir=self.data_dir,
            as_json=self.as_json,
            quiet=self.quiet,
        )

    def _detach(self, run: Run) -> int:
        from ddpm_tui.headless import detaching

        pid = detaching.detach(run, device=self.device, data_dir=self.data_dir)
        if self.as_json:
            print_json({"event": "detached", "name": run.name, "pid": pid})
        else:
            print(run.name)
        if not (self.as_json or self.quiet):
            print(detaching.told(run, pid), file=sys.stderr)
        return 0
