"""The preview grids of a run: which there are, by the names of their files alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.events import Weights

_NAME = re.compile(r"step-(\d{8,15})(-raw)?\.png", re.ASCII)


def preview_path(run: Run, step: int, weights: Weights) -> Path:
    """Where the grid of a step is, or goes."""
    return run.samples_path / f"step-{step:08d}{'-raw' if weights == 'raw' else ''}.png"


@dataclass(frozen=True)
class Previews:
    """The steps that have a grid, ascending.

    Attributes:
        ema: painted with the weights to sample with.
        raw: painted with the weights as trained, too.
    """

    ema: tuple[int, ...] = ()
    raw: tuple[int, ...] = ()


def list_previews(run: Run) -> Previews:
    """What `samples/` holds; files of other names are somebody else's.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    found: dict[bool, list[int]] = {False: [], True: []}
    try:
        names = [path.name for path in run.samples_path.iterdir()]
    except FileNotFoundError:
        names = []
    for name in names:
        if match := _NAME.fullmatch(name):
            found[match[2] is not None].append(int(match[1]))
    return Previews(tuple(sorted(found[False])), tuple(sorted(found[True])))
