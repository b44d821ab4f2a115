"""Data sets as uint8 tensors on the device: where they are found, how they are verified and loaded.

`sources` knows the data sets and searches the machine for them, `idx` reads and writes their file
format, `verify` holds a file against its pinned hash, `dataset` puts one on a device, `range` maps
pixels between [0, 255] and [−1, 1], and `download` fetches what is missing.

Importing this package loads nothing; torch comes with the first name that needs it. The function
`download.download` is not repeated here, because it would hide its own module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.data.dataset import Dataset, load
    from engine.data.range import to_uint8, to_unit
    from engine.data.sources import (
        SOURCES,
        Availability,
        Located,
        Source,
        available,
        default_dataset,
        find,
    )

__all__ = [
    "SOURCES",
    "Availability",
    "Dataset",
    "Located",
    "Source",
    "available",
    "default_dataset",
    "find",
    "load",
    "to_uint8",
    "to_unit",
]

_MODULE_OF = {
    "SOURCES": "sources",
    "Availability": "sources",
    "Located": "sources",
    "Source": "sources",
    "available": "sources",
    "default_dataset": "sources",
    "find": "sources",
    "Dataset": "dataset",
    "load": "dataset",
    "to_uint8": "range",
    "to_unit": "range",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
