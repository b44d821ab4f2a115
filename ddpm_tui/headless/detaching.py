"""A training in a process and a session of its own: no terminal, and nothing to hang up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import Run

_LOOK_EVERY = 0.1  # seconds
_LAST_WORDS = 2000  # bytes


def detach(run: Run, *, device: str = "auto", data_dir: Path | None = None) -> int:
    """Go on with a run in a process of its own, and wait until it trains.

    It is `ddpm-tui resume` with its errors in train.log.

    Returns:
        The number of the process.

    Raises:
        RunError: it ended before it trained, and the message has its last words; or train.log
            cannot be written.
    """
    # -P: a folder `engine` where the user happens to be is not ours.
    command = [sys.executable, "-P", "-m", "ddpm_tui", "resume", run.name, "--quiet"]
    command += ["--runs-dir", str(run.path.parent.resolve()), "--device", device]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir.resolve())]
    run.refuse_links(["train.log"])
    # Not through `io`: the process writes there by itself, what nobody foresaw.
    with io.explained("write", run.log_path), run.log_path.open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            status = run.status()
            if status.pid == process.pid and status.state in ("running", "paused"):
                return process.pid
            time.sleep(_LOOK_EVERY)  # the run's folder has no other way to tell
    except BaseException:
        process.terminate()
        raise
    if process.returncode:
        raise RunError(
            f"The process that was to train {run.name} has ended: {_last_words(run, began)}",
            f"What it said is in {run.log_path}.",
        )
    return process.pid


def told(run: Run, pid: int) -> str:
    """Where a training is now, for whoever leaves it alone."""
    return (
        f"{run.name} is trained by process {pid}; `ddpm-tui watch {run.name}` shows it, "
        f"`ddpm-tui stop {run.name}` stops it"
    )


def _last_words(run: Run, began: int) -> str:
    with io.explained("read", run.log_path), run.log_path.open("rb") as log:
        log.seek(max(began, log.seek(0, 2) - _LAST_WORDS))
        lines = log.read().decode(errors="replace").splitlines()
    said = lines[-1] if lines else "it said nothing"
    return said.removeprefix("ddpm-tui: ").rstrip(".")
