"""Curves of a metrics.jsonl: the same at ten rows and at a million, and as cheap."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pydantic_core
import pytest

from engine.runs.curves import COLUMNS, CurveReader, Curves
from engine.runs.metrics import TIMESTEP_BUCKETS, append_row, drop_rows_after
from tests.support.clock import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def append(path: Path, losses: dict[int, float | None]) -> None:
    for step, loss in losses.items():
        append_row(path, {"step": step, "loss": loss, "skipped": int(loss is None)})


def read(path: Path, *, only_loss: bool = False) -> Curves:
    reader = CurveReader(path, only_loss=only_loss)
    reader.poll()
    while reader.behind:
        reader.poll()
    return reader.curves


def curves(losses: np.ndarray, piece: int = 1000) -> Curves:
    """The curves of these losses at steps 1, 2, …, added in pieces."""
    result = Curves()
    for start in range(0, len(losses), piece):
        part = losses[start : start + piece]
        values = np.zeros((len(part), len(COLUMNS)))
        values[:, 0] = part
        by_t = np.tile(np.arange(TIMESTEP_BUCKETS, dtype=float), (len(part), 1))
        result = result.with_rows(np.arange(start, start + len(part)) + 1.0, values, by_t)
    return result


def test_few_rows_come_back_as_they_are(path: Path) -> None:
    append(path, {5: 0.5, 10: 0.25, 15: 0.125})
    x, y = read(path).window("loss").raw()
    assert (x.tolist(), y.tolist()) == ([5, 10, 15], [0.5, 0.25, 0.125])
    assert read(path).last["loss"] == 0.125
    assert read(path).steps == (5, 15)


def test_nothing_is_an_empty_curve(path: Path) -> None:
    empty = read(path)
    assert empty.steps is None
    assert len(empty.window("loss").x) == 0
    assert empty.loss_by_t().shape == (TIMESTEP_BUCKETS, 0)


@pytest.mark.parametrize("rows", [7, 4096, 4097, 30_001, 300_003])
@pytest.mark.parametrize("piece", [997, 20_000])
def test_no_peak_is_lost_and_every_row_counts_once(rows: int, piece: int) -> None:
    losses = np.random.default_rng(0).random(rows) + 1
    losses[rows // 3], losses[-1] = 9, 0.5
    curve = curves(losses, piece).window("loss", points=100)
    assert len(curve.x) <= 100
    assert curve.x[-1] == rows
    assert curve.high.max() == 9
    assert curve.low.min() == 0.5
    stretch = curves(losses, piece).window("loss", points=1)
    assert (stretch.low[0], stretch.high[0]) == (losses.min(), losses.max())


def test_the_newest_rows_are_there_one_by_one_after_a_million() -> None:
    losses = np.arange(1_000_000, dtype=float)
    x, y = curves(losses, 50_000).window("loss", first=999_901).raw()
    assert x.tolist() == list(range(999_901, 1_000_001))
    assert y.tolist() == list(range(999_900, 1_000_000))


def test_of_a_million_rows_no_more_than_ten_megabytes_are_kept() -> None:
    million = curves(np.random.default_rng(0).random(1_000_000), 50_000)
    assert million.rows == 1_000_000
    assert million.nbytes < 10e6
    assert 200 < len(million.window("loss", points=400).x) <= 400


@pytest.mark.parametrize("rows", [100, 50_000])
def test_the_smoothed_curve_follows_without_lag(rows: int) -> None:
    curve = curves(np.linspace(2, 1, rows)).window("loss", points=50)
    middle = slice(5, -5)
    expected = 2 - (curve.x[middle] - 1) / (rows - 1)
    # Within the stretch whose last step x is, and no further.
    assert np.abs(curve.smooth[middle] - expected).max() < 1.5 / 50


def test_steps_that_are_not_finite_are_gaps_at_any_size() -> None:
    for rows in (50, 50_000):
        losses = np.ones(rows)
        losses[rows // 2] = math.nan
        x, y = curves(losses).window("loss", points=40).raw()
        assert np.isnan(y).sum() == 1, "the line is interrupted once"
        assert abs(float(x[np.isnan(y)][0]) - rows / 2) <= rows / 20
        assert not np.isnan(curves(losses).window("loss", points=40).smooth).any()


def test_skipped_steps_are_counted_over_the_whole_run(path: Path) -> None:
    append(path, {1: 0.5, 2: None, 3: None, 4: 0.5})
    assert read(path).skipped == 2


def test_a_window_has_the_rows_between_two_steps() -> None:
    curve = curves(np.arange(100.0)).window("loss", 20, 30)
    assert curve.x.tolist() == list(range(20, 31))


def test_the_loss_by_timestep_stands_in_its_rows(path: Path) -> None:
    for step in (1, 2, 3, 4):
        by_t = [None] * TIMESTEP_BUCKETS
        by_t[2], by_t[5] = 0.5, float(step)
        append_row(path, {"step": step, "loss": 1.0, "loss_by_t": by_t})
    values = read(path).loss_by_t(columns=4)
    assert values.shape == (TIMESTEP_BUCKETS, 4)
    assert values[2].tolist() == [0.5] * 4
    assert values[5].tolist() == [1, 2, 3, 4]
    assert np.isnan(np.delete(values, [2, 5], axis=0)).all()
    assert read(path).loss_by_t(columns=2)[5].tolist() == pytest.approx([2.0, 4.0], abs=1)


def test_after_many_rows_the_loss_by_timestep_is_still_each_rows_own() -> None:
    values = curves(np.ones(30_000)).loss_by_t(columns=50)
    assert values.shape == (TIMESTEP_BUCKETS, 50)
    assert np.allclose(values, np.arange(TIMESTEP_BUCKETS)[:, None])


def test_a_resume_replaces_what_it_writes_anew(path: Path) -> None:
    append(path, {1: 1.0, 2: 2.0, 3: 3.0})
    reader = CurveReader(path)
    assert reader.poll()
    drop_rows_after(path, 1)
    append(path, {2: 7.0, 3: 8.0, 4: 9.0})
    assert reader.poll()
    assert reader.curves.window("loss").high.tolist() == [1, 7, 8, 9]


def test_a_poll_reads_what_is_new_and_nothing_twice(path: Path) -> None:
    append(path, {1: 1.0})
    reader = CurveReader(path)
    assert reader.poll()
    before = reader.curves
    assert not reader.poll()
    assert reader.curves is before, "what did not change is the same object"
    with path.open("a") as file:
        file.write('{"step":2,"lo')
        file.flush()
        assert not reader.poll()
        file.write('ss":5}\n')
    assert reader.poll()
    assert reader.curves.window("loss").high.tolist() == [1, 5]


def test_a_long_file_is_read_in_slices_that_show_something_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that every slice moves by 0.3 s, a poll of 0.5 s is two slices."""
    clock = Clock()
    monkeypatch.setattr("engine.runs.curves.time", clock)
    monkeypatch.setattr(CurveReader, "_add", clock.moved_by(CurveReader._add, 0.3))
    row = {"loss": 0.5, "loss_by_t": [0.125] * TIMESTEP_BUCKETS}
    path.write_text("".join(json.dumps({"step": i, **row}) + "\n" for i in range(1, 60_001)))
    reader = CurveReader(path)
    took = []
    while not took or reader.behind:
        before, rows = clock.at, reader.curves.rows
        assert reader.poll(0.5)
        took.append(round(clock.at - before, 1))
        assert reader.curves.rows > rows
    assert reader.curves.rows == 60_000
    assert len(took) > 3
    assert set(took[:-1]) == {0.6}


