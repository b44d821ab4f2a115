"""The rows of a listing, read again only where a folder changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from engine.runs.folder import Run, list_runs, summary

# What a row is made of. Each is replaced as a whole, so a new one has another inode or time.
_FILES = ("run.json", "status.json", "config.toml")
# Whether its trainer is alive is decided by a lock, which no file tells.
_LIVE = ("running", "paused")

_Stamp = tuple[tuple[int, int, int] | None, ...]


class RunIndex:
    """The runs of a folder, for a view that lists them every few seconds. For one thread.

    Args:
        runs_dir: it need not exist.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._known: dict[str, tuple[_Stamp, dict[str, Any]]] = {}

    def rows(self) -> list[dict[str, Any]]:
        """`summary` of every run, newest first.

        Raises:
            RunError: the folder cannot be read.
        """
        found: dict[str, tuple[_Stamp, dict[str, Any]]] = {}
        for run in list_runs(self.runs_dir):
            stamp = _stamp(run)
            known = self._known.get(run.name)
            if known is None or known[0] != stamp or known[1]["state"] in _LIVE:
                known = stamp, summary(run)
            found[run.name] = known
        self._known = found
        return [row for _, row in found.values()]


def _stamp(run: Run) -> _Stamp:
    return tuple(map(_file_stamp, (os.path.join(run.path, name) for name in _FILES)))  # noqa: PTH118 - half the time


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
