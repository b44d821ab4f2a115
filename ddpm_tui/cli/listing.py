"""`runs`, `show` and `data`: what is there."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer

from ddpm_tui.choices import Sort
from ddpm_tui.cli.options import (
    DataDir,
    Json,
    RunName,
    RunsDir,
    open_named,
    print_json,
    resolve_runs_dir,
)
from ddpm_tui.sanitize import clean

_NARROWEST, _WIDEST, _PLOT_HEIGHT = 20, 100, 16  # of the plot, in cells

data_app = typer.Typer(
    help="List the data sets; `get` downloads one.",
    rich_markup_mode=None,
)


def runs(
    runs_dir: RunsDir = None,
    wanted: Annotated[
        str,
        typer.Option(
            "--filter",
            help="Only those that match: regular expressions for name, tags and notes, and "
            "key:value such as state:finished tag:base loss:<0.05 age:<2d; - before one negates.",
            metavar="WORDS",
        ),
    ] = "",
    sort: Annotated[Sort, typer.Option(help="What they are listed by.")] = Sort.created,
    archived: Annotated[bool, typer.Option("--archived", help="List the archived as well.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    from engine.runs.filter import parse_filter
    from engine.runs.index import RunIndex
    from engine.runs.order import sorted_rows

    folder = resolve_runs_dir(runs_dir)
    every = RunIndex(folder).rows()
    kept = [row for row in every if archived or not row.get("archived")]
    rows = sorted_rows(filter(parse_filter(wanted).matches, kept), sort.value)
    if as_json:
        print_json(rows)
        return
    if not every:
        told = f"No runs in {folder} yet. Start one with `ddpm-tui train`, or open `ddpm-tui`."
        print(clean(told))
        return
    from ddpm_tui.report import runs_table

    if rows:
        print(runs_table(rows))
    elif kept:
        print("No run matches.")
    if len(kept) < len(every):
        print(f"{len(every) - len(kept):,} archived; --archived lists them too.", file=sys.stderr)


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
    from engine.runs.summary import summary

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
