"""The calls that change what a disk holds, and nothing else: `engine.runs.io` is made of them.

A test puts another `Disk` in the place of `io.disk`: one whose Nth call fails, or one that writes
down what was asked of it, to rebuild what a crash leaves.
"""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The disk of this machine. Every method is one change, and raises OSError."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor; a new file gets the user's umask."""
        return os.open(path, flags, 0o666)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """How many bytes were written; on a disk that fills up, fewer than were given."""
        return os.write(descriptor, data)

    def overwrite(self, descriptor: int, data: bytes) -> int:
        """Write over the first bytes."""
        return os.pwrite(descriptor, data, 0)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Push the content of a file to the disk; of a folder, the names in it."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor; over a network, writes may fail as late as here."""
        os.close(descriptor)

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def rename(self, path: Path, target: Path) -> None:
        """A file replaces a file; a folder replaces an empty folder, and no other."""
        path.rename(target)

    def make_link(self, path: Path, target: Path) -> None:
        """A symbolic link that leads to `target`."""
        path.symlink_to(target)

    def remove_file(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def set_modified(self, path: Path, ns: int) -> None:
        """Set the time of the last modification."""
        os.utime(path, ns=(ns, ns))
