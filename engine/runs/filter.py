"""A filter for listings of runs: words and `key:value`, all of which must hold.

    unet state:finished loss:<0.05 -tag:old

A word is a regular expression that is looked for in name, tags and notes, whatever its case; so is
the value after a key of text. A key of a number takes <, <=, >, >= or =. A minus before a word
turns it round; quotes keep spaces together.
"""

from __future__ import annotations

import operator
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ConfigError

Row = Mapping[str, Any]
_Test = Callable[[Row], bool]

# The key as it is typed, and that of `summary`.
TEXT_KEYS = {
    "name": "name",
    "state": "state",
    "tag": "tags",
    "note": "notes",
    "data": "dataset",
    "net": "model",
    "preset": "preset",
    "reason": "reason",
}
NUMBER_KEYS = {"loss": "loss", "held-out": "eval_loss", "step": "step", "age": "updated"}

# A quote that is still open, because somebody is typing, goes to the end.
_WORD = re.compile(
    r'(?P<no>-?)(?:(?P<key>[A-Za-z][A-Za-z-]*):)?(?:"(?P<quoted>[^"]*)(?:"|$)|(?P<plain>\S*))'
)
_NUMBER = re.compile(r"(<=|>=|<|>|=|)(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)([a-z]?)", re.IGNORECASE)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "": operator.eq,
}
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


@dataclass(frozen=True)
class Filter:
    """What `parse_filter` read; an empty one lets every row through."""

    text: str = ""
    tests: tuple[_Test, ...] = ()

    def matches(self, row: Row) -> bool:
        """Whether a row of a listing, as `summary` makes them, passes every test."""
        return all(test(row) for test in self.tests)


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        ConfigError: an unknown key, no value, a word that is no regular expression, or a value
            that is no number where one is compared.
    """
    tests, at = [], 0
    text = text.strip()
    while at < len(text):
        word = _WORD.match(text, at)
        assert word is not None  # it matches the empty text
        tests.append(_test(word))
        at = word.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return Filter(text, tuple(tests))


def _test(word: re.Match[str]) -> _Test:
    key = (word["key"] or "").lower()
    value = word["plain"] if word["quoted"] is None else word["quoted"]
    if not value:
        raise ConfigError(
            f"{word[0]!r} says nothing to look for", f"Write it as in {_example(key)}."
        )
    if not key:
        test = _words(value)
    elif key in TEXT_KEYS:
        test = _text(TEXT_KEYS[key], value)
    elif key in NUMBER_KEYS:
        test = _number(key, value)
    else:
        raise ConfigError(
            f"There is no key {key!r} to filter by",
            f"The keys are {', '.join([*TEXT_KEYS, *NUMBER_KEYS])}; quote a word with a colon.",
        )
    return (lambda row: not test(row)) if word["no"] else test


def _example(key: str) -> str:
    if key == "age":
        return "age:<2d"
    if key in NUMBER_KEYS:
        return f"{key}:>1000" if key == "step" else f"{key}:<0.05"
    return f"{key}:value" if key in TEXT_KEYS else "word or state:finished"


def _pattern(value: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():  # of a set in a set, as "[[": not on anybody's screen
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(value, re.IGNORECASE | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"{value!r} is not a regular expression: {error}",
            "A backslash before a sign takes it as it is.",
        ) from None


def _words(value: str) -> _Test:
    search = _pattern(value).search

    def test(row: Row) -> bool:
        # Each a line, so that ^ and $ are the ends of one of them.
        text = "\n".join((row["name"], *row.get("tags", ()), row.get("notes", "")))
        return search(text) is not None

    return test


def _text(field: str, value: str) -> _Test:
    search = _pattern(value).search

    def test(row: Row) -> bool:
        found = row.get(field, "")
        return any(map(search, found)) if isinstance(found, list) else bool(search(found))

    return test


def _number(key: str, value: str) -> _Test:
    field, parts = NUMBER_KEYS[key], _NUMBER.fullmatch(value)
    factors = _SECONDS if key == "age" else _FACTORS
    if parts is None or parts[3].lower() not in factors:
        hint = "a duration with its unit, s, m, h, d or w" if key == "age" else "a number"
        raise ConfigError(f"{key}: {value!r} is not {hint}", f"Write it as in {_example(key)}.")
    compare, limit = _COMPARE[parts[1]], float(parts[2]) * factors[parts[3].lower()]

    def test(row: Row) -> bool:
        found = row.get(field)
        if found is None:
            return False
        return compare(time.time() - found if key == "age" else found, limit)

    return test
