"""Disks that fail, and disks that forget: put in the place of `engine.runs.io.disk`."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.runs.disk import Disk

# What a full disk has no room for; one can still rename and remove.
_TAKES_ROOM = ("open", "write", "make_folder")


class FailingDisk(Disk):
    """A disk whose Nth call fails; of a write half may be done before.

    Args:
        at: which call, from 1 on; 0 is none.
        error: the errno it fails with.
        lasting: from then on until `heal` every call fails that has reason to.

    Attributes:
        calls: how many there were.
        failed: the names of the calls that failed.
    """

    def __init__(self, at: int = 0, error: int = errno.EIO, *, lasting: bool = False) -> None:
        self.calls = 0
        self.failed: list[str] = []
        self._at, self._error, self._lasting = at, error, lasting
        self._half_done = False

    def heal(self) -> None:
        self._at = 0

    def _due(self, name: str, takes_room: bool) -> bool:
        self.calls += 1
        if self._lasting and 0 < self._at < self.calls:
            return self._error == errno.EIO or (takes_room and name in _TAKES_ROOM)
        return self.calls == self._at

    def _reach(self, name: str, *, takes_room: bool = True) -> None:
        if self._due(name, takes_room):
            self._fail(name)

    def _fail(self, name: str) -> None:
        self.failed.append(name)
        raise OSError(self._error, os.strerror(self._error))

    def open(self, path: Path, flags: int) -> int:
        self._reach("open", takes_room=bool(flags & os.O_CREAT) and not path.exists())
        return super().open(path, flags)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self._half_done:
            self._half_done = False
            self._fail("write")
        if self._due("write", True):
            if len(data) < 2:
                self._fail("write")
            # A disk that is nearly full takes what fits, and says no to the rest.
            self._half_done = True
            return super().write(descriptor, data[: len(data) // 2])
        return super().write(descriptor, data)

    def overwrite(self, descriptor: int, data: bytes) -> int:
        self._reach("overwrite")
        return super().overwrite(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._reach("truncate")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._reach("sync")
        super().sync(descriptor)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._reach("close")

    def make_folder(self, path: Path) -> None:
        self._reach("make_folder", takes_room=not path.exists())
        super().make_folder(path)

    def rename(self, path: Path, target: Path) -> None:
        self._reach("rename")
        super().rename(path, target)

    def remove_file(self, path: Path) -> None:
        self._reach("remove_file")
        super().remove_file(path)

    def remove_folder(self, path: Path) -> None:
        self._reach("remove_folder")
        super().remove_folder(path)

    def set_modified(self, path: Path, ns: int) -> None:
        self._reach("set_modified")
        super().set_modified(path, ns)


class RecordingDisk(Disk):
    """A disk that writes down what it was told.

    Attributes:
        log: the calls, each a name and what it takes; a descriptor is the path it was opened with.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self._paths: dict[int, Path] = {}

    def open(self, path: Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self._paths[descriptor] = path
        if not folder:
            self.log.append(("open", path, bool(flags & os.O_TRUNC)))
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        written = super().write(descriptor, data)
        # Where it went: at the end of a file that is appended to.
        at = max(at, os.lseek(descriptor, 0, os.SEEK_CUR) - written)
        self.log.append(("write", self._paths[descriptor], at, bytes(data[:written])))
        return written

    def overwrite(self, descriptor: int, data: bytes) -> int:
        self.log.append(("write", self._paths[descriptor], 0, data))
        return super().overwrite(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self.log.append(("truncate", self._paths[descriptor], size))
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self.log.append(("sync", self._paths[descriptor]))
        super().sync(descriptor)

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self.log.append(("make_folder", path))

    def rename(self, path: Path, target: Path) -> None:
        super().rename(path, target)
        self.log.append(("rename", path, target))

    def remove_file(self, path: Path) -> None:
        super().remove_file(path)
        self.log.append(("remove", path))

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self.log.append(("remove", path))


# --- What a crash leaves -------------------------------------------------------------------------


@dataclass(eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass(eq=False)
class _Folder:
    names: dict[str, Any] = field(default_factory=dict)
    synced: dict[str, Any] = field(default_factory=dict)


Tree = dict[str, bytes | None]
"""What is on a disk: the content of files, and None for folders, by their paths."""


class Crashes:
    """What the disk holds when the machine dies after the first k calls of a log.

    A file keeps what was synced of it, a folder the names that it had when it was synced. A rename
    from one folder to another is in both or in neither.

    Args:
        root: a folder that outlives every crash, empty at first.
    """

    def __init__(self, root: Path, log: list[tuple[Any, ...]]) -> None:
        self._root, self._log = root, log
        self._tree = _Folder()
        self._moves: list[tuple[_Folder, str, _Folder, str, Any]] = []
        self._written: tuple[_File | None, int] = (None, 0)

    def __iter__(self) -> Iterator[tuple[int, str, Tree]]:
        """How many calls were made, what of them is lost, and what is left."""
        for done, call in enumerate(self._log, start=1):
            self._apply(*call)
            yield done, "what was not synced", self._view(names="synced", content="synced")
            yield done, "content that was not synced", self._view(names="all", content="synced")
            yield done, "half of the last write", self._view(names="all", content="torn")

    def _find(self, path: Path) -> Any:
        node: Any = self._tree
        for part in path.relative_to(self._root).parts:
            node = node.names[part]
        return node

    def _apply(self, call: str, path: Path, *more: Any) -> None:
        self._written = (None, 0)
        match call:
            case "sync":
                self._sync(self._find(path))
            case "open":
                file = self._find(path.parent).names.setdefault(path.name, _File())
                if more[0]:
                    file.content.clear()
            case "write":
                file, (at, data) = self._find(path), more
                file.content[at : at + len(data)] = data
                self._written = (file, at + len(data) // 2)
            case "truncate":
                del self._find(path).content[more[0] :]
            case "make_folder":
                self._find(path.parent).names[path.name] = _Folder()
            case "remove":
                del self._find(path.parent).names[path.name]
            case "rename":
                source, target = self._find(path.parent), self._find(more[0].parent)
                node = target.names[more[0].name] = source.names.pop(path.name)
                self._moves.append((source, path.name, target, more[0].name, node))
            case _:
                raise AssertionError(f"{call} is not known")

    def _sync(self, node: Any) -> None:
        if isinstance(node, _File):
            node.synced = bytes(node.content)
            return
        node.synced = dict(node.names)
        for source, name, target, new, moved in self._moves:
            if source is not target and node in (source, target):
                if source.synced.get(name) is moved:
                    del source.synced[name]
                target.synced[new] = moved
        self._moves = [move for move in self._moves if node not in (move[0], move[2])]

    def _view(self, *, names: str, content: str) -> Tree:
        tree: Tree = {}
        last, end = self._written

        def walk(folder: _Folder, above: str) -> None:
            for name, node in (folder.synced if names == "synced" else folder.names).items():
                path = above + name
                if isinstance(node, _Folder):
                    tree[path] = None
                    walk(node, f"{path}/")
                elif content == "synced":
                    tree[path] = node.synced
                else:
                    tree[path] = bytes(node.content[: end if node is last else None])

        walk(self._tree, "")
        return tree


def lay_out(tree: Tree, root: Path, age: float) -> None:
    """Make the files and folders of a tree, last touched `age` seconds ago."""
    then = time.time() - age
    for name, content in tree.items():
        path = root / name
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    for name in tree:
        os.utime(root / name, (then, then))
