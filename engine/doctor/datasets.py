"""The data sets: where each lies, and whether its files are what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.doctor.finding import Finding
from engine.errors import DataError

GROUP = "data"


def datasets(data_dir: Path | None = None) -> Iterator[Finding]:
    """A finding for each data set; every file of those that are here is read and verified.

    Raises:
        DataError: `data_dir` is not a folder.
    """
    from engine.data.sources import available
    from engine.data.verify import read_verified

    for entry in available(data_dir):
        if entry.located is None:
            spoiled = [place for place in entry.tried if place.endswith(")")]
            found = "not on this machine" + "".join(f"; {place}" for place in spoiled)
            fix = f"Only if you want to train on it: `ddpm-tui data get {entry.name}`"
            yield Finding(GROUP, entry.name, "note", found, fix)
            continue
        try:
            for file, path in entry.located.files.items():
                read_verified(entry.source, file, path)
        except DataError as error:
            yield Finding(GROUP, entry.name, "wrong", error.message, error.hint)
        else:
            count = f"{entry.train_count:,} + {entry.test_count:,} images"
            yield Finding(GROUP, entry.name, "ok", f"{count}, {entry.origin}, verified")
