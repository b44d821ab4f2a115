"""Runs kept in order: names, tags, notes, the archive and the trash.

What a person says of a run is in its run.json, beside what other programs may have put there. A
deleted run is a folder in `.trash`, out of every listing, until somebody asks to empty it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, RunError
from engine.runs import io, publishing
from engine.runs.folder import Run, check_name, names_in
from engine.runs.litter import find_litter
from engine.runs.moved import FORMER_NAMES, TRASH, TRASHED
from engine.runs.outside import refuse_links

MAX_NOTE = 2000
_MAX_FORMER_NAMES = 20

_TAG = re.compile(r"\w[\w.+=/-]{0,31}")
_TIME = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Trashed:
    """A deleted run.

    Attributes:
        path: its folder in the trash.
        name: the name that it had.
        deleted: Unix time.
    """

    path: Path
    name: str
    deleted: float


# --- What is said of a run -----------------------------------------------------------------------


def check_tag(tag: str) -> str:
    """A tag that can be given.

    Raises:
        ConfigError: it cannot.
    """
    if not _TAG.fullmatch(tag):
        raise ConfigError(
            f"{tag!r} is not a tag",
            "Use letters, digits and . _ + = / -, starting with a letter or digit, 32 at most.",
        )
    return tag


def tags_of(run: Run) -> list[str]:
    """Its tags, sorted.

    Raises:
        RunError: run.json cannot be read.
    """
    tags = run.info().get("tags", [])
    return sorted(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else []


def change_tags(run: Run, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """Give a run tags and take others away, and return what it then has.

    Raises:
        ConfigError: a tag to add is none.
        RunError: run.json cannot be read or written.
    """
    wanted = {check_tag(tag) for tag in add}
    with _alone(run):
        before = tags_of(run)
        tags = sorted((set(before) | wanted) - set(remove))
        if tags != before:
            _edit(run, tags=tags)
    return tags


def note_of(run: Run) -> str:
    """What was noted about the run.

    Raises:
        RunError: run.json cannot be read.
    """
    note = run.info().get("notes", "")
    return note if isinstance(note, str) else ""


def write_note(run: Run, text: str) -> None:
    """Note something about a run, in place of what was noted; an empty text takes it away.

    Raises:
        ConfigError: it is longer than `MAX_NOTE`.
        RunError: run.json cannot be read or written.
    """
    if len(text) > MAX_NOTE:
        raise ConfigError(
            f"The note has {len(text):,} characters", f"{MAX_NOTE:,} are the most that are kept."
        )
    with _alone(run):
        _edit(run, notes=text)


def set_archived(run: Run, archived: bool) -> None:
    """Hide a run from listings that do not ask for the archive, or show it again.

    Raises:
        RunError: run.json cannot be read or written.
    """
    with _alone(run):
        _edit(run, archived=archived)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Of those who edit run.json, which is read and written anew; a trainer does not.

    Where folders cannot be locked, as over NFS, the last of two who edit at once wins.
    """
    with io.explained("write", run.path):
        folder = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _edit(run: Run, **changes: Any) -> None:
    run.refuse_links()
    path = run.path / "run.json"
    values = run.info()
    with io.explained("read", path):
        created = path.stat().st_mtime_ns
    # Its time is when the run was created, by which listings are sorted.
    io.write_json(path, {**values, **changes}, mtime_ns=created)


# --- Where a run is ------------------------------------------------------------------------------


def rename(run: Run, name: str) -> Run:
    """Give a run another name.

    Raises:
        ConfigError: it is not a run name.
        RunError: the name is taken, the run is being trained, or the folder cannot be written.
    """
    path = run.path.parent / check_name(name)
    renamed = Run(path)
    with _at_rest(run), _alone(run):
        _move(run.path, path)
        if path.is_symlink():
            return renamed
        try:
            info = renamed.info()
        except RunError:
            return renamed  # of what cannot be read the folder alone has a name
        if "name" in info:
            try:
                _edit(renamed, name=name, **{FORMER_NAMES: _former_names(info, run.name, name)})
            except BaseException:
                _move(renamed.path, run.path)
                raise
    return renamed


