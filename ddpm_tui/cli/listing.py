"""`runs`, `show` and `data`: what is there."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer

from ddpm_tui.cli.options import (
    DataDir,
    Json,
    RunName,
    RunsDir,
    open_named,
    print_json,
    resolve_runs_dir,
)

_NARROWEST, _WIDEST, _PLOT_HEIGHT = 20, 100, 16  # of the plot, in cells

data_app = typer.Typer(
    help="List the data sets; `get` downloads one.",
    rich_markup_mode=None,
)


def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    from engine.runs.folder import list_runs, summary

    folder = resolve_runs_dir(runs_dir)
    rows = [summary(run) for run in list_runs(folder)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print(f"No runs in {folder} yet. Start one with `ddpm-tui train`, or open `ddpm-tui`.")
        return
    from ddpm_tui.report import runs_table

    print(runs_table(rows))


def show(
    run: RunName,
    runs_dir: RunsDir = None,
    plot: Annotated[
        bool | None,
        typer.Option(
            "--plot/--no-plot",
            help="Plot the loss below [default: on a terminal].",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a run: state, figures, files, config, loss."""
    from engine.runs.checkpoint import best_checkpoint, list_checkpoints
    from engine.runs.folder import summary

    opened = open_named(runs_dir, run)
    checkpoints = list_checkpoints(opened)
    best = best_checkpoint(checkpoints)
    facts = summary(opened)
    facts["checkpoints"] = [checkpoint.step for checkpoint in checkpoints]
    facts["best_checkpoint"] = best.step if best else None
    facts["samples"] = sorted(str(path) for path in opened.samples_path.glob("*-step*.*"))
    facts["config"] = opened.config_values()
    if as_json:
        print_json(facts)
        return
    from ddpm_tui.report import run_report

    print(run_report(facts))
    if plot is None:
        plot = sys.stdout.isatty()
    if plot:
        from ddpm_tui.color import ColorMode, detect
        from ddpm_tui.headless.plotting import loss_plot

        width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
        color = sys.stdout.isatty() and detect(os.environ) is not ColorMode.NONE
        print(f"\n{loss_plot(opened.metrics_path, width, _PLOT_HEIGHT, color=color)}")


@data_app.callback(invoke_without_command=True)
def data(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets on this machine and where they come from."""
    if context.invoked_subcommand is not None:
        return
    from ddpm_tui.report import data_table
    from engine.data import available, default_dataset

    found = available(data_dir)
    if as_json:
        print_json(
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
    from ddpm_tui.headless.downloading import download

    download(name)
