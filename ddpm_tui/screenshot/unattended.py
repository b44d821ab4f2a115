"""A view as a picture without a terminal: `ddpm-tui --screenshot VIEW`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from ddpm_tui.app import Workbench
    from ddpm_tui.screenshot.files import Captured

# The screen is ready when it has looked the same for so long, or after so long whatever it does.
_STILL_SECONDS = 0.7
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Wanted:
    """What to take a picture of.

    Attributes:
        view: the name of a view.
        size: columns and rows.
        run: the run that the view shows, or None for the newest of the list.
        keys: pressed one after the other, each when the screen has come to rest.
    """

    view: str
    size: tuple[int, int] = (120, 40)
    run: str | None = None
    keys: Sequence[str] = ()


def parse_size(text: str) -> tuple[int, int]:
    """Columns and rows of `120x40`.

    Raises:
        ConfigError: it is none, or no screen is so small or so large.
    """
    numbers = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.lower(), re.ASCII)
    if numbers is None:
        raise ConfigError(f"{text!r} is no size", "Write columns and rows, as in 120x40.")
    size = int(numbers[1]), int(numbers[2])
    if not (20 <= size[0] <= 500 and 5 <= size[1] <= 200):
        raise ConfigError(f"{text} is no size of a screen", "20x5 to 500x200 can be drawn.")
    return size


def take(app: Workbench, wanted: Wanted) -> Captured:
    """Open the workbench without a terminal, go to the view, press the keys, take the picture.

    Raises:
        EngineError: there is no such view or run.
    """
    if wanted.view not in app.MODES:
        raise ConfigError(
            f"There is no view {wanted.view!r}", f"The views are {', '.join(app.MODES)}."
        )
    return asyncio.run(_take(app, wanted))


async def _take(app: Workbench, wanted: Wanted) -> Captured:
    from ddpm_tui.screenshot.files import capture
    from engine.runs.folder import list_runs, open_run

    run = open_run(app.runs_dir, wanted.run) if wanted.run else None
    if run is None and app.runs_dir.is_dir():
        run = next(iter(list_runs(app.runs_dir)), None)
    app.current_run = run
    async with app.run_test(size=wanted.size, notifications=True) as pilot:
        await _rest(app, pilot)
        app.switch_mode(wanted.view)
        await _rest(app, pilot)
        for key in wanted.keys:
            await pilot.press(key)
            await _rest(app, pilot)
        return capture(app, title=f"ddpm-tui: {wanted.view}")


async def _rest(app: Workbench, pilot: Pilot[None]) -> None:
    """Wait until torch is there, no worker is at it and the screen stays as it is."""
    from ddpm_tui.screenshot.files import rows_of

    shown: tuple[object, ...] = ()
    still = waited = 0.0
    while still < _STILL_SECONDS and waited < _LONGEST_SECONDS:
        await pilot.pause(0.1)
        waited += 0.1
        fresh = rows_of(app)
        busy = not app.torch_ready or any(not worker.is_finished for worker in app.workers)
        still = 0.0 if busy or fresh != shown else still + 0.1
        shown = fresh
