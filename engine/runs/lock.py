"""Who owns a run: a lock that dies with its process.

`flock` decides, and where a file system does not have it, a heartbeat. Whoever only asks takes a
shared lock for an instant: askers do not see one another, and need not be able to write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import RunError
from engine.runs import io, moved
from engine.runs.heartbeat import Heartbeat, OwnedError, is_beating

LOCK = ".lock"

# Lustre without its option, NFS without lockd, some FUSE.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
# A rename or a deletion owns a run for milliseconds; those who ask, for microseconds each.
_OWNER_PATIENCE = 0.5
_ASKER_PATIENCE = 10.0


class LockLostError(RunError):
    """Another process has taken over the run that this one owned."""


class Ownership:
    """A run that is owned.

    Attributes:
        note: what a person should know of it; empty where locks work.
    """

    def __init__(self, folder: Path, descriptor: int, heartbeat: Heartbeat | None) -> None:
        self.note = ""
        self._folder = folder
        self._descriptor = descriptor
        self._mark = moved.mark_of(folder)
        self._heartbeat = heartbeat
        if heartbeat is not None:
            self.note = "no locks on this file system: a file with a heartbeat owns the run"

    def check(self) -> None:
        """Cheap; for every step.

        Raises:
            RunGoneError: its folder was moved away or removed. One of that name is another run's.
            LockLostError: it is owned no longer. Nothing may be written into its folder.
        """
        if not _is_at(self._descriptor, self._folder / LOCK):
            gone = moved.gone(self._folder, self._mark)
            if gone is not None:
                raise gone
        if self._heartbeat is not None and not self._heartbeat.still_beats():
            name = self._folder.name
            raise LockLostError(
                f"Another process has taken {name} over, since this one did not answer",
                "Look there; this one has stopped and written nothing since.",
            )


@contextmanager
def owning(folder: Path) -> Iterator[Ownership]:
    """Own a run's folder; ends with the block, or with the process.

    Raises:
        RunError: another process, or another thread of this one, owns it; or it is not there.
    """
    with io.explained("lock", folder):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    heartbeat = None
    try:
        with io.explained("lock", folder):
            if not _flock(descriptor, folder):
                heartbeat = _heartbeat(folder)
            elif is_beating(folder):
                # By a machine that has no locks on the same file system.
                raise _owned(folder)
            # Moved away before it was locked: a folder of that name is another run.
            if not _is_at(descriptor, folder / LOCK):
                raise moved.find_moved(folder)
        yield Ownership(folder, descriptor, heartbeat)
    finally:
        if heartbeat is not None:
            heartbeat.close()
        # Said and not left to the closing: a fork of this process has the descriptor as well.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def is_owned(folder: Path) -> bool:
    """Whether somebody owns the folder of a run. It need not be writable."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if _has_owner(descriptor):
            return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return False
    finally:
        os.close(descriptor)
    return is_beating(folder)


def has_locks(descriptor: int) -> bool:
    """Whether the file system of an open file, which nobody else has locked, has locks.

    Raises:
        OSError: another error than that it has not.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _flock(descriptor: int, folder: Path) -> bool:
    """Lock; False where there are no locks."""
    began = time.monotonic()
    while True:
        try:
            return has_locks(descriptor)
        except (BlockingIOError, PermissionError):
            owned = _has_owner(descriptor)
        waited = time.monotonic() - began
        if waited > (_OWNER_PATIENCE if owned else _ASKER_PATIENCE):
            raise _owned(folder)
        # Two who want to own it ask as well, and must not keep step.
        time.sleep(random.uniform(0.0002, 0.002))


def _has_owner(descriptor: int) -> bool:
    """Whether somebody has the lock for more than a question."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _heartbeat(folder: Path) -> Heartbeat:
    until = time.monotonic() + _OWNER_PATIENCE
    while True:
        try:
            return Heartbeat(folder)
        except OwnedError:
            if time.monotonic() > until:
                raise _owned(folder) from None
        time.sleep(0.05)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _owned(folder: Path) -> RunError:
    return RunError(
        f"{folder.name} is being trained by another process",
        "Wait until it has ended, or stop it there.",
    )
