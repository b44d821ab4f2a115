from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ddpm_tui.sanitize import clean

# Any code point, lone surrogates included (a file name that is not UTF-8 holds them), and often the
# ones that do harm.
HARMFUL = "\x00\x07\t\n\r\x1b\x7f\x85\x90\x9b\x9c\x9d\u200b\u200e\u2028\u202e\u2066\ufeff[];\\m"
texts = st.text(st.one_of(st.sampled_from(HARMFUL), st.characters(exclude_categories=())))


@given(texts, st.none() | st.integers(0, 12))
def test_nothing_that_a_terminal_obeys_survives(text: str, limit: int | None) -> None:
    result = clean(text, limit)
    assert result.isprintable()
    assert not {unicodedata.category(c) for c in result} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    result.encode()


@given(texts, st.integers(0, 12))
def test_the_limit_is_in_terminal_cells(text: str, limit: int) -> None:
    assert cell_len(clean(text, limit)) <= limit


@given(texts, st.none() | st.integers(0, 12))
def test_cleaning_twice_changes_nothing(text: str, limit: int | None) -> None:
    result = clean(text, limit)
    assert clean(result, limit) == result


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M"]) | st.just(" ")))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("run\x1b[31m42\x1b[0m", "run42"),
        ("\x1b]0;window title\x07name", "name"),
        ("\x1b]8;;http://host\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jname", "name"),
        ("\x90payload\x9cname", "name"),
        ("\x1bPpayload\x1b\\name", "name"),
        ("\x9d0;window title\x07name", "name"),
        ("\x1bcname", "name"),
        ("\x1b(0name", "name"),
        ("\x1b]0;never closed", "0;never closed"),
        ("\x1b\x1b[31m[31mname", "[31mname"),
        ("one\ntwo\tthree\x85four\u2028five\u3000six", "one two three four five six"),
        ("photo_\u202egnp.exe", "photo_gnp.exe"),
        ("a\u200bb\u00adc\ufeff", "abc"),
        ("na\udcffme", "na�me"),
        ("[red]50%[/]", "[red]50%[/]"),
        ("モデル 30 °C · x₀", "モデル 30 °C · x₀"),
    ],
)
def test_examples(text: str, result: str) -> None:
    assert clean(text) == result


@pytest.mark.parametrize(
    ("text", "limit", "result"),
    [
        ("run42", 5, "run42"),
        ("run421", 5, "run4…"),
        ("モデル", 6, "モデル"),
        ("モデル", 5, "モデ…"),
        ("モデル", 4, "モ…"),
        ("one two", 5, "one…"),
        ("x", 0, ""),
        ("", 0, ""),
        ("\x1b[31m", 0, ""),
    ],
)
def test_limits(text: str, limit: int, result: str) -> None:
    assert clean(text, limit) == result


@pytest.mark.parametrize("attack", ["\x1b]", "\x1b[1;", "\x1b", "\x9d;", "1;"])
def test_a_hostile_line_costs_linear_time(attack: str) -> None:
    start = time.process_time()
    clean("\x1b[" + attack * 200_000)
    assert time.process_time() - start < 3
