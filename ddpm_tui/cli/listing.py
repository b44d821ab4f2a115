"""`runs`, `show` and `data`: what is there."""

from __future__ import annotations

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


def show(run: RunName, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Show a run: state, figures, files, config."""
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
