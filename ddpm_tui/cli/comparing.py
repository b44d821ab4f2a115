"""`compare`: runs beside one another."""

from __future__ import annotations

from typing import Annotated

import typer

from ddpm_tui.cli.options import Json, RunsDir, open_named, print_json


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="Names of runs, as `ddpm-tui runs` lists them.", metavar="RUN..."),
    ],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Set runs beside one another: their figures, and what differs in their configs.

    Losses and evaluations are ranked only where they compare. The workbench also shows the curves
    and the pictures: key c in the list of runs.
    """
    from engine.compare.standing import compare as compare_standings
    from engine.compare.standing import facts, read_standing

    opened = [open_named(runs_dir, name) for name in dict.fromkeys(runs)]
    found = compare_standings([read_standing(run) for run in opened])
    if as_json:
        print_json(facts(found))
        return
    from ddpm_tui.comparing import comparison_text

    print(comparison_text(found))
