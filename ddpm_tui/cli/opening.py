"""Opening the workbench. Without typer: who gives no arguments does not wait for it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from ddpm_tui.choices import Color
from engine.errors import EngineError
from engine.runs.folder import default_runs_dir


def require_terminal() -> None:
    # Textual writes to standard error, so all three have to be the terminal.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise EngineError(
            "The workbench needs a terminal, and this is none",
            "For scripts there are commands: ddpm-tui --help lists them.",
        )


def open_workbench(
    runs_dir: Path | None = None,
    data_dir: Path | None = None,
    color: Color = Color.auto,
    *,
    device: str = "auto",
    train: str | None = None,
    watch: str | None = None,
    link_budget: float | None = None,
) -> int:
    """Open the workbench, with a run to train or only to watch.

    A training that goes on after it is waited for.

    Returns:
        The exit code.
    """
    require_terminal()
    from ddpm_tui import color as colors

    colors.apply(colors.detect(os.environ, color.value), os.environ)
    from ddpm_tui import preferences

    own = preferences.load()
    if link_budget is not None:
        own = replace(own, link_budget=link_budget)
    from ddpm_tui.app import Workbench
    from ddpm_tui.headless.outliving import outlive, outlive_unsignalled
    from ddpm_tui.terminal.leaving import watched
    from ddpm_tui.terminal.reading import listen

    app = Workbench(
        runs_dir or default_runs_dir(),
        data_dir=data_dir,
        device=device,
        train=train,
        watch=watch,
        preferences=own,
    )
    listen()

    def rescue() -> None:
        outlive_unsignalled(app.training, leaving)

    with watched(app.end_screen, rescue, lambda: app.training) as leaving:
        try:
            app.run()
        finally:
            leaving.screen_ended()
            code = leaving.exit_code if leaving.called_away else 0
            if app.training is not None and app.training.alive:
                code = outlive(app.training, leaving)
    return code
