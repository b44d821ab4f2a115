"""metrics.jsonl: appended by one process, tailed by others, never trusted to be whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runs.metrics import Metrics, append_row, drop_rows_after, tail_losses

COLUMNS = ("step", "loss", "lr", "grad_norm", "images_per_second", "elapsed", "skipped")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def row(step: int, **values: float | None) -> dict[str, float | None]:
    return {**dict.fromkeys(COLUMNS, 0.5), "step": step, **values}


def append(path: Path, *steps: int) -> None:
    for step in steps:
        append_row(path, row(step, loss=1 / step))


def steps(metrics: Metrics) -> list[int]:
    return [int(step) for step in metrics.columns["step"]]


def test_rows_come_back_as_columns(path: Path) -> None:
    written = [row(5, loss=0.25, lr=1e-3), row(10, loss=0.125, grad_norm=2.5)]
    for each in written:
        append_row(path, each)
    metrics = Metrics(path).read_all()
    assert len(metrics) == 2
    assert set(metrics.columns) == set(COLUMNS)
    for name in COLUMNS:
        assert list(metrics.columns[name]) == [each[name] for each in written]


def test_a_row_is_one_line_of_plain_json(path: Path) -> None:
    append_row(path, row(1))
    text = path.read_text()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert json.loads(text) == row(1)


def test_polling_reads_what_is_new(path: Path) -> None:
    metrics = Metrics(path)
    assert not metrics.poll(), "no file yet"
    append(path, 1, 2)
    assert metrics.poll()
    assert not metrics.poll()
    append(path, 3)
    assert metrics.poll()
    assert steps(metrics) == [1, 2, 3]


def test_a_poll_reads_no_more_than_it_may(path: Path) -> None:
    append(path, *range(1, 101))
    metrics = Metrics(path)
    assert metrics.poll(max_bytes=1000)
    first = len(metrics)
    assert 0 < first < 15
    while metrics.poll(max_bytes=1000):
        pass
    assert steps(metrics) == list(range(1, 101))


def test_a_line_that_is_still_being_written_waits_for_its_end(path: Path) -> None:
    append(path, 1)
    line = json.dumps(row(2)).encode() + b"\n"
    metrics = Metrics(path)
    with path.open("ab", buffering=0) as file:
        file.write(line[:20])
        assert metrics.poll()
        assert not metrics.poll()
        assert steps(metrics) == [1]
        file.write(line[20:])
    assert metrics.poll()
    assert steps(metrics) == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"\x00" * 100, b"\xff\xfe", b"[1]", b"3", b"[" * 100_000),
        *(b'{"loss": 1}', b'{"step": "2"}', b'{"step": null}', b'{"step": 1' + b"0" * 5000 + b"}"),
    ],
    ids=lambda line: repr(line[:12]),
)
def test_a_line_that_is_no_row_is_passed_over(path: Path, line: bytes) -> None:
    append(path, 1)
    with path.open("ab") as file:
        file.write(line + b"\n")
    append(path, 2)
    assert steps(Metrics(path).read_all()) == [1, 2]
    assert tail_losses(path) == [1, 0.5]


def test_what_is_not_a_finite_number_is_written_as_null_and_read_as_nan(path: Path) -> None:
    append_row(path, row(1, loss=math.nan, lr=math.inf, grad_norm=None))
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()
    metrics = Metrics(path).read_all()
    for name in ("loss", "lr", "grad_norm"):
        assert math.isnan(metrics.columns[name][0])
    assert metrics.columns["elapsed"][0] == 0.5
    assert math.isnan(tail_losses(path)[0])


def test_a_value_that_is_missing_or_no_number_is_nan(path: Path) -> None:
    path.write_text('{"step":1}\n{"step":2,"loss":"low"}\n{"step":3,"loss":1' + "0" * 400 + "}\n")
    metrics = Metrics(path).read_all()
    assert steps(metrics) == [1, 2, 3]
    assert all(math.isnan(loss) for loss in metrics.columns["loss"])
    assert all(math.isnan(loss) for loss in tail_losses(path))


def test_a_file_that_was_replaced_is_read_anew(path: Path) -> None:
    append(path, 1, 2, 3, 4)
    metrics = Metrics(path).read_all()
    drop_rows_after(path, 2)
    for step in (3, 4, 5):
        append_row(path, row(step, loss=9))
    assert metrics.poll()
    assert steps(metrics) == [1, 2, 3, 4, 5]
    assert list(metrics.columns["loss"]) == [1, 0.5, 9, 9, 9]


def test_a_file_that_was_emptied_or_removed_is_not_an_error(path: Path) -> None:
    append(path, 1, 2, 3)
    metrics = Metrics(path).read_all()
    path.write_text("")
    assert metrics.poll()
    assert steps(metrics) == []
    append(path, 7)
    path.unlink()
    assert not metrics.poll()
    append(path, 8)
    assert metrics.poll()
    assert steps(metrics) == [8]


def test_a_resume_keeps_the_rows_up_to_its_step(path: Path) -> None:
    append(path, *range(5, 55, 5))
    before = path.read_bytes().splitlines()
    drop_rows_after(path, 20)
    assert path.read_bytes().splitlines() == before[:4]
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("torn", [b'{"step":15,"lo', b'{"step":15,"loss":0.5}'])
def test_a_resume_drops_a_torn_last_line_so_that_the_next_one_is_whole(path: Path, torn) -> None:
    append(path, 5, 10)
    with path.open("ab") as file:
        file.write(torn)
    drop_rows_after(path, 20)
    append(path, 15)
    assert steps(Metrics(path).read_all()) == [5, 10, 15]


def test_a_file_with_nothing_to_drop_is_left_alone(path: Path) -> None:
    drop_rows_after(path, 3)
    assert not path.exists()
    append(path, 1, 2, 3)
    inode = path.stat().st_ino
    drop_rows_after(path, 3)
    assert path.stat().st_ino == inode


def test_a_resume_from_the_start_keeps_nothing(path: Path) -> None:
    append(path, 1, 2)
    drop_rows_after(path, 0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 1000])
def test_a_tail_is_at_most_so_many_losses_over_the_whole_length(path: Path, count: int) -> None:
    path.touch()
    append(path, *range(1, count + 1))
    losses = tail_losses(path, max_rows=64)
    assert min(count, 32) <= len(losses) <= 64
    if count:
        assert losses[0] == 1
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 1.2 / count


def test_a_tail_reads_the_end_of_a_long_file_only(path: Path) -> None:
    append(path, *range(1, 1001))
    losses = tail_losses(path, max_rows=8, max_bytes=5000)
    assert len(losses) <= 8
    assert losses[0] < 1 / 900
    assert not any(math.isnan(loss) for loss in losses), "the first line read is cut in two"


def test_a_torn_last_line_is_no_loss(path: Path) -> None:
    append(path, 1, 2)
    with path.open("ab") as file:
        file.write(b'{"step":3,"lo')
    assert tail_losses(path) == [1, 0.5]


def test_a_tail_of_no_file_is_empty(path: Path) -> None:
    assert tail_losses(path) == []
    path.mkdir()
    assert tail_losses(path) == []


rows = st.lists(
    st.fixed_dictionaries(
        {"step": st.integers(0, 10**9)},
        optional={name: st.none() | st.floats() for name in COLUMNS[1:]},
    ),
    max_size=8,
)


@given(rows, st.integers(30, 300))
@settings(max_examples=60, deadline=None)
def test_any_rows_come_back_in_any_pieces(tmp_path_factory, written, max_bytes) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    for each in written:
        append_row(path, each)
    # A line is read whole, so a piece has to hold the longest.
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    max_bytes = max(max_bytes, *map(len, lines), 1)
    metrics = Metrics(path)
    while metrics.poll(max_bytes):
        pass
    assert steps(metrics) == [each["step"] for each in written]
    for name in COLUMNS[1:]:
        for value, each in zip(metrics.columns[name], written, strict=True):
            expected = each.get(name)
            if expected is None or not math.isfinite(expected):
                assert math.isnan(value)
            else:
                assert value == expected
