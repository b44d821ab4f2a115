"""Every write of a run folder goes through here.

A reader sees the old file or the new one, never half of one; after a crash the same holds for what
is on the disk. Errors of the file system come out as `RunError`, with what to do.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import RunError
from engine.runs.outside import read_bytes

# Never through a link: a log that is one would write into any file of its reader.
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_HINTS = {
    errno.ELOOP: "It is a link, and nothing is written through one.",
    errno.ENOSPC: "The disk is full: free some space, then go on with `ddpm-tui resume`.",
    errno.EDQUOT: "Your quota is used up: free some space, then go on with `ddpm-tui resume`.",
    errno.EACCES: "Check who owns the folder, or choose another with --runs-dir.",
    errno.EPERM: "Check who owns the folder, or choose another with --runs-dir.",
    errno.EROFS: "The file system is read-only: choose another folder with --runs-dir.",
}


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a RunError that names the path and what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        reason = error.strerror or str(error)
        raise RunError(f"Cannot {action} {path}: {reason}", hint) from error


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and push it to the disk; for files that are published by a rename."""
    with explained("write", path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(
    path: Path, data: bytes, *, durable: bool = True, mtime_ns: int | None = None
) -> None:
    """Replace a file as a whole: a temporary beside it, fsync, rename, fsync of the folder.

    Args:
        durable: False leaves out the fsyncs, for files that are rewritten every second and may
            be lost with the machine, never torn.
        mtime_ns: the time of modification that the new file is given; None: now.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with explained("write", path):
        try:
            if durable:
                write_synced(temporary, data)
            else:
                temporary.write_bytes(data)
            if mtime_ns is not None:
                os.utime(temporary, ns=(mtime_ns, mtime_ns))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _fsync_folder(path.parent)


def write_json(
    path: Path, value: Any, *, durable: bool = True, mtime_ns: int | None = None
) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, text.encode(), durable=durable, mtime_ns=mtime_ns)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RunError: missing, unreadable, not JSON or not an object.
    """
    try:
        value = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} does not hold a JSON object")
    return value


def append_line(path: Path, line: str) -> None:
    """Append one line in one write(), so that a reader sees it whole or torn at the end only."""
    with explained("write", path):
        descriptor = os.open(path, _APPENDING, 0o666)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)


@contextmanager
def published_file(target: Path) -> Iterator[BinaryIO]:
    """A file that appears at `target` complete and synced, or not at all; for large ones."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with explained("write", target):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(target.parent)


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """A folder that appears at `target` complete and synced, or not at all.

    Yields a temporary folder beside the target; on leaving the block without an error its files
    are fsynced and it is renamed. An existing target is replaced.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    retired = temporary.with_suffix(".old")
    with explained("write", target):
        target.parent.mkdir(exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            _fsync_folder(temporary)
            # Moved aside and not removed first: a crash in between loses neither of the two.
            if target.exists():
                target.rename(retired)
            temporary.rename(target)
            _fsync_folder(target.parent)
            shutil.rmtree(retired, ignore_errors=True)
        except BaseException:
            if retired.exists() and not target.exists():
                retired.rename(target)
            shutil.rmtree(temporary, ignore_errors=True)
            raise
