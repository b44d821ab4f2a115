"""Inputs of parsers for property tests: something near to what a parser is made for, or nothing of
the kind. What fails is made smaller until nothing can be left out of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz import mutation
from tests.fuzz.parsers import Parser

# Longer ones would say no more of a parser, and cost the time of many.
_LONGEST = 40

_texts = st.text(max_size=_LONGEST) | st.sampled_from(mutation.HOSTILE)
# In a header, a length or a count as large as it gets.
_pieces = st.binary(max_size=_LONGEST) | st.sampled_from([b"\xff", b"\x7f", b"\0"]).flatmap(
    lambda byte: st.sampled_from([1, 2, 4, 8]).map(lambda times: byte * times)
)
_words = st.lists(
    _texts
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.sampled_from([*"=:,+-*.()[]{}\"'\\#<>\n", *mutation.NUMBERS]),
    max_size=4,
).map("".join)
values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=8,
)


def anything(parser: Parser) -> SearchStrategy[bytes]:
    """What a parser may be given, by what it is made for."""
    makers: dict[mutation.Mutator, Callable[[Sequence[bytes]], SearchStrategy[bytes]]] = {
        mutation.of_bytes: _bytes,
        mutation.of_text: _text,
        mutation.of_words: _text,
        mutation.of_json: _json,
        mutation.of_jsonl: _jsonl,
    }
    return makers[parser.mutate](parser.seeds)


def _bytes(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    return st.sampled_from(seeds).flatmap(lambda seed: _with_others(seed, _pieces)) | st.binary()


def _text(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    texts = st.sampled_from(seeds).map(bytes.decode)
    near = texts.flatmap(lambda seed: _with_others(seed, _words)) | _words
    return near.map(str.encode) | _bytes(seeds)


def _json(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    near = st.sampled_from(seeds).flatmap(lambda seed: _with_other_values(json.loads(seed)))
    return (near | values).map(lambda value: json.dumps(value).encode()) | _text(seeds)


def _jsonl(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    lines = sorted({line for seed in seeds for line in seed.splitlines() if line})
    ends = st.sampled_from([b"\n", b"", b"\r\n"])
    whole = st.sampled_from(lines)
    line = whole | whole.flatmap(_line)
    return st.lists(st.tuples(line, ends).map(b"".join), max_size=6).map(b"".join)


def _line(seed: bytes) -> SearchStrategy[bytes]:
    """One near to a line of JSON, which may have a name before it."""
    name, tab, value = seed.rpartition(b"\t")
    if value[:1] not in (b"{", b"["):
        return _text([seed])
    return _json([value]).map(lambda near: name + tab + near)


@st.composite
def _with_others(draw: st.DrawFn, seed: Any, pieces: SearchStrategy[Any]) -> Any:
    """Text or bytes, of which a few stretches are others."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(seed)))
        end = min(len(seed), at + draw(st.integers(0, _LONGEST)))
        seed = seed[:at] + draw(pieces) + seed[end:]
    return seed


@st.composite
def _with_other_values(draw: st.DrawFn, value: Any) -> Any:
    """A value of JSON, of which a few nodes are others, gone, or have another name."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(value)))
        deed = draw(st.sampled_from(["change", "remove", "rename"]))
        value = _changed(value, path, deed, draw(values), draw(_texts))
    return value


def _paths(value: Any) -> list[tuple[Any, ...]]:
    """Where the nodes of a value of JSON are, the whole of it first."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [(), *((key, *path) for key, node in inside for path in _paths(node))]


def _changed(value: Any, path: tuple[Any, ...], deed: str, new: Any, name: str) -> Any:
    if not path:
        return new
    first, *rest = path
    if rest:
        inside = _changed(value[first], tuple(rest), deed, new, name)
    elif deed == "change":
        inside = new
    elif isinstance(value, list):
        return value[:first] + value[first + 1 :]
    else:
        others = {key: node for key, node in value.items() if key != first}
        return others if deed == "remove" else {**others, name: value[first]}
    if isinstance(value, list):
        return [*value[:first], inside, *value[first + 1 :]]
    return {**value, first: inside}
