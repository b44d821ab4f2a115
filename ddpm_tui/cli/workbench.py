"""The command without a verb, and the options that stand before one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ddpm_tui.choices import Color
from ddpm_tui.cli.opening import open_workbench
from ddpm_tui.cli.options import (
    ColorOption,
    DataDir,
    Device,
    LinkBudget,
    RunsDir,
    only_given,
    resolve_runs_dir,
)


def workbench(
    context: typer.Context,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    color: ColorOption = Color.auto,
    link_budget: LinkBudget = None,
    screenshot: Annotated[
        str | None,
        typer.Option(
            help="Write a picture of a view instead of opening it: runs, train, sample, forward, "
            "inspect.",
            metavar="VIEW",
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="--screenshot: columns and rows.")] = "120x40",
    out: Annotated[
        Path | None,
        typer.Option(
            help="--screenshot: the file, .svg or .png [default: VIEW.svg].", metavar="FILE"
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="--screenshot: the run to show [default: the newest].")
    ] = None,
    press: Annotated[
        str, typer.Option(help="--screenshot: keys to press first, as in d,space,home.")
    ] = "",
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Open the workbench."""
    if version:
        from engine.runs.folder import installed_version

        print(f"ddpm-tui {installed_version('ddpm-tui')}")
        return
    if screenshot is not None:
        from ddpm_tui.cli.screenshot import write_screenshot

        folder = resolve_runs_dir(runs_dir)
        write_screenshot(folder, data_dir, device, color, screenshot, size, out, run, press)
        return
    if context.invoked_subcommand is None:
        raise typer.Exit(
            open_workbench(runs_dir, data_dir, color, device=device, link_budget=link_budget)
        )
    # What stands before a verb holds for it too, unless it says otherwise itself.
    given = {
        "runs_dir": runs_dir,
        "data_dir": data_dir,
        "device": device,
        "color": color,
        "link_budget": link_budget,
    }
    context.default_map = _defaults(context.command, only_given(given))


def _defaults(command: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The defaults of a command's options, and of its own commands' in turn."""
    own = {name: _defaults(verb, given) for name, verb in getattr(command, "commands", {}).items()}
    return {**given, **own}
