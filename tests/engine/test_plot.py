"""The pictures of curves: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from engine.plot import _MARK, _RAW, _SMOOTH, LOSS_POINTS, write_loss_plot, write_quality_plot
from engine.runs.curves import COLUMNS, Curves
from engine.runs.metrics import TIMESTEP_BUCKETS


def rows_of(path: Path, color: str) -> np.ndarray:
    """The rows of the picture in which a colour is drawn, by column; NaN where it is not."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    near = np.abs(pixels - np.array(ImageColor.getrgb(color))).sum(axis=2) < 60
    rows = np.where(near, np.arange(near.shape[0])[:, None], np.nan)
    with np.errstate(all="ignore"):
        return np.array([np.nan if np.isnan(c).all() else np.nanmean(c) for c in rows.T])


def test_the_quality_falls_from_left_to_right(tmp_path: Path) -> None:
    path = tmp_path / "quality.png"
    write_quality_plot(path, [0.5, 1, 2], [20, 5, 1], {})
    line = rows_of(path, _SMOOTH)
    drawn = line[~np.isnan(line)]
    assert drawn[-1] - drawn[0] > 300, "1 lies far below 20"
    assert np.isnan(rows_of(path, _MARK)).all()


def test_a_mark_is_a_line_across_at_its_height(tmp_path: Path) -> None:
    path = tmp_path / "quality.png"
    write_quality_plot(path, [0, 1], [100, 1], {"theirs": 10})
    dashes = rows_of(path, _MARK)
    dashes = dashes[100:500][~np.isnan(dashes[100:500])]
    curve = rows_of(path, _SMOOTH)
    middle = np.nanmean([np.nanmin(curve), np.nanmax(curve)])
    assert np.ptp(dashes) < 2
    assert dashes.mean() == pytest.approx(middle, abs=6), "10 is half way from 1 to 100"


def test_a_mark_outside_of_the_curve_is_still_in_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "quality.png"
    write_quality_plot(path, [0, 1], [3, 1], {"theirs": 40})
    dashes = rows_of(path, _MARK)
    assert 20 < np.nanmin(dashes) < 200


def test_checkpoints_are_points_and_minutes_begin_at_nothing(tmp_path: Path) -> None:
    path = tmp_path / "quality.png"
    write_quality_plot(path, [5, 10], [20, 5], {})
    columns = np.nonzero(~np.isnan(rows_of(path, _SMOOTH)))[0]
    left, right = 90, 960
    assert columns[0] == pytest.approx((left + right) / 2 - 4, abs=2), "5 is half way to 10"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = np.abs(pixels - np.array(ImageColor.getrgb(_SMOOTH))).sum(axis=2) < 60
    assert blue[:, columns[0] + 4].sum() >= 8, "a point is thicker than the line"


def test_a_plot_of_nothing_says_so(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    write_loss_plot(path, Curves().window("loss"))
    with Image.open(path) as image:
        assert len(image.getcolors(1 << 20)) > 2


def test_one_row_of_many_is_still_in_the_picture_and_the_smoothed_curve_is_not_moved_by_it(
    tmp_path: Path,
) -> None:
    rows = 30_000
    values = np.full((rows, len(COLUMNS)), np.nan)
    values[:, COLUMNS.index("loss")] = 0.1
    values[rows // 2, COLUMNS.index("loss")] = 10
    curves = Curves().with_rows(
        np.arange(rows) + 1.0, values, np.full((rows, TIMESTEP_BUCKETS), np.nan)
    )
    path = tmp_path / "loss.png"
    write_loss_plot(path, curves.window("loss", points=LOSS_POINTS))
    raw = rows_of(path, _RAW)[300:]  # the title is left of it
    assert 300 + np.nanargmin(raw) == pytest.approx((90 + 960) / 2, abs=3)
    assert np.nanmin(raw) < 350, "a line up to the top"
    assert np.ptp(rows_of(path, _SMOOTH)[100:960]) < 15
