"""A large drawing in pieces: what a killed `sample` has finished, the same command goes on from.

Beside the files that are to be, a hidden folder `.STEM.xxxxxxxx.shards` holds the pieces of `SHARD`
pictures that are finished. The x are a digest of all that decides the pictures, which
`manifest.json` there spells out: what was asked for, and the weights. So other arguments never mix
with it. A piece is a file of raw pixels with a hash in its name: it is there whole, or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import NoRoomError, RunError
from engine.images import Pixels, npy_file
from engine.runs import io, publishing
from engine.runs.litter import clear_abandoned
from engine.runs.lock import is_owned, owning
from engine.runs.outside import open_file

# Pictures of a piece; the first holds all that grid and film show.
SHARD = 256

_MANIFEST = "manifest.json"
_FOLDER = re.compile(r"\..+\.[0-9a-f]{8}\.shards")
_OF_A_DRAWING = re.compile(r"\d{8}-|manifest")
# Of a drawing that nobody went on with, in seconds: a week.
_KEPT_FOR = 7 * 86_400.0
_DIGEST = 16
_COPIED_AT_ONCE = 1 << 20


class Shards:
    """The finished pieces of a drawing, while this process owns them.

    Args:
        shown: names of the files in the folder that belong to the first piece: grid and film.

    Attributes:
        folder: where they are.
        missing: index ranges of the pieces that are still to be drawn.
    """

    def __init__(
        self, folder: Path, num: int, image_shape: tuple[int, int, int], shown: Sequence[str]
    ) -> None:
        self.folder = folder
        self._shape = (num, *image_shape)
        self._picture = int(np.prod(image_shape))
        self._shown = [folder / name for name in shown]
        self._all = [range(i, min(i + SHARD, num)) for i in range(0, num, SHARD)]
        self._there = self._verified()
        self.missing = [each for each in self._all if each.start not in self._there]

    @property
    def done(self) -> int:
        """Pictures of the pieces that are there."""
        return self._shape[0] - sum(map(len, self.missing))

    def add(self, indices: range, pixels: Pixels) -> None:
        """Keep a finished piece; for the first, grid and film must be there.

        Raises:
            RunError: it cannot be written.
        """
        data = np.ascontiguousarray(pixels).tobytes()
        digest = hashlib.sha256(data)
        self._add_shown(indices.start, digest)
        path = self.folder / f"{indices.start:08}-{digest.hexdigest()[:_DIGEST]}"
        io.write_atomic(path, data)
        self._there[indices.start] = path
        self.missing.remove(indices)

    def merge(self, target: Path) -> None:
        """Write all pictures as one .npy, uint8 (N, C, H, W); memory does not grow with them.

        Raises:
            RunError: it cannot be written.
        """
        with npy_file(target, self._shape) as file:
            for indices in self._all:
                with open_file(self._there[indices.start]) as piece:
                    shutil.copyfileobj(piece, file, _COPIED_AT_ONCE)

    def check_room(self) -> None:
        """Find out before the drawing whether the disk has room for what is missing.

        Raises:
            NoRoomError: it has not.
        """
        num = self._shape[0]
        needed = (num + sum(map(len, self.missing))) * self._picture
        with io.explained("read", self.folder):
            free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise NoRoomError(
                f"{num:,} pictures need {needed / 1e6:,.1f} MB in {self.folder.parent} while they "
                f"are drawn, and {free / 1e6:,.1f} MB are free",
                "Free some space, or write elsewhere with --out.",
                reason=os.strerror(errno.ENOSPC),
            )

    def _verified(self) -> dict[int, Path]:
        """The pieces that are there and whole, by their first index; others are removed."""
        there: dict[int, Path] = {}
        sizes = {each.start: len(each) * self._picture for each in self._all}
        with io.explained("read", self.folder):
            found = sorted(self.folder.iterdir())
        for path in found:
            if match := re.fullmatch(rf"(\d{{8}})-([0-9a-f]{{{_DIGEST}}})", path.name):
                start = int(match[1])
                if self._is_whole(path, start, sizes.get(start), match[2]):
                    there[start] = path
                else:
                    io.discard(path)
        return there

    def _is_whole(self, path: Path, start: int, size: int | None, digest: str) -> bool:
        try:
            if path.lstat().st_size != size:
                return False
            with open_file(path) as file:
                found = hashlib.file_digest(file, "sha256")
            self._add_shown(start, found)
        except (OSError, RunError):
            return False
        return found.hexdigest()[:_DIGEST] == digest

    def _add_shown(self, start: int, digest: Any) -> None:
        for path in self._shown if start == 0 else ():
            with io.explained("read", path), open_file(path) as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())


@contextmanager
def open_shards(
    folder: Path,
    stem: str,
    arguments: Mapping[str, Any],
    num: int,
    image_shape: tuple[int, int, int],
    shown: Sequence[str],
) -> Iterator[Shards]:
    """The pieces of one drawing, which nobody else works at meanwhile; removed after the block.

    After an error or a signal in the block what is finished stays, for the next one, and a note on
    the exception says so.

    Args:
        folder: where the files of the drawing go.
        stem: their name without its ending.
        arguments: all that decides the pictures, as JSON has it.
        num: pictures in all, each of `image_shape`, (C, H, W).
        shown: see `Shards`.

    Raises:
        RunError: another process is drawing the same, or nothing can be written.
    """
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:8]
    place = folder / f".{stem}.{digest}.shards"
    _remove_old(folder)
    if place.is_symlink():
        raise RunError(f"{place} is a link, and nothing is written through one", "Remove the link.")
    io.make_folder(place)
    if is_owned(place):
        raise RunError(
            f"Another process is drawing {stem} in {folder}",
            "Wait until it has ended, or draw elsewhere with --out.",
        )
    with owning(place):
        clear_abandoned(place)
        if not _is_of(place, arguments):
            with io.explained("read", place):
                others = [each for each in place.iterdir() if _OF_A_DRAWING.match(each.name)]
            for path in others:
                io.discard(path)
            io.write_json(place / _MANIFEST, arguments)
        shards = Shards(place, num, image_shape, shown)
        try:
            yield shards
        except BaseException as error:
            if shards.done:
                error.add_note(
                    f"{shards.done:,} of {num:,} pictures are kept; "
                    "the same command goes on from there"
                )
            else:
                io.discard(place)
            raise
        io.remove(place)


def _is_of(place: Path, arguments: Mapping[str, Any]) -> bool:
    try:
        return io.read_json(place / _MANIFEST) == arguments
    except RunError:
        return False


def _remove_old(folder: Path) -> None:
    """Remove the pieces of drawings that nobody has gone on with for a week."""
    with suppress(OSError, RunError):
        for path in folder.iterdir():
            if _FOLDER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                times = [each.lstat().st_mtime for each in (path, *path.iterdir())]
                if time.time() - max(times) > _KEPT_FOR and not is_owned(path):
                    io.remove(path)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file to where it appears whole.

    Raises:
        RunError: it cannot be written.
    """
    with (
        io.explained("read", source),
        open_file(source) as file,
        publishing.published_file(target) as copy,
    ):
        shutil.copyfileobj(file, copy, _COPIED_AT_ONCE)


def write_labels(path: Path, labels: npt.NDArray[np.int64]) -> None:
    """Write labels, int64 (N,), as .npy.

    Raises:
        RunError: it cannot be written.
    """
    with publishing.published_file(path) as file:
        np.lib.format.write_array(file, labels, allow_pickle=False)
