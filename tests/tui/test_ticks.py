import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tui.widgets.chart import format_tick, format_ticks, linear_ticks, log_ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 19_999, 4, [0, 5_000, 10_000, 15_000]),
        (0, 999, 8, [0, 200, 400, 600, 800]),
        (0.013, 0.047, 5, [0.02, 0.03, 0.04]),
        (-3, 3, 3, [-2, 0, 2]),
        (5, 5, 4, []),
        (0, 1, 0, []),
    ],
)
def test_linear_ticks(low, high, most, expected) -> None:
    assert linear_ticks(low, high, most) == expected


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 20))
def test_linear_ticks_are_few_and_inside(low, width, most) -> None:
    high = low + width
    if high <= low + 1e-9 * abs(low):
        return
    ticks = linear_ticks(low, high, most)
    assert len(ticks) <= most
    slack = 1e-6 * width
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if most >= 4:
        assert len(ticks) >= 2


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (1e-4, 1, 6, ["1e-4", "1e-3", "0.01", "0.1", "1"]),
        (1e-12, 1, 5, ["1e-12", "1e-9", "1e-6", "1e-3", "1"]),
        (0.02, 1.4, 8, ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]),
        (0.02, 1.4, 4, ["0.03", "0.1", "0.3", "1"]),
        (3, 4, 5, ["3", "3.25", "3.5", "3.75", "4"]),
        (100, 2e6, 5, ["100", "1k", "10k", "100k", "1M"]),
        (0.12, 0.83, 8, ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]),
    ],
)
def test_log_ticks_and_their_labels(low, high, most, expected) -> None:
    assert [format_tick(tick) for tick in log_ticks(low, high, most)] == expected


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([0, 0.05, 0.1], ["0", "0.05", "0.10"]),
        ([0, 500, 1000, 1500], ["0", "500", "1k", "1.5k"]),
        ([0, 25, 50, 75], ["0", "25", "50", "75"]),
        ([0, 2.5, 5], ["0", "2.5", "5.0"]),
        ([0, 2500, 5000], ["0", "2.5k", "5k"]),
        ([0, 2e6], ["0", "2M"]),
        ([0, 5e-4, 1e-3, 1.5e-3], ["0", "5e-4", "1e-3", "1.5e-3"]),
        ([-0.25, 0, 0.25], ["-0.25", "0", "0.25"]),
        ([2e20, 4e20], ["2e20", "4e20"]),
        ([12_345.5, 12_346.0], ["12.3455k", "12.346k"]),
        ([], []),
    ],
)
def test_format_ticks(ticks, expected) -> None:
    assert format_ticks(ticks) == expected
