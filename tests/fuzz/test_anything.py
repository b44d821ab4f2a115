"""Anything at all into every parser: what comes out is a result, or an error that was meant.

`DDPM_TUI_FUZZ_INPUTS=1000 pytest -s tests/fuzz/test_anything.py -m slow` tries as many with each.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.anything import anything
from tests.fuzz.parsers import PARSERS

FEW = 20
MANY = int(os.environ.get("DDPM_TUI_FUZZ_INPUTS", "100"))


@pytest.mark.parametrize("name", PARSERS)
def test_anything_is_read_or_refused(name: str, tmp_path: Path) -> None:
    _try(name, FEW, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", PARSERS)
def test_much_of_anything_is_read_or_refused(name: str, tmp_path: Path) -> None:
    tried = _try(name, MANY, tmp_path)
    print(f"\n{name:26} {tried:7,} inputs  0 crashes")


def _try(name: str, examples: int, folder: Path) -> int:
    """How many inputs were tried; the smallest that is not read or refused fails the test."""
    parser = PARSERS[name]
    tried = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(anything(parser))
    def read(data: bytes) -> None:
        nonlocal tried
        tried += 1
        # A warning would be printed across the screen.
        with suppress(*parser.refusals), warnings.catch_warnings():
            warnings.simplefilter("error")
            parser.read(data, folder)

    read()
    return tried
