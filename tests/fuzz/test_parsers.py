"""Damaged files into every parser: what comes out is a result, or an error that was meant.

`DDPM_TUI_FUZZ_INPUTS=5000 pytest -s tests/fuzz/test_parsers.py -m slow` tries as many with each.
"""

from __future__ import annotations

import os
import traceback
import warnings
from pathlib import Path

import pytest

from tests.fuzz.parsers import PARSERS, damaged

# Inputs for each parser.
FEW = 40
MANY = int(os.environ.get("DDPM_TUI_FUZZ_INPUTS", "400"))


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_whole_is_read(name: str, tmp_path: Path) -> None:
    parser = PARSERS[name]
    for seed in parser.seeds:
        parser.read(seed, tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    _try(name, range(FEW), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", PARSERS)
def test_much_damaged_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    read, refused = _try(name, range(FEW, FEW + MANY), tmp_path)
    print(
        f"\n{name:22} {read + refused:7,} inputs  {read:7,} read  {refused:7,} refused  0 crashes"
    )


def _try(name: str, numbers: range, folder: Path) -> tuple[int, int]:
    """How many of the inputs were read and how many refused; anything else fails the test."""
    parser = PARSERS[name]
    refused = 0
    crashes: dict[str, int] = {}
    for number in numbers:
        data = damaged(name, number)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # one would be printed across the screen
                parser.read(data, folder)
        except parser.refusals:
            refused += 1
        except Exception as error:
            where = traceback.format_exception(error)[-2].strip().splitlines()[0]
            crashes.setdefault(f"{type(error).__name__}: {error!s:.200} {where}", number)
    assert not crashes, f"damaged({name!r}, number) crashes, by number: {crashes}"
    return len(numbers) - refused, refused
