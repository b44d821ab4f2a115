import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tui.widgets.chart.canvas import BLANK, BRAILLE, QUADRANTS, Canvas, glyph_brush

share = st.one_of(st.floats(0, 1), st.just(math.nan))


def rows(canvas: Canvas) -> list[str]:
    return ["".join(text for text, _ in canvas.runs(y)) for y in range(canvas.height)]


@pytest.mark.parametrize(
    ("brush", "expected"),
    [
        (BRAILLE, ["  ⡠⠊", "⡠⠊  "]),
        (QUADRANTS, ["  ▞", " ▞ ", "▞  "]),
        (glyph_brush("*"), ["  *", " * ", "*  "]),
    ],
    ids=["braille", "quadrants", "glyph"],
)
def test_a_straight_line(brush, expected) -> None:
    canvas = Canvas(len(expected[0]), len(expected))
    ends = np.array([0.0, 1.0])
    canvas.curve(ends, ends, brush, 1)
    assert rows(canvas) == expected


@given(
    st.lists(st.tuples(share, share), min_size=1, max_size=30),
    st.integers(1, 12),
    st.integers(1, 6),
)
def test_a_curve_goes_through_its_points_without_a_hole(points, width, height) -> None:
    points = [(0.0 if math.isnan(x) else x, y) for x, y in points]
    canvas = Canvas(width, height)
    x, y = np.array(points).T
    canvas.curve(x, y, glyph_brush("*"), 1)
    cells = {(r, c) for r, row in enumerate(rows(canvas)) for c, g in enumerate(row) if g == "*"}
    known = ~np.isnan(y)
    column = np.rint(x[known] * (width - 1)).astype(int).tolist()
    row = np.rint((1 - y[known]) * (height - 1)).astype(int).tolist()
    assert set(zip(row, column, strict=True)) <= cells
    if known.all():  # then every cell is reached from the first one over neighbours
        reached, edge = set(), {(row[0], column[0])}
        while edge:
            reached |= edge
            near = {(r + i, c + j) for r, c in edge for i in (-1, 0, 1) for j in (-1, 0, 1)}
            edge = (near & cells) - reached
        assert reached == cells


def test_dots_of_one_brush_add_up_and_take_the_later_paint() -> None:
    canvas = Canvas(1, 1)
    canvas.curve(np.zeros(1), np.ones(1), BRAILLE, 1)
    canvas.curve(np.ones(1), np.zeros(1), BRAILLE, 2)
    assert canvas.runs(0) == [("⢁", 2)]


def test_another_brush_covers_and_text_cannot_be_added_to() -> None:
    canvas = Canvas(2, 1)
    canvas.curve(np.array([0.0, 1.0]), np.ones(2), QUADRANTS, 1)
    canvas.curve(np.zeros(1), np.zeros(1), BRAILLE, 2)
    canvas.text(0, 1, "x", 3)
    assert canvas.runs(0) == [("⡀", 2), ("x", 3)]
    canvas.curve(np.ones(1), np.zeros(1), QUADRANTS, 1)
    assert canvas.runs(0) == [("⡀", 2), ("▗", 1)]


def test_spaces_are_apart_and_text_is_cut_off_at_the_edge() -> None:
    canvas = Canvas(6, 1)
    canvas.text(0, 0, "a b", 1)
    canvas.text(0, 4, "long", 2)
    canvas.text(0, 9, "beside", 2)
    canvas.text(5, 0, "below", 2)
    assert canvas.runs(0) == [("a", 1), (" ", BLANK), ("b", 1), (" ", BLANK), ("lo", 2)]
