"""A run that was opened here, and is not in its folder any more: where it is now.

Somebody else may delete, rename or remove a run at any time. What reads and writes its files then
fails with one error, which says what became of the run. A run is known again by the moment of its
creation in run.json.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import RunGoneError
from engine.runs.outside import read_bytes

TRASH = ".trash"
TRASHED = re.compile(r"(.+)-(\d{8}-\d{6})(-\d+)?")
# In run.json, what the run was called before.
FORMER_NAMES = "former_names"

# The folders of the runs of this process, each with the moment of creation as far as it was read.
_opened: dict[Path, object] = {}


def remember(folder: Path, info: dict[str, Any] | None = None) -> None:
    """Take note of the folder of a run.

    Args:
        info: its run.json, once it was read.
    """
    if info is not None:
        _opened[folder] = info.get("created")
    elif not folder.name.startswith("."):  # one that is being made has no name yet
        _opened.setdefault(folder, None)


def created_at(folder: Path) -> object:
    """The moment of creation of the run in a folder, by which it is known; None if not known."""
    info = _info(folder)
    return None if info is None else info.get("created")


def gone(folder: Path, created: object = None) -> RunGoneError | None:
    """What became of a run whose folder is not there any more, or is that of another run.

    Args:
        folder: where it was.
        created: from its run.json; None: as it was read last.

    Returns:
        None where the run is there.
    """
    if created is None:
        created = _opened.get(folder)
    if not os.path.lexists(folder / "run.json"):
        return find_moved(folder, created)
    if created is None:
        return None
    info = _info(folder)
    # What cannot be read at this moment, a damaged one for instance, is not gone.
    if info is None or info.get("created") == created:
        return None
    return find_moved(folder, created)


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


def find_moved(folder: Path, created: object = None) -> RunGoneError:
    """Look for a run that is not in its folder.

    Args:
        created: from its run.json; None where nobody read it: then its name has to do.
    """
    name, runs_dir = folder.name, folder.parent
    for path in _trashed(runs_dir, name):
        info = _info(path)
        if info is not None and created in (None, info.get("created")):
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
        if created is None:
            former = info.get(FORMER_NAMES)
            same = info.get("name") == name or (isinstance(former, list) and name in former)
        else:
            same = info.get("created") == created
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