def _former_names(info: dict[str, Any], name: str, new: str) -> list[str]:
    """What a run was called before, the last one last, so that whoever uses one finds it."""
    known = info.get(FORMER_NAMES)
    former = [each for each in known if isinstance(each, str)] if isinstance(known, list) else []
    return [*(each for each in former if each not in (name, new)), name][-_MAX_FORMER_NAMES:]


def delete(run: Run) -> Trashed:
    """Move a run to the trash.

    Raises:
        RunError: it is being trained, or the folder cannot be written.
    """
    now = time.time()
    stamp = time.strftime(_TIME, time.localtime(now))
    trash = _trash_of(run.path.parent)
    io.make_folder(trash)
    with _at_rest(run):
        number = 1
        while True:
            path = trash / f"{run.name}-{stamp}{f'-{number}' if number > 1 else ''}"
            try:
                _move(run.path, path)
            except _TakenError:
                number += 1
            else:
                return Trashed(path, run.name, now)


def restore(trashed: Trashed) -> Run:
    """Bring a deleted run back under the name that it had.

    Raises:
        RunGoneError: somebody else emptied the trash, or brought it back and renamed it.
        RunError: the name is taken by now, somebody else brought it back, or the folder cannot be
            written.
    """
    run = Run(trashed.path.parent.parent / trashed.name)
    try:
        _move(trashed.path, run.path)
    except RunError:
        if os.path.lexists(trashed.path):
            raise
        run.check_here()
        raise RunError(
            f"{trashed.name} is not in the trash any more, and there is a run {trashed.name!r}",
            "`ddpm-tui runs` and `ddpm-tui trash` list what there is.",
        ) from None
    return run


def _trash_of(runs_dir: Path) -> Path:
    """The trash, which is emptied without a look: not that of somebody else.

    Raises:
        RunError: it is a link.
    """
    refuse_links(runs_dir, [TRASH])
    return runs_dir / TRASH


def list_trash(runs_dir: Path) -> list[Trashed]:
    """The deleted runs, the last one first.

    Raises:
        RunError: the trash cannot be read.
    """
    found = []
    names_in(runs_dir)  # a folder that cannot be read is no empty trash
    trash = _trash_of(runs_dir)
    with io.explained("read", trash):
        try:
            paths = list(trash.iterdir())
        except FileNotFoundError:
            return []
    for path in paths:
        parts = TRASHED.fullmatch(path.name)
        # Without a run.json it is the place that a run is about to be moved to.
        if parts and (path / "run.json").exists():
            try:
                deleted = time.mktime(time.strptime(parts[2], _TIME))
            except (ValueError, OverflowError):
                continue
            found.append((deleted, int((parts[3] or "-0")[1:]), Trashed(path, parts[1], deleted)))
    return [trashed for *_, trashed in sorted(found, key=lambda item: item[:2], reverse=True)]


def empty_trash(runs_dir: Path) -> int:
    """Remove the deleted runs for good, and return how many they were.

    Raises:
        RunError: a folder cannot be removed; what was removed before it is gone.
    """
    with suppress(OSError):
        for half_removed in find_litter(runs_dir / TRASH):
            half_removed.clear()
    return sum(io.remove(trashed.path) for trashed in list_trash(runs_dir))


class _TakenError(RunError):
    """There is something of that name."""


def _move(source: Path, target: Path) -> None:
    """Rename a folder to a name that nobody has. Of a link to a folder only the link moves."""
    moved = (
        publishing.move_link(source, target)
        if source.is_symlink()
        else publishing.claim(source, target)
    )
    if not moved:
        raise _TakenError(
            f"There is already a run {target.name!r} in {target.parent}",
            "Choose another name, or rename that one first.",
        )


@contextmanager
def _at_rest(run: Run) -> Iterator[None]:
    """Nobody trains the run inside of the block."""
    # Asked first, so that one need not wait for the lock in vain.
    if run.is_locked():
        raise RunError(f"{run.name} is being trained", "Stop the training first.")
    if run.path.is_symlink():
        yield  # nobody trains through a link, and what it leads to stays where it is
        return
    with run.lock():
        yield
