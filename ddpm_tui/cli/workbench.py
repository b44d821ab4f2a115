"""Opening the workbench: the command without a verb, and `--tui`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ddpm_tui.choices import Color
from ddpm_tui.cli.options import (
    ColorOption,
    DataDir,
    Device,
    LinkBudget,
    RunsDir,
    only_given,
    resolve_runs_dir,
)
from engine.errors import EngineError


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
        from importlib.metadata import version as installed

        print(f"ddpm-tui {installed('ddpm-tui')}")
        return
    if screenshot is not None:
        from ddpm_tui.cli.screenshot import write_screenshot

        folder = resolve_runs_dir(runs_dir)
        write_screenshot(folder, data_dir, device, color, screenshot, size, out, run, press)
        return
    if context.invoked_subcommand is None:
        open_workbench(
            resolve_runs_dir(runs_dir), data_dir, color, device=device, link_budget=link_budget
        )
        return
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


def require_terminal() -> None:
    # Textual writes to standard error, so all three have to be the terminal.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise EngineError(
            "The workbench needs a terminal, and this is none",
            "For scripts there are commands: ddpm-tui --help lists them.",
        )


def open_workbench(
    runs_dir: Path,
    data_dir: Path | None,
    color: Color,
    *,
    device: str = "auto",
    train: str | None = None,
    link_budget: float | None = None,
) -> None:
    require_terminal()
    from ddpm_tui import color as colors

    colors.apply(colors.detect(os.environ, color.value), os.environ)
    from ddpm_tui import preferences

    own = preferences.load()
    if link_budget is not None:
        own = replace(own, link_budget=link_budget)
    from ddpm_tui.app import Workbench
    from ddpm_tui.terminal import kitty
    from ddpm_tui.terminal.hangup import watched

    app = Workbench(runs_dir, data_dir=data_dir, device=device, train=train, preferences=own)
    kitty.listen()
    with watched(app.leave_terminal, app.save_training):
        app.run()
