"""Every write of a run folder goes through here.

A reader sees the old file or the new one, never half of one; after a crash the same holds for what
is on the disk. Errors of the file system come out as `RunError`, with what to do.

What is being made has a hidden name until it is complete: see `temporary_name`. `publishing` is
what appears complete and is more than a few lines; `litter` is what a crash left of it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.errors import NoRoomError, RunError
from engine.runs import moved, processes
from engine.runs.disk import Disk
from engine.runs.outside import read_bytes

disk = Disk()

# Never through a link: a log that is one would write into any file of its reader.
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
_CHANGING = os.O_WRONLY | os.O_NOFOLLOW

_HINTS = {
    errno.ELOOP: "It is a link, and nothing is written through one.",
    errno.ENOSPC: "The disk is full: free some space, then go on with `ddpm-tui resume`.",
    errno.EDQUOT: "Your quota is used up: free some space, then go on with `ddpm-tui resume`.",
    errno.EACCES: "Check who owns the folder, or choose another with --runs-dir.",
    errno.EPERM: "Check who owns the folder, or choose another with --runs-dir.",
    errno.EROFS: "The file system is read-only: choose another folder with --runs-dir.",
    errno.EIO: "The disk reports an error: look into the system's log, and save what is on it.",
    errno.EFBIG: "A file may not grow so large here: see `ulimit -f`.",
}
_ELSEWHERE = {
    errno.ENOSPC: "The disk is full: free some space",
    errno.EDQUOT: "Your quota is used up: free some space",
    errno.EACCES: "Check who owns the folder",
    errno.EPERM: "Check who owns the folder",
    errno.EROFS: "The file system is read-only: mount it for writing",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Of a file that is not there; over NFS, of one that was removed while it was open.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_COPIED_AT_ONCE = 1 << 20


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a RunError that names the path and what to do.

    Raises:
        NoRoomError: the disk is full, or a quota used up.
        RunGoneError: the path is in the folder of a run that was opened, and is not there any more.
        RunError: any other OSError.
    """
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        reason = error.strerror or str(error)
        message = f"Cannot {action} {path}: {reason}"
        if error.errno in _NO_ROOM:
            raise NoRoomError(message, hint, reason=reason) from error
        if error.errno in _NOT_THERE and (gone := moved.gone_with(path)):
            raise gone from error
        raise RunError(message, hint) from error


# --- Files and folders ---------------------------------------------------------------------------


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor, closed after the block; an error of closing is one of writing."""
    descriptor = disk.open(path, flags)
    try:
        yield descriptor
    except BaseException:
        with suppress(OSError):
            disk.close(descriptor)
        raise
    disk.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[disk.write(descriptor, left) :]


def sync(path: Path) -> None:
    """Push a file, or the names in a folder, to the disk.

    Raises:
        RunError: it cannot be read, or the disk fails.
    """
    with explained("write", path):
        _sync(path)


def _sync(path: Path) -> None:
    with opened(path, os.O_RDONLY) as descriptor:
        disk.sync(descriptor)


def sync_folder(path: Path) -> None:
    """Push the names in a folder to the disk, where that can be asked for.

    Raises:
        OSError: the disk fails.
    """
    try:
        _sync(path)
    except OSError as error:
        # One that may be written to but not read, or a file system that knows no such thing.
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise


def make_folder(path: Path, *, parents: bool = False) -> None:
    """Make a folder unless it is there.

    Args:
        parents: make those above it, too, but not the folder of a run that is gone.

    Raises:
        RunGoneError: it is to be in the folder of a run that is not there any more.
        RunError: it cannot be made, or a file is in its place.
    """
    with explained("create", path):
        _make_folder(path, parents=parents)


def _make_folder(path: Path, *, parents: bool) -> None:
    try:
        disk.make_folder(path)
    except FileExistsError:
        if not path.is_dir():
            reason = "a file is in its place"
            raise NotADirectoryError(errno.ENOTDIR, reason, str(path)) from None
    except FileNotFoundError:
        if not parents or path.parent == path or path.parent.is_dir() or moved.gone_with(path):
            raise
        _make_folder(path.parent, parents=True)
        _make_folder(path, parents=False)
    else:
        sync_folder(path.parent)


def check_writable(folder: Path) -> None:
    """Find out whether files can be made in a folder, or where it is not there, it itself.

    By making one: modes say nothing of a file system that is read-only, nor to a superuser.

    Raises:
        RunError: they cannot.
    """
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    probe = temporary_name(there / "probe")
    try:
        with explained("write in", folder):
            with opened(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
                pass
            disk.remove_file(probe)
    except RunError as error:
        error.hint = error.hint or _other_folder(there)
        raise


def _other_folder(there: Path) -> str:
    """What to do where a path cannot hold files, whatever its owner does."""
    if there.is_symlink() and not there.exists():
        return f"{there} is a link that leads nowhere: mend it, or name another folder."
    if not there.is_dir():
        return f"{there} is not a folder: name another one."
    return "Name another folder."


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder for the time of the block.

    Raises:
        RunError: none can be made.
    """
    try:
        folder = TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise RunError(
            f"No temporary folder can be made: {error.strerror or error}",
            "Make room, or name a folder that can be written with TMPDIR.",
        ) from error
    with folder as path:
        yield Path(path)


