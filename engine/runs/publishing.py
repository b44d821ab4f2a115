"""Files and folders that appear under their name complete, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

from engine.runs import io


class _File(RawIOBase):
    """A descriptor as a file object, for libraries that write to one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return io.disk.write(self._descriptor, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)


@contextmanager
def published_file(target: Path) -> Iterator[BinaryIO]:
    """A file that appears at `target` complete and synced, or not at all; for large ones."""
    temporary = io.temporary_name(target)
    with io.explained("write", target):
        try:
            with io.opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
                file = BufferedWriter(_File(descriptor))
                try:
                    yield file
                    file.flush()
                finally:
                    with suppress(OSError):  # after an error, of what could not be written
                        file.close()
                io.disk.sync(descriptor)
            io.disk.rename(temporary, target)
        except BaseException:
            io.discard(temporary)
            raise
        io.sync_folder(target.parent)


@contextmanager
def unpublished_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`, to write into with the functions that sync.

    Whoever made it gives it its name; after an error in the block it is gone.
    """
    temporary = io.temporary_name(target)
    with io.explained("write in", target.parent):
        io.disk.make_folder(temporary)
    try:
        yield temporary
    except BaseException:
        io.discard(temporary)
        raise


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """A folder that appears at `target` complete, or not at all. One that is there is replaced.

    Yields:
        a hidden folder beside the target, to write into with the functions that sync.
    """
    io.make_folder(target.parent)
    with unpublished_folder(target) as temporary:
        yield temporary
        with io.explained("write", target):
            io.sync_folder(temporary)
            _replace(target, temporary)


def _replace(target: Path, folder: Path) -> None:
    retired = folder.with_suffix(".old")
    try:
        # Moved aside and not removed first: a crash in between loses neither of the two.
        if target.exists():
            io.disk.rename(target, retired)
        try:
            io.disk.rename(folder, target)
        except BaseException:
            if retired.exists():
                io.disk.rename(retired, target)
            raise
        io.sync_folder(target.parent)
    finally:
        if target.exists():
            io.discard(retired)


def claim(folder: Path, target: Path) -> bool:
    """Give a folder that is not empty a name; of several who want it, one gets it.

    Returns:
        False where there is something of that name; then nothing is changed.

    Raises:
        RunError: it cannot be renamed; then it has the name that it had.
    """
    if os.path.lexists(target):
        return False
    with io.explained("rename", folder):
        try:
            io.disk.rename(folder, target)
        except OSError as error:
            # Only an empty folder can be replaced by one.
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                return False
            raise
        try:
            io.sync_folder(target.parent)
            if folder.parent != target.parent:
                io.sync_folder(folder.parent)
        except OSError:
            try:
                io.disk.rename(target, folder)
            except OSError:
                return True  # neither back: it has the name now, and the disk is beyond help
            raise
    return True


def move_link(link: Path, target: Path) -> bool:
    """Give a link another name; it leads where it led.

    Returns:
        False where there is something of that name; then nothing is changed.
    """
    with io.explained("rename", link):
        try:
            io.disk.make_link(target, link.parent.absolute() / link.readlink())
        except FileExistsError:
            return False
        io.disk.remove_file(link)
    return True
