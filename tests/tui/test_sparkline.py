import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tui.widgets.sparkline import BLOCKS, sparkline


def test_a_ramp_uses_every_block_once() -> None:
    assert sparkline(range(8), 8) == BLOCKS


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 5, ""),
        ([1, 2], 0, ""),
        ([3], 5, "▅"),
        ([7, 7, 7], 3, "▅▅▅"),  # constant: in the middle
        ([0, math.nan, 1], 3, "▁ █"),
        ([0, math.inf, 1, -math.inf], 4, "▁ █ "),
        ([math.nan, math.nan], 2, "  "),
        ([0, math.nan, 1, 1], 2, "▁█"),  # the mean of what is known
        ([0, math.inf, 1, 1], 2, "▁█"),
        ([-1e308, 1e308], 2, "▁█"),
        ([1, 2], 9, "▁█"),  # never longer than the data
    ],
)
def test_sparkline(values: list[float], width: int, expected: str) -> None:
    assert sparkline(values, width) == expected


def test_many_values_are_averaged_in_order() -> None:
    rising = np.linspace(0, 1, 100_001)
    assert sparkline(rising, 8) == BLOCKS
    assert sparkline(rising[::-1], 8) == BLOCKS[::-1]


@given(st.lists(st.floats(), max_size=60), st.integers(-2, 20))
def test_any_values_fit_the_width(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == max(0, min(width, len(values)))
    assert set(line) <= set(BLOCKS + " ")
