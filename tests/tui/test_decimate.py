import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tui.widgets.chart import decimate

finite = st.floats(-1e6, 1e6)
anything = st.one_of(finite, st.just(math.nan), st.just(math.inf))


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=300), st.integers(1, 40))
def test_decimation_keeps_extremes_order_and_size(points, columns) -> None:
    x, y = np.array(sorted(points)).T
    few_x, few_y = decimate(x, y, columns)
    assert len(few_x) == len(few_y) <= 2 * columns + 2
    assert set(zip(few_x, few_y, strict=True)) <= set(zip(x, y, strict=True))
    assert (np.diff(few_x) >= 0).all()
    assert (few_x[0], few_x[-1]) == (x[0], x[-1])
    assert (few_y.min(), few_y.max()) == (y.min(), y.max())


@given(st.lists(st.tuples(anything, anything), max_size=200), st.integers(0, 20))
def test_decimation_takes_anything(points, columns) -> None:
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    few_x, few_y = decimate(x, y, columns)
    assert len(few_x) <= max(2 * columns, 2) + 2
    assert np.isfinite(few_x).all()
    assert not np.isinf(few_y).any()
    usable = y[np.isfinite(x) & np.isfinite(y)]
    if usable.size and len(few_x):
        assert np.nanmax(few_y) == usable.max()


def test_the_size_does_not_grow_with_the_data() -> None:
    sizes = set()
    for n in (10**3, 10**4, 10**6):
        y = np.random.default_rng(0).normal(size=n)
        sizes.add(len(decimate(np.arange(n), y, 80)[0]))
    assert all(155 <= size <= 162 for size in sizes)


def test_one_peak_in_a_million_survives() -> None:
    y = np.zeros(10**6)
    y[123_456] = 7
    x, y = decimate(np.arange(10**6), y, 50)
    assert x[y == 7].tolist() == [123_456]


def test_a_gap_wider_than_a_column_stays_a_gap() -> None:
    y = np.ones(1000)
    y[300:600] = math.nan
    y[700] = math.inf  # one in a column full of others: no gap
    x, y = decimate(np.arange(1000), y, 10)
    missing = x[np.isnan(y)]
    assert missing.size
    assert missing.min() >= 300
    assert missing.max() < 600


def test_unsorted_points_are_sorted() -> None:
    x, y = decimate([3, 1, 2], [30, 10, 20], 5)
    assert (x.tolist(), y.tolist()) == ([1, 2, 3], [10, 20, 30])


def test_what_a_logarithm_cannot_take_is_a_gap_and_hides_no_extreme() -> None:
    y = np.ones(1000)
    y[100:200] = [0, -1] * 50  # a whole column
    y[250], y[350], y[450] = 0, -5, 0.25  # one in a column of others
    x, few = decimate(np.arange(1000), y, 10, above=0)
    assert np.isnan(few[(x >= 100) & (x < 200)]).all()
    assert np.isfinite(few[(x < 100) | (x >= 200)]).all()
    assert few[x == 450] == 0.25


def test_infinities_at_the_ends_of_x_are_dropped() -> None:
    x, y = decimate([-math.inf, 1, 2, math.inf], [1, 2, 3, 4], 5)
    assert (x.tolist(), y.tolist()) == ([1, 2], [2, 3])