@pytest.mark.parametrize("bad", ["", "{", '{"step": 2}x', "[" * 100_000, '{"step": 1, "loss": 3}'])
def test_lines_that_are_no_new_rows_are_passed_over(path: Path, bad: str) -> None:
    append(path, {1: 1.0})
    with path.open("a") as file:
        file.write(bad + "\n")
    append(path, {5: 2.0})
    assert read(path).window("loss").high.tolist() == [1, 2]


def test_a_million_rows_are_parsed_many_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call of the parser a row was most of the minute that a long run took."""
    row = '{"step":%d,"loss":0.5,"lr":1e-4,"skipped":0,"elapsed":1.5,"loss_by_t":[' + (
        ",".join(["0.25", "null"] * (TIMESTEP_BUCKETS // 2)) + "]}\n"
    )
    rows = 100_000
    path.write_text("".join(row % step for step in range(rows)))
    parse, calls = pydantic_core.from_json, []

    def counted(text: bytes, **options: Any) -> Any:
        calls.append(len(text))
        return parse(text, **options)

    monkeypatch.setattr(pydantic_core, "from_json", counted)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("a row at a time"))
    reader = CurveReader(path)
    shares = []
    while reader.poll(0):
        shares.append(reader.read / reader.size)
    assert reader.curves.rows == rows
    assert 0 < len(calls) < rows / 100
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
    assert reader.curves.loss_by_t(columns=1)[:2, 0].tolist() == pytest.approx(
        [0.25, math.nan], nan_ok=True
    )


@pytest.mark.parametrize(
    "odd", ['"0.5"', "true", "1" + "0" * 400, "1e999", "[1]", '{"a":1}', "1e33"]
)
def test_a_value_that_is_no_number_is_a_gap_and_spoils_no_other(path: Path, odd: str) -> None:
    by_t = ",".join([odd, *["0.5"] * (TIMESTEP_BUCKETS - 1)])
    path.write_text(
        f'{{"step":1,"loss":{odd},"lr":0.5,"loss_by_t":[{by_t}]}}\n{{"step":2,"loss":0.25}}\n'
    )
    curves = read(path)
    assert curves.window("loss").high.tolist() == pytest.approx([math.nan, 0.25], nan_ok=True)
    assert curves.window("lr").high[0] == 0.5
    assert np.isfinite(curves.loss_by_t(columns=2)[:, 0]).sum() == TIMESTEP_BUCKETS - 1


A_ROW = (
    '{"step":%d,"loss":%s,"lr":1e-05,"grad_norm":null,"skipped":0,'
    f'"loss_by_t":[0.25,null{",-1e-3" * (TIMESTEP_BUCKETS - 2)}]}}\n'
)


def test_the_loss_alone_is_read_without_parsing_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million rows of 300 bytes only two numbers a row are made."""
    path.write_text("".join(A_ROW % (step, step / 7) for step in range(1, 10_001)))
    full = read(path)
    monkeypatch.setattr(pydantic_core, "from_json", lambda *_, **__: pytest.fail("parsed"))
    alone = read(path, only_loss=True)
    for one, other in zip(alone.window("loss").raw(), full.window("loss").raw(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(alone.window("loss").smooth, full.window("loss").smooth)
    assert (alone.rows, alone.steps) == (full.rows, full.steps)


@pytest.mark.parametrize(
    "odd",
    [
        *(
            "",
            "{",
            "x" * 2000,
            "[" * 2000,
            '{"step":5,"loss":7',
            '{"step":5,"loss":7,"lr":1e' + A_ROW[:-1],
        ),
        *('{"step":2,"loss":7}', '{"loss":7,"step":5}', '{"step":5}', '{"step":5,"loss":"7"}'),
        *('{ "step": 5, "loss": 7 }', '{"step":5,"loss":1e33}', '{"step":5,"loss":NaN}'),
        *('{"step":5.5,"loss":7}', '{"step":5,"loss":-1E+2}', '{"step":5,"loss":7,"a":{"b":1}}'),
        *('{"step":9999999999999,"loss":7}', "\0" * 300, '{"step":5,"loss":1' + "0" * 400 + "}"),
    ],
    ids=lambda odd: repr(odd[:30]),
)
def test_the_loss_alone_is_the_same_whatever_lies_between_the_rows(path: Path, odd: str) -> None:
    rows = [A_ROW % (step, loss) for step, loss in ((1, "0.5"), (3, "null"), (6, "2"), (7, "1e-9"))]
    path.write_text("".join([*rows[:2], odd, "\n", *rows[2:]]))
    full, alone = read(path), read(path, only_loss=True)
    assert alone.rows == full.rows >= 4
    for one, other in zip(alone.window("loss").raw(), full.window("loss").raw(), strict=True):
        np.testing.assert_array_equal(one, other)
