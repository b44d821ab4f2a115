"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm_tui.choices import Color, Sampler, Spacing, Variance
from ddpm_tui.sanitize import json_text
from ddpm_tui.terminal.budget import parse_budget
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.runs.folder import Run

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
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Checkpoint = Annotated[
    str, typer.Option(help="best (lowest held-out loss), last, or a step number.")
]
ColorOption = Annotated[
    Color, typer.Option(help="Colours of the workbench; auto asks the environment.")
]
LinkBudget = Annotated[
    float | None,
    typer.Option(
        parser=parse_budget,
        help="The most that the workbench sends over the link, as in 100k for 100 kB/s "
        "[default: the settings', else 300k].",
        metavar="RATE",
    ),
]
OpenWorkbench = Annotated[
    bool, typer.Option("--tui", help="Open the workbench with this run going.")
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Train in a process of its own, which outlives this terminal; wait only "
        "until it trains.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Say nothing but the run's name, and what goes wrong.")
]
PictureSeed = Annotated[int, typer.Option(help="Picture i depends on the seed and i alone.", min=0)]
SamplerName = Annotated[Sampler | None, typer.Option(help="Sampler [default: the run's].")]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Sampling steps, each a network call, with heun two [default: the run's].", min=1
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        help='Classes by name, alone or mixed, as in "0.6 dress + 0.4 coat", '
        "for class-conditional runs [default: each in turn]."
    ),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        help="Classifier-free guidance: 0 ignores the class, 1 is plain conditional sampling, "
        "above 1 exaggerates the class [default: the run's]."
    ),
]
SamplingSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other setting of how pictures are drawn, as in "
        "sampling.timestep_spacing=leading; may be repeated. `ddpm-tui config` lists them.",
        metavar="KEY=VALUE",
    ),
]
VarianceType = Annotated[
    Variance | None, typer.Option(help="ddpm: σ² = β_t (fixed_large) or β̃_t (fixed_small).")
]
TimestepSpacing = Annotated[
    Spacing | None, typer.Option(help="Which timesteps, where steps are fewer than T.")
]
Clip = Annotated[
    bool | None,
    typer.Option(
        "--clip/--no-clip", help="Keep the predicted x_0 within [−1, 1].", show_default=False
    ),
]
Thresholding = Annotated[
    bool | None,
    typer.Option(
        "--thresholding/--no-thresholding",
        help="Scale a predicted x_0 that is out of range instead; for high guidance.",
        show_default=False,
    ),
]
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


def merge_settings(
    options: Mapping[str, Mapping[str, Any]], settings: list[str] | None
) -> dict[str, dict[str, Any]]:
    """The options that were given and the settings of --set, by table.

    Raises:
        ConfigError: a setting is unknown, or was given by its option too.
    """
    given = {table: only_given(values) for table, values in options.items()}
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


def sampling_overrides(options: Mapping[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """The fields of the run's `[sampling]` table that options and --set replace.

    Raises:
        ConfigError: a setting is of another table, unknown, or was given by its option too.
    """
    merged = merge_settings({"sampling": options}, settings)
    given = merged.pop("sampling")
    for table, values in merged.items():
        raise ConfigError(
            f"{table}.{next(iter(values))} was settled when the run was trained",
            "Here --set takes settings of the table sampling.",
        )
    return given


def print_json(value: Any) -> None:
    print(json_text(value))
