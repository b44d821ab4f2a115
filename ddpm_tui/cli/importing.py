"""`import`: weights that another program saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddpm_tui.cli.options import Json, RunsDir, print_json, resolve_runs_dir
from ddpm_tui.sanitize import clean


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(help="What torch.save(ddpm.state_dict(), FILE) wrote.", metavar="FILE"),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the run [default: run1, run2, …].")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="What it was trained on, fashion-mnist or mnist.")
    ] = "fashion-mnist",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Make a run of the weights that the article's training saved.

    Nothing in the file is run, and nothing but the article's network is taken.
    """
    from engine.importing import import_article

    run = import_article(file, resolve_runs_dir(runs_dir), name=name, dataset=dataset)
    if as_json:
        print_json({"name": run.name, "path": str(run.path), "preset": "article"})
        return
    print(clean(f"{run.name} has the article's network of {file}"))
    print(f"next: ddpm-tui sample {run.name}")
