"""Options and arguments that several commands share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm_tui.choices import Color, Sampler

if TYPE_CHECKING:
    from engine.runs.folder import Run

# The exit code of what Ctrl+C ended, as shells have it.
INTERRUPTED = 130

RunName = Annotated[
    str, typer.Argument(help="Name of a run, as `ddpm-tui runs` lists it.", metavar="RUN")
]
RunsDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the runs [default: $DDPM_TUI_RUNS, else ./runs].", metavar="DIR"),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder to look for data sets in first.", metavar="DIR")
]
SamplesDir = Annotated[
    Path | None, typer.Option(help="Folder [default: the run's samples].", metavar="DIR")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Checkpoint = Annotated[
    str, typer.Option(help="best (lowest held-out loss), last, or a step number.")
]
ColorOption = Annotated[
    Color, typer.Option(help="Colours of the workbench; auto asks the environment.")
]
OpenWorkbench = Annotated[
    bool, typer.Option("--tui", help="Open the workbench with this run going.")
]
PictureSeed = Annotated[int, typer.Option(help="Picture i depends on the seed and i alone.")]
SamplerName = Annotated[Sampler | None, typer.Option(help="Update rule [default: the run's].")]
Eta = Annotated[float | None, typer.Option(help="ddim: 0 is deterministic, 1 as noisy as ddpm.")]


def resolve_runs_dir(given: Path | None) -> Path:
    """The folder of the runs: as given, or where the environment says."""
    from engine.runs.folder import default_runs_dir

    return given or default_runs_dir()


def open_named(runs_dir: Path | None, name: str) -> Run:
    """The run of that name.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    from engine.runs.folder import open_run

    return open_run(resolve_runs_dir(runs_dir), name)


def only_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given; what is None stays as the run has it."""
    return {key: value for key, value in options.items() if value is not None}


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
