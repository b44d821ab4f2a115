"""What is asked of the trainer of a run, by anybody who can write into its folder.

A request is a file of its own in `requests`, so that it also works over a shared file system, and
askers need not know of each other. The trainer takes them between two steps, the oldest first.
"""

from __future__ import annotations

import queue
import secrets
import time
from contextlib import suppress
from typing import Literal, cast, get_args

from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import Run
from engine.runs.outside import open_file

Request = Literal["pause", "go on", "checkpoint", "preview", "stop"]
"""Wait where you are; go on; save one now; paint one now; save one and stop."""

_FOLDER = "requests"
_LOOK_EVERY = 0.2  # seconds; a look is one call of the file system


def ask(run: Run, what: Request) -> None:
    """Leave a request for whoever trains a run.

    Raises:
        RunError: nobody trains it, or its folder cannot be written.
    """
    if not run.is_locked():
        run.check_here()
        raise RunError(f"{run.name} is not being trained", f"Train it: ddpm-tui resume {run.name}")
    folder = run.folder_for(_FOLDER)
    # By name they are in the order in which they were made, to the resolution of the clocks.
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
    io.write_atomic(folder / name, what.encode(), durable=False)


class Requests:
    """What the trainer of a run is asked, from its folder and from this process. For one trainer.

    Attributes:
        paused: whether the last that was put or taken of `pause` and `go on` was a pause.
        stopped_by: who asks to stop, for the status.
    """

    def __init__(self, run: Run) -> None:
        self.paused = False
        self.stopped_by = "the user"
        self._folder = run.path / _FOLDER
        self._own: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._looked_at = -_LOOK_EVERY

    def put(self, what: Request) -> None:
        """Ask from this process. Any thread and any signal handler may."""
        self._note(what)
        self._own.put(what)

    def forget(self) -> None:
        """What was asked of an earlier trainer, which died before it came to it, is over."""
        self._left()

    def next(self, *, wait: bool = False) -> Request | None:
        """The next request; None where there is none now.

        Args:
            wait: until there is one.
        """
        while True:
            with suppress(queue.Empty):
                return self._own.get(timeout=_LOOK_EVERY) if wait else self._own.get_nowait()
            now = time.monotonic()
            if now - self._looked_at >= _LOOK_EVERY:
                self._looked_at = now
                for what in self._left():
                    self.put(what)
            if not wait and self._own.empty():
                return None

    def _note(self, what: Request) -> None:
        if what in ("pause", "go on"):
            self.paused = what == "pause"

    def _left(self) -> list[Request]:
        """Take what lies in the folder. What is no request is removed and does nothing."""
        found: list[Request] = []
        if self._folder.is_symlink():
            return found  # what is read here is removed
        with suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                if path.name.startswith("."):
                    continue  # one that is being written
                with suppress(OSError), open_file(path) as file:
                    word = file.read(20).decode("ascii", "replace")
                    if word in get_args(Request):
                        found.append(cast("Request", word))
                if not path.is_dir():
                    with suppress(RunError):
                        io.remove(path)
        return found
