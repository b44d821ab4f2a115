"""The rows of a listing, read again only where a folder changed.

Ten thousand folders are thirty thousand files to read, and a fraction of a second to ask for their
stamps. So the rows are kept beside the runs, in `.index.json`, with the stamps that they were read
at; whatever does not match, or cannot be read, is read from the folders as if it were not there.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import Run
from engine.runs.summary import summary, wrong_value

INDEX = ".index.json"

# What a row is made of. A folder with the first is a run.
_FILES = ("run.json", "status.json", "config.toml")
# Whether its trainer is alive is decided by a lock, which no file tells.
_LIVE = ("running", "paused")
_VERSION = 1
# So many rows are read in less than a tenth of a second; fewer are not worth a write.
_WORTH_KEEPING = 200

# Time of the last change of the inode, which nobody can set, inode and size, of each file.
_Stamp = list[list[int] | None]
_Row = dict[str, Any]


class RunIndex:
    """The runs of a folder, for a view that lists them every few seconds. For one thread.

    Args:
        runs_dir: it need not exist.

    Attributes:
        unread: how many runs the last listing had no time for.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.unread = 0
        self._known: dict[str, tuple[_Stamp, _Row]] | None = None
        self._unkept: set[str] = set()
        self._rows: list[_Row] = []

    def rows(self, seconds: float = math.inf) -> list[_Row]:
        """`summary` of every run, newest first; the same list as before if nothing changed.

        Args:
            seconds: about the longest that folders are read; then the others are left to the next
                listing, as they were known before or not at all.

        Raises:
            RunError: the folder cannot be read.
        """
        if self._known is None:
            self._known = _read_index(self.runs_dir)
        until = time.monotonic() + seconds
        found: dict[str, tuple[_Stamp, _Row]] = {}
        self.unread = 0
        for name, stamp in _stamped(self.runs_dir):
            known = self._known.get(name)
            if known is None or known[0] != stamp or _has_died(known[1]):
                if time.monotonic() < until or not found:
                    known = stamp, summary(Run(self.runs_dir / name))
                    self._unkept.add(name)
                else:
                    self.unread += 1
            if known is not None:
                found[name] = known
        rows = [row for _, row in found.values()]
        self._known = found
        if len(rows) != len(self._rows) or any(
            new is not old for new, old in zip(rows, self._rows, strict=True)
        ):
            self._rows = rows
        if len(self._unkept) >= _WORTH_KEEPING and not self.unread:
            self._keep(found)
        return self._rows

    def _keep(self, found: dict[str, tuple[_Stamp, _Row]]) -> None:
        self._unkept.clear()
        rows = {
            name: [stamp, {key: value for key, value in row.items() if key != "path"}]
            for name, (stamp, row) in found.items()
        }
        text = json.dumps({"version": _VERSION, "rows": rows}, separators=(",", ":"))
        # Somebody else's runs can be listed all the same.
        with suppress(RunError):
            io.write_atomic(self.runs_dir / INDEX, text.encode(), durable=False)


def _stamped(runs_dir: Path) -> list[tuple[str, _Stamp]]:
    """Every run with its stamp, newest first."""
    found = []
    for name in _names(runs_dir):
        created, stamp = _stamp(f"{runs_dir}/{name}/")
        if created is not None:
            found.append((created, name, stamp))
    found.sort(key=lambda item: item[0], reverse=True)
    return [(name, stamp) for _, name, stamp in found]


def _names(runs_dir: Path) -> list[str]:
    try:
        with os.scandir(runs_dir) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(
            f"Cannot read {runs_dir}: {error.strerror}", "Name another folder with --runs-dir."
        ) from error


def _stamp(folder: str) -> tuple[int | None, _Stamp]:
    """When the run was created, None where there is no run; and the stamp of its row."""
    created: int | None = None
    stamp: _Stamp = []
    for file in _FILES:
        try:
            found = os.stat(folder + file)  # noqa: PTH116 - twice as fast, thirty thousand times
        except OSError:
            if created is None:
                return None, []
            stamp.append(None)
            continue
        if created is None:
            created = found.st_mtime_ns
        stamp.append([found.st_ctime_ns, found.st_ino, found.st_size])
    return created, stamp


def _has_died(row: _Row) -> bool:
    """Whether a run that was alive has lost its trainer without a word."""
    return row["state"] in _LIVE and not Run(Path(row["path"])).is_locked()


def _read_index(runs_dir: Path) -> dict[str, tuple[_Stamp, _Row]]:
    """The rows that were kept; none where the index is missing, damaged or of another version."""
    try:
        values = io.read_json(runs_dir / INDEX)
        if values["version"] != _VERSION:
            return {}
        known = {}
        for name, (stamp, row) in values["rows"].items():
            if wrong_value(row):
                return {}
            known[name] = stamp, {**row, "name": name, "path": str(runs_dir / name)}
    except (RunError, KeyError, TypeError, ValueError, AttributeError):
        return {}
    return known
