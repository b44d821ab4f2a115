"""A training in a thread of this process, when its screen has ended."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ddpm_tui.headless.detaching import told
from ddpm_tui.headless.signals import Signals
from ddpm_tui.terminal.leaving import Leaving, give_up
from ddpm_tui.worker import TrainingThread
from engine.errors import EngineError

_LOOK_EVERY = 0.5  # seconds


def outlive(training: TrainingThread, leaving: Leaving) -> int:
    """Wait for a training that has no screen any more. From the main thread only.

    Where the terminal hung up it goes on to its end, or until a signal or a request stops it;
    otherwise, and after a signal that stops it, it is asked to save a checkpoint and stop.

    Returns:
        The exit code.
    """
    with Signals(training.run, training.requests, received=leaving.received) as signals:
        if leaving.hung_up:
            if not leaving.called_away:
                _say_so(training)
            give_up((0, 1, 2))
        elif not leaving.called_away:
            training.request("stop")
        training.join()
        return _exit_code(training, signals)


def outlive_unsignalled(training: TrainingThread | None, leaving: Leaving) -> None:
    """The same from another thread than the main one, which hangs and takes signals for it."""
    while training is not None and training.alive:
        if leaving.called_away:
            training.request("stop")
            training.join()
            return
        training.join(_LOOK_EVERY)


def _say_so(training: TrainingThread) -> None:
    run = training.run
    with suppress(EngineError):
        run.log(f"the terminal is gone; process {os.getpid()} trains on without it")
    # Where SIGHUP came and the terminal did not go, somebody may read this.
    print(told(run, os.getpid()), file=sys.stderr, flush=True)


def _exit_code(training: TrainingThread, signals: Signals) -> int:
    with suppress(EngineError):
        state = training.run.status().state
        if state != "stopped":
            return 0 if state == "finished" else 1
    return signals.exit_code
