"""`ddpm-tui stop`: asks whoever trains a run, through its folder, and waits."""

from __future__ import annotations

import time

from engine.errors import RunError
from engine.runs.folder import Run
from engine.runs.requests import ask

_LOOK_EVERY = 0.1  # seconds


def stop(run: Run, wait: float) -> None:
    """Ask a run's trainer to save a checkpoint and stop.

    Args:
        wait: seconds that it is given.

    Raises:
        RunError: nobody trains the run, or it has not stopped by then.
    """
    ask(run, "stop")
    until = time.monotonic() + wait
    while run.is_locked():
        if time.monotonic() >= until:
            raise RunError(
                f"{run.name} has not stopped within {wait:g} seconds",
                "It is asked and stops when its step or its checkpoint is done; `ddpm-tui show "
                f"{run.name}` tells.",
            )
        time.sleep(_LOOK_EVERY)  # a lock of another process tells nobody when it ends
    status = run.status()
    if status.state == "finished":
        print(f"{run.name} was just finished, at step {status.step:,}")
    else:
        print(f"{run.name} stopped at step {status.step:,}; go on with: ddpm-tui resume {run.name}")
