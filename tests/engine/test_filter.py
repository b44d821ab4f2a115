"""The words that runs are looked for with, and the orders that they are listed in."""

from __future__ import annotations

import time

import pytest

from engine.errors import ConfigError
from engine.runs.filter import parse_filter
from engine.runs.order import SORTS, sorted_rows

NOW = time.time()
ROWS = [
    {
        "name": "run10",
        "state": "finished",
        "tags": ["base", "lr3"],
        "notes": "The first good one: 12:30",
        "dataset": "fashion-mnist",
        "model": "unet",
        "preset": "default",
        "reason": "",
        "step": 1500,
        "loss": 0.02,
        "eval_loss": None,
        "updated": NOW - 3 * 86_400,
    },
    {
        "name": "run2",
        "state": "failed",
        "tags": ["sweep"],
        "notes": "",
        "dataset": "mnist",
        "model": "dit",
        "preset": "article",
        "reason": "CUDA out of memory",
        "step": 200,
        "loss": 0.4,
        "eval_loss": 0.3,
        "updated": NOW - 60,
    },
    {"name": "broken", "state": "unreadable", "reason": "run.json is missing"},
]


def found(text: str) -> list[str]:
    return [row["name"] for row in ROWS if parse_filter(text).matches(row)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["run10", "run2", "broken"]),
        ("   ", ["run10", "run2", "broken"]),
        ("RUN", ["run10", "run2"]),
        (r"run\d$", ["run2"]),
        ("base", ["run10"]),
        ("good", ["run10"]),
        ('"first good"', ["run10"]),
        ('"first go', ["run10"]),
        ('"12:30"', ["run10"]),
        ("run -base", ["run2"]),
        ("-run", ["broken"]),
        ("(?:base|sweep)", ["run10", "run2"]),
        ("state:fail", ["run2"]),
        ("-state:finished", ["run2", "broken"]),
        ("tag:^lr", ["run10"]),
        ("-tag:.", ["run2", "broken"][1:]),
        ("data:^mnist", ["run2"]),
        ("net:dit preset:article", ["run2"]),
        ("NET:DIT", ["run2"]),
        ("reason:memory", ["run2"]),
        ('reason:"of memory"', ["run2"]),
        ("name:2", ["run2"]),
        ("note:first", ["run10"]),
        ("loss:<0.1", ["run10"]),
        ("-loss:<0.1", ["run2", "broken"]),
        ("loss:>=0.4", ["run2"]),
        ("loss:4e-1", ["run2"]),
        ("held-out:<1", ["run2"]),
        ("-held-out:<1", ["run10", "broken"]),
        ("step:>1k", ["run10"]),
        ("step:<=200", ["run2"]),
        ("step:=1500", ["run10"]),
        ("age:<2h", ["run2"]),
        ("age:>2d", ["run10"]),
        ("age:>1w", []),
    ],
)
def test_a_filter_finds(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run [", "'[' is not a regular expression"),
        ("tag:(", "'(' is not a regular expression"),
        ("run *x", "'*x' is not a regular expression"),
        ("colour:red", "no key 'colour'"),
        ("state:", "says nothing to look for"),
        ("-", "says nothing to look for"),
        ('""', "says nothing to look for"),
        ("loss:small", "is not a number"),
        ("loss:<", "is not a number"),
        ("loss:<1h", "is not a number"),
        ("age:<2", "with its unit"),
        ("age:<2y", "with its unit"),
    ],
)
def test_a_filter_that_cannot_be_read_says_why_and_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_filter(text)
    assert said in error.value.message
    assert error.value.hint


def names(by: str, *, turned: bool = False) -> list[str]:
    return [row["name"] for row in sorted_rows(ROWS, by, turned=turned)]


def test_every_order_has_those_without_a_value_last_either_way() -> None:
    assert names("created") == ["run10", "run2", "broken"]
    assert names("created", turned=True) == ["broken", "run2", "run10"]
    assert names("name") == ["broken", "run2", "run10"], "numbers in names count as numbers"
    assert names("name", turned=True) == ["run10", "run2", "broken"]
    assert names("loss") == ["run10", "run2", "broken"]
    assert names("loss", turned=True) == ["run2", "run10", "broken"]
    assert names("held-out") == names("held-out", turned=True) == ["run2", "run10", "broken"]
    assert names("step") == ["run10", "run2", "broken"]
    assert names("age") == ["run2", "run10", "broken"]
    for by in SORTS:
        assert sorted(names(by)) == sorted(names(by, turned=True)) == ["broken", "run10", "run2"]


def test_equal_ones_stay_newest_first() -> None:
    rows = [{"name": name, "state": "finished"} for name in "cab"]
    assert [row["name"] for row in sorted_rows(rows, "state")] == ["c", "a", "b"]
