"""What nobody foresaw: a file with the traceback, and a sentence for the screen."""

from __future__ import annotations

import time
import traceback
from collections import deque
from pathlib import Path

# More of them in this many seconds, and there is no screen left that is worth to go on with.
_TOO_MANY = 20
_SECONDS = 10.0


class Mishaps:
    """Keeps tracebacks in a file, tells each kind of mishap once, and says when to give up."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._times: deque[float] = deque(maxlen=_TOO_MANY)
        self._told: set[str] = set()

    @property
    def path(self) -> Path:
        """The file; the same for the life of the process."""
        if self._path is None:
            from platformdirs import user_log_path

            self._path = user_log_path("ddpm-tui", appauthor=False) / "errors.log"
        return self._path

    def record(self, error: BaseException) -> str:
        """Write the traceback down.

        Returns:
            A sentence for the screen; empty when the same was said before.
        """
        self._times.append(time.monotonic())
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = f"{type(error).__name__} {where}"
        if kind in self._told:
            return ""
        self._told.add(kind)
        what = f"{type(error).__name__}: {error}".rstrip(": ").rstrip(".")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", errors="replace") as log:
                log.write(time.strftime("--- %Y-%m-%d %H:%M:%S\n"))
                log.writelines(traceback.format_exception(error))
        except OSError as unwritten:
            return f"{what}. This is a bug; its traceback could not be kept ({unwritten})."
        return f"{what}. This is a bug; the traceback is in {self.path}."

    @property
    def too_many(self) -> bool:
        """Whether they come faster than anybody could use the screen."""
        full = len(self._times) == _TOO_MANY
        return full and self._times[-1] - self._times[0] < _SECONDS
