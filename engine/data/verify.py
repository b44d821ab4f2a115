"""Holding a data set's files against what is known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data import idx
from engine.data.sources import Located, Source
from engine.errors import DataError


def read_verified(source: Source, file: str, path: Path) -> NDArray[np.uint8]:
    """Read one file of a data set, or refuse it.

    Args:
        source: the data set.
        file: which of its files, one of `sources.FILES`.
        path: where that file lies, gzip-compressed or not.

    Returns:
        uint8: images (N, H, W) or labels (N,), writable.

    Raises:
        DataError: the file cannot be read, has the wrong shape or does not have the pinned SHA-256.
    """
    hint = (
        f"Delete or replace that file; `ddpm-tui data get {source.name}` fetches a fresh copy."
        if source.torchvision
        else "Reinstall ddpm-tui: the files that come with it are damaged."
    )
    try:
        array, found = idx.read_hashed(path)
    except DataError as error:
        raise DataError(error.message, hint) from None
    shape = source.shape_of(file)
    if array.shape != shape:
        raise DataError(
            f"{path} is not {source.name}'s {file}: it holds {_text(array.shape)} bytes,"
            f" not {_text(shape)}",
            hint,
        )
    expected = source.sha256[file]
    if found != expected:
        raise DataError(
            f"{path} is not {source.name}'s {file} or was altered: the SHA-256 of its decompressed"
            f" content is {found[:12]}…, not {expected[:12]}…",
            hint,
        )
    return array


def verify(source: Source, located: Located) -> None:
    """Read and verify all four files of a data set; raises what `read_verified` raises."""
    for file, path in located.files.items():
        read_verified(source, file, path)


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
