"""The rows of a listing, read again only where a folder changed.

Ten thousand folders are thirty thousand files to read, and a fraction of a second to ask for their
stamps. So the rows are kept beside the runs, in `.index.jsonl`, with the stamps that they were read
at; whatever does not match, or cannot be read, is read from the folders as if it were not there.

A line is a run, and is parsed when its row is wanted: the newest are there before the index is
read through.
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
from engine.runs.folder import Run, names_in
from engine.runs.outside import read_bytes
from engine.runs.summary import summary, wrong_value

INDEX = ".index.jsonl"

# What a row is made of. A folder with the first is a run.
_FIRST, *_OTHERS = ("run.json", "status.json", "config.toml")
# Whether its trainer is alive is decided by a lock, which no file tells.
_LIVE = ("running", "paused")
_VERSION = "ddpm-tui index 1"
# So many rows are read in less than a tenth of a second; fewer are not worth a write.
_WORTH_KEEPING = 200
# Of a hundred thousand runs.
_MAX_BYTES = 128 << 20

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
        self._known: dict[str, tuple[_Stamp, _Row]] = {}
        self._kept: dict[str, str] | None = None  # the lines of the index that nobody asked for yet
        self._new: set[str] = set()  # runs whose rows the index does not have as they are
        self._rows: list[_Row] = []

    def rows(self, seconds: float = math.inf) -> list[_Row]:
        """`summary` of every run, newest first; the same list as before if nothing changed.

        Args:
            seconds: about the longest that folders are read; then the others are left to the next
                listing, as they were known before or not at all.

        Raises:
            RunError: the folder cannot be read.
        """
        until = time.monotonic() + seconds
        if self._kept is None:
            self._kept = _read_index(self.runs_dir)
        found: dict[str, tuple[_Stamp, _Row]] = {}
        self.unread = 0
        for name, first in _newest_first(self.runs_dir):
            known = self._known.get(name)
            if time.monotonic() < until or not found:
                known = self._verified(name, first, known)
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
        if len(self._new) >= _WORTH_KEEPING and not self.unread:
            self._keep(found)
        return self._rows

    def _verified(
        self, name: str, first: list[int], known: tuple[_Stamp, _Row] | None
    ) -> tuple[_Stamp, _Row]:
        """The row of a run as its files are now."""
        stamp = [first, *(_stamp(f"{self.runs_dir}/{name}/{file}") for file in _OTHERS)]
        known = known or self._from_index(name)
        if known is None or known[0] != stamp or _has_died(known[1]):
            known = stamp, summary(Run(self.runs_dir / name))
            self._new.add(name)
        return known

    def _from_index(self, name: str) -> tuple[_Stamp, _Row] | None:
        assert self._kept is not None
        line = self._kept.pop(json.dumps(name), None)
        if line is None:
            return None
        try:
            stamp, row = json.loads(line)
            wrong = wrong_value(row)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        return None if wrong else (stamp, {**row, "name": name, "path": f"{self.runs_dir}/{name}"})

    def _keep(self, found: dict[str, tuple[_Stamp, _Row]]) -> None:
        self._new.clear()
        lines = [_VERSION]
        for name, (stamp, row) in found.items():
            values = {key: value for key, value in row.items() if key != "path"}
            # JSON has no tab in it but as \t.
            line = json.dumps([stamp, values], separators=(",", ":"))
            lines.append(f"{json.dumps(name)}\t{line}")
        # Somebody else's runs can be listed all the same.
        with suppress(RunError):
            data = "\n".join(lines).encode()
            io.write_atomic(self.runs_dir / INDEX, data, durable=False)


def _newest_first(runs_dir: Path) -> list[tuple[str, list[int]]]:
    """Every run, with the stamp of its first file."""
    found = []
    for name in names_in(runs_dir):
        try:
            first = os.stat(f"{runs_dir}/{name}/{_FIRST}")  # noqa: PTH116 - twice as fast
        except OSError:
            continue
        found.append((first.st_mtime_ns, name, _stamp_of(first)))
    found.sort(key=lambda item: item[0], reverse=True)
    return [(name, first) for _, name, first in found]


def _stamp(path: str) -> list[int] | None:
    try:
        return _stamp_of(os.stat(path))  # noqa: PTH116 - twice as fast, twenty thousand times
    except OSError:
        return None


def _stamp_of(found: os.stat_result) -> list[int]:
    return [found.st_ctime_ns, found.st_ino, found.st_size]


def _has_died(row: _Row) -> bool:
    """Whether a run that was alive has lost its trainer without a word."""
    return row["state"] in _LIVE and not Run(Path(row["path"])).is_locked()


def _read_index(runs_dir: Path) -> dict[str, str]:
    """The lines that were kept, by the name of the run in JSON; none where there is no index, or
    one of another version.
    """
    try:
        version, *lines = read_bytes(runs_dir / INDEX, _MAX_BYTES).decode().split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    if version != _VERSION:
        return {}
    return {name: line for name, _, line in (line.partition("\t") for line in lines)}
