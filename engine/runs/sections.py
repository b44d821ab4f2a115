"""TOML read a section at a time: of thousands of runs most sections are equal, and parsed once."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from typing import Any

_SECTION = re.compile(r"^(?=\[)", re.MULTILINE)


def loads(text: str) -> dict[str, Any]:
    """What `tomllib.loads` gives; a listing takes a third of the time. Not to be changed.

    Raises:
        ValueError: it is not valid TOML, or has an integer of thousands of digits.
        RecursionError: it is nested too deeply.
    """
    values: dict[str, Any] = {}
    try:
        for section in _SECTION.split(text):
            _merge(values, _section(section))
    except (tomllib.TOMLDecodeError, _Twice):
        # Either wrong, or a bracket at the start of a line that is no section's.
        return tomllib.loads(text)
    return values


class _Twice(Exception):
    """A key is in two sections: a table that goes on, an array of tables, or a mistake."""


@lru_cache(maxsize=1024)
def _section(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def _merge(values: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if key in values:
            raise _Twice
        values[key] = value
