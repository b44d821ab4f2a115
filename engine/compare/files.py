"""A comparison on disk: the pictures of the runs as one sheet, the figures as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.images import Pixels, write_png
from engine.runs import io

SCHEMA_VERSION = 1
# Of the names of the runs in the name of a file, which may have 255 bytes.
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Row:
    """The pictures of a run on the sheet.

    Attributes:
        about: how they came about, for the JSON file.
        pixels: uint8 (N, C, H, W); None where the run has none.
    """

    about: Mapping[str, Any]
    pixels: Pixels | None


@dataclass(frozen=True)
class ComparisonFiles:
    """What `write_comparison` left; no sheet where no run has pictures."""

    json: Path
    png: Path | None


def write_comparison(
    folder: Path, facts: Mapping[str, Any], rows: Sequence[Row]
) -> ComparisonFiles:
    """Write figures and differences as JSON, and the pictures, a row of the sheet a run, as PNG.

    Args:
        folder: made if need be; a name that is taken there is not used again.
        facts: as `standing.facts` gives them.

    Raises:
        RunError: the folder cannot be written.
    """
    io.make_folder(folder, parents=True)
    shown = [row for row in rows if row.pixels is not None and len(row.pixels)]
    stem = _free_stem(folder, "-".join(facts["runs"])[:_LONGEST_NAME].rstrip(".-"))
    files = ComparisonFiles(folder / f"{stem}.json", folder / f"{stem}.png" if shown else None)
    if files.png is not None:
        images, columns = sheet([row.pixels for row in shown if row.pixels is not None])
        about = {"rows": [dict(row.about) for row in shown]}
        write_png(files.png, images, about=about, columns=columns)
    written = {
        "schema_version": SCHEMA_VERSION,
        "created": time.time(),
        **facts,
        "sheet": files.png and files.png.name,
        "sheet_rows": [dict(row.about) for row in shown],
    }
    io.write_json(files.json, written)
    return files


def _free_stem(folder: Path, name: str) -> str:
    stamped = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    stem, number = stamped, 2
    while (folder / f"{stem}.json").exists():
        stem, number = f"{stamped}-{number}", number + 1
    return stem


def sheet(rows: Sequence[Pixels]) -> tuple[Pixels, int]:
    """The pictures of several runs as those of one grid.

    Args:
        rows: each uint8 (n, C, H, W), n ≥ 1; sizes may differ, and some be grey.

    Returns:
        uint8 (rows · columns, C, H, W) of the largest size, and the columns; smaller pictures
        stand in the middle of theirs, and a row that has fewer ends in black.
    """
    columns = max(len(row) for row in rows)
    channels, height, width = (max(row.shape[axis] for row in rows) for axis in (1, 2, 3))
    images = np.zeros((len(rows), columns, channels, height, width), np.uint8)
    for place, row in zip(images, rows, strict=True):
        count, _, high, wide = row.shape
        top, left = (height - high) // 2, (width - wide) // 2
        # A grey picture has the same in every channel.
        place[:count, :, top : top + high, left : left + wide] = row
    return images.reshape(-1, channels, height, width), columns
