"""What a trainer that died left half made: found and removed by the next one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.runs.folder import Run
from engine.runs.litter import clear_abandoned, find_litter

# What only the trainer of a run writes; whoever holds the lock knows that nobody is at it.
_TRAINERS = re.compile(r"(status|devices)\.json|metrics\.jsonl|step-\d+(-raw)?(\.png)?")


def sweep(run: Run) -> None:
    """Remove what was half made in a run and beside it; for whoever holds its lock.

    What was moved aside, for a new one to take its place, goes back where none did. What cannot be
    removed stays.
    """
    for folder in _folders(run):
        if folder != run.path.parent:
            with suppress(OSError):
                for litter in find_litter(folder):
                    if _TRAINERS.fullmatch(litter.target.name):
                        with suppress(OSError):
                            litter.clear()
        # Others may be at work, here or on another machine: on pictures, exports, a new run.
        clear_abandoned(folder)


def _folders(run: Run) -> Iterator[Path]:
    """The folder of all runs, and those of this one in which things are made."""
    yield run.path.parent
    for folder, inside, _ in os.walk(run.path):
        inside[:] = [name for name in inside if not name.startswith((".", "step-"))]
        yield Path(folder)