@contextmanager
def advising(option: str) -> Iterator[None]:
    """Where something cannot be written inside of the block, advise an option for elsewhere.

    Args:
        option: as in `--out`.
    """
    try:
        yield
    except RunError as error:
        cause = error.__cause__
        hint = _ELSEWHERE.get(cause.errno or 0) if isinstance(cause, OSError) else None
        if hint:
            error.hint = f"{hint}, or write elsewhere with {option}."
        raise


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and push it to the disk; for what is published by a rename."""
    with explained("write", path):
        _write_new(path, data, durable=True)


def _write_new(path: Path, data: bytes, *, durable: bool) -> None:
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
        _write(descriptor, data)
        if durable:
            disk.sync(descriptor)


def copy_synced(source: Path, path: Path) -> None:
    """Copy a file to a new one and push it to the disk; for what is published by a rename."""
    with (
        explained("write", path),
        source.open("rb") as file,
        opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor,
    ):
        while data := file.read(_COPIED_AT_ONCE):
            _write(descriptor, data)
        disk.sync(descriptor)


def write_atomic(
    path: Path, data: bytes, *, durable: bool = True, mtime_ns: int | None = None
) -> None:
    """Replace a file as a whole: a temporary beside it, fsync, rename, fsync of the folder.

    Args:
        durable: False leaves out the fsyncs, for files that are rewritten every second and may
            be lost with the machine; a reader never sees half of one all the same.
        mtime_ns: the time of modification that the new file is given; None: now.
    """
    temporary = temporary_name(path)
    with explained("write", path):
        try:
            _write_new(temporary, data, durable=durable)
            if mtime_ns is not None:
                disk.set_modified(temporary, mtime_ns)
            disk.rename(temporary, path)
        except BaseException:
            discard(temporary)
            raise
        if durable:
            sync_folder(path.parent)


def write_json(
    path: Path, value: Any, *, durable: bool = True, mtime_ns: int | None = None
) -> None:
    write_atomic(path, _json(value), durable=durable, mtime_ns=mtime_ns)


def overwrite_json(path: Path, value: Any) -> None:
    """Write over a file in its place, which takes no room: for a few words on a full disk.

    A machine that dies in the midst of it may leave half of it.

    Raises:
        RunError: it is not there, or the disk fails.
    """
    with explained("write", path), opened(path, _CHANGING) as descriptor:
        # Blanks over the rest of the old text; in one call, so that no reader sees half of it.
        disk.overwrite(descriptor, _json(value).ljust(os.fstat(descriptor).st_size))


def _json(value: Any) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _encoded(text)


def _encoded(text: str) -> bytes:
    """UTF-8. What of a path or an argument was none is escaped, and in JSON so read back."""
    return text.encode(errors="backslashreplace")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RunGoneError: the run that it belongs to is not there any more.
        RunError: missing, unreadable, not JSON or not an object.
    """
    try:
        value = json.loads(read_bytes(path))
    except FileNotFoundError as error:
        raise moved.gone_with(path) or RunError(f"{path} is missing") from error
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} does not hold a JSON object")
    return value


def append_line(path: Path, line: str) -> None:
    """Append one line in one write(), so that a reader sees it whole or torn at the end only.

    After an error what was written of it is taken back; a torn end that is there already is ended
    first.
    """
    with explained("write", path):
        end, data = -1, b""
        try:
            with opened(path, _APPENDING) as descriptor:
                end = os.fstat(descriptor).st_size
                torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                data = b"\n" * torn + _encoded(line) + b"\n"
                _write(descriptor, data)
        except OSError:
            if end >= 0:
                _take_back(path, end, len(data))
            raise


def _take_back(path: Path, end: int, size: int) -> None:
    """Cut off what was appended, unless somebody else has appended meanwhile."""
    with suppress(OSError), opened(path, _CHANGING) as descriptor:
        if end < os.fstat(descriptor).st_size <= end + size:
            disk.truncate(descriptor, end)


# --- Removing ------------------------------------------------------------------------------------


def remove(path: Path) -> bool:
    """Remove a file, or a folder with all that is in it; one that is not there is no error.

    A folder is hidden first, so that nobody sees half of one.

    Returns:
        Whether it was there.

    Raises:
        RunError: it cannot be removed.
    """
    with explained("remove", path):
        try:
            if path.is_dir() and not path.is_symlink():
                hidden = temporary_name(path)
                disk.rename(path, hidden)
                path = hidden
                with suppress(FileNotFoundError):  # somebody who sweeps helps
                    remove_tree(path)
            else:
                remove_tree(path)
        except FileNotFoundError:
            return False
    return True


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, where it is.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        for inside in list(path.iterdir()):
            remove_tree(inside)
        disk.remove_folder(path)
    else:
        disk.remove_file(path)


def discard(path: Path) -> None:
    """Remove what nobody needs, also where its run was moved; what cannot be removed stays."""
    with suppress(OSError):
        try:
            remove_tree(path)
        except FileNotFoundError:
            if there := moved.where_now(path):
                remove_tree(there)


def temporary_name(path: Path) -> Path:
    """Where to make what is to be at `path`: `.NAME.xxxxxxxx.tmp` beside it.

    Behind the x, which are random, stands which process makes it, see `processes.maker`.
    """
    maker = processes.maker()
    token = secrets.token_hex(4) + (f"-{maker}" if maker else "")
    return path.with_name(f".{path.name}.{token}.tmp")
