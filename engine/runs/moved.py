"""A run that was opened here, and is not in its folder any more: where it is now.

Somebody else may delete, rename or remove a run at any time. What reads and writes its files then
fails with one error, which says what became of the run. A run is known again by the moment of its
creation in run.json; elsewhere also by the number of its folder, for a copy has the same run.json.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RunGoneError
from engine.runs.outside import read_bytes

TRASH = ".trash"
TRASHED = re.compile(r"(.+)-(\d{8}-\d{6})(-\d+)?")
# In run.json, what the run was called before.
FORMER_NAMES = "former_names"


@dataclass(frozen=True)
class Mark:
    """By what a run is known again.

    Attributes:
        created: from its run.json.
        inode: of its folder.
    """

    created: object
    inode: int


# The folders of the runs of this process; None for one whose run.json was not read yet.
_opened: dict[Path, Mark | None] = {}


def remember(folder: Path, info: dict[str, Any] | None = None) -> None:
    """Take note of the folder of a run.

    Args:
        info: its run.json, once it was read.
    """
    if info is not None:
        _opened[folder] = _mark(folder, info)
    elif not folder.name.startswith("."):  # one that is being made has no name yet
        _opened.setdefault(folder, None)


def mark_of(folder: Path) -> Mark | None:
    """By what the run in a folder is known again; None where it cannot be read."""
    info = _info(folder)
    return None if info is None else _mark(folder, info)


def _mark(folder: Path, info: dict[str, Any]) -> Mark | None:
    created = info.get("created")
    with suppress(OSError):
        return None if created is None else Mark(created, folder.stat().st_ino)
    return None


def gone(folder: Path, mark: Mark | None = None) -> RunGoneError | None:
    """What became of a run whose folder is not there any more, or is that of another run.

    Args:
        folder: where it was.
        mark: by what it is known; None: as it was read last.

    Returns:
        None where the run is there.
    """
    mark = mark or _opened.get(folder)
    if not os.path.lexists(folder / "run.json"):
        return find_moved(folder, mark)
    if mark is None:
        return None
    here = mark_of(folder)
    # What cannot be read at this moment, a damaged one for instance, is not gone.
    if here is None or here.created == mark.created:
        return None
    return find_moved(folder, mark)


def still_gone(folder: Path, known: RunGoneError | None) -> RunGoneError | None:
    """As `gone`, for whoever looks again and again: a run is not searched for twice in vain.

    Args:
        known: what became of it when it was looked for last.
    """
    if known is None or os.path.lexists(folder / "run.json"):
        return gone(folder)
    lies_there = known.now is None or (known.now / "run.json").exists()
    return known if lies_there else gone(folder)


def gone_with(path: Path) -> RunGoneError | None:
    """What became of the run in whose folder a path is.

    Returns:
        None where that run is there, or the path is in the folder of none that was opened here.
    """
    for folder in (path, *path.parents):
        if folder in _opened:
            return gone(folder)
    return None


def where_now(path: Path) -> Path | None:
    """Where what was at a path is, now that its run was moved.

    Returns:
        None where the run was not moved, or nobody knows where to.
    """
    for folder in (path, *path.parents):
        if folder in _opened:
            found = gone(folder)
            if found is not None and found.now is not None:
                return found.now / path.relative_to(folder)
            return None
    return None


def find_moved(folder: Path, mark: Mark | None = None) -> RunGoneError:
    """Look for a run that is not in its folder.

    Args:
        mark: by what it is known; None where nobody read it: then its name has to do.
    """
    name, runs_dir = folder.name, folder.parent
    for path in _trashed(runs_dir, name):
        found = mark_of(path)
        if found is not None and mark in (None, found):
            return RunGoneError(
                f"{name} was deleted and is in the trash, {path}",
                f"Bring it back: ddpm-tui restore {name}",
                name=name,
                now=path,
            )
    for path in _folders(runs_dir):
        info = _info(path)
        if path == folder or info is None:
            continue
        if mark is None:
            former = info.get(FORMER_NAMES)
            same = info.get("name") == name or (isinstance(former, list) and name in former)
        else:
            same = _mark(path, info) == mark
        if same:
            return RunGoneError(
                f"{name} was renamed to {path.name}",
                f"Use the new name: {path.name}",
                name=name,
                now=path,
            )
    return RunGoneError(
        f"{name} is no longer in {runs_dir}: it was removed, or moved elsewhere",
        "`ddpm-tui runs` and `ddpm-tui trash` list what there is.",
        name=name,
    )


def _trashed(runs_dir: Path, name: str) -> list[Path]:
    """The folders in the trash with a run that had this name, the last one first."""
    found = []
    for path in _folders(runs_dir / TRASH):
        if (parts := TRASHED.fullmatch(path.name)) and parts[1] == name:
            found.append((parts[2], int((parts[3] or "-0")[1:]), path))
    return [path for *_, path in sorted(found, reverse=True)]


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from [folder / entry.name for entry in entries if not entry.name.startswith(".")]


def _info(folder: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, RecursionError):
        info = json.loads(read_bytes(folder / "run.json"))
        return info if isinstance(info, dict) else None
    return None
