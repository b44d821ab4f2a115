"""Damage to real files, deterministic: the same seed of a random generator gives the same bytes.

Three kinds know three kinds of files: anything (bytes), lines of text, and JSON. Each of them also
does to its files what the more general ones do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[bytes, random.Random], bytes]

# What a terminal obeys, what reads as another name, and what breaks a path, a table or a format.
HOSTILE = (
    "\x1b]0;pwned\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2066\u200b\ufeff",
    "\x00\x7f\x08\r\n\t",
    "[red]x[/red]",
    "[/]",
    "../../../../etc/passwd",
    "/dev/zero",
    "{0.__class__}",
    "%s%n",
    "con",
    "'; rm -rf ~; '",
    "é\u0301日本",
    "",
)
NUMBERS = (
    "0",
    "-1",
    "1",
    "2147483648",
    "9223372036854775808",
    "-9223372036854775809",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "1e308",
    "-1e308",
    "1e999",
    "5e-324",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "inf",
    "1.5",
    "-0.0",
    "true",
    "null",
    '"12"',
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    0.5,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    "x" * 100_000,
    [1] * 5000,
    *HOSTILE,
)


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some flips, cuts, repetitions and insertions, anywhere."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(damaged) + 1)
        end = min(len(damaged), at + rng.choice((1, 2, 4, 8, 64, 4096)))
        match rng.randrange(7):
            case 0:
                if at < len(damaged):
                    damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[at:]
            case 2:
                del damaged[at:end]
            case 3:
                damaged[at:at] = damaged[at:end] * rng.choice((1, 2, 50))
            case 4:
                damaged[at:at] = rng.randbytes(rng.choice((1, 4, 300)))
            case 5:
                # A length or a count in a header: as large as it gets, or nothing.
                width = rng.choice((1, 2, 4, 8))
                filled = rng.choice((b"\xff", b"\x7f", b"\x00", b"\x80"))
                damaged[at : at + width] = filled * width
            case _:
                damaged[at:end] = bytes(reversed(damaged[at:end]))
        if len(damaged) > 1 << 20:
            del damaged[1 << 20 :]
    return bytes(damaged)


def of_text(data: bytes, rng: random.Random) -> bytes:
    """Lines lost, repeated and moved; numbers at their limits; hostile words; deep nesting."""
    if rng.random() < 0.2:
        return of_bytes(data, rng)
    lines = data.decode(errors="surrogateescape").split("\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines) + 1), line)
            case 2:
                before, mark, after = _parted(line, rng)
                lines[at] = before + mark + rng.choice(NUMBERS) * bool(mark or not after)
            case 3:
                before, mark, _ = _parted(line, rng)
                word = rng.choice(HOSTILE)
                lines[at] = before + mark + rng.choice((word, json.dumps(word)))
            case 4:
                cut = rng.randrange(len(line) + 1)
                lines[at] = line[:cut] + rng.choice(HOSTILE) + line[cut:]
            case 5:
                opened, closed = rng.choice(("[]", "{}", "()", '""', "''"))
                depth = rng.choice((1, 3, 100, 30_000))
                cut = rng.randrange(len(line) + 1)
                lines[at] = line[:cut] + opened * depth + closed * depth + line[cut:]
            case 6:
                lines[at] = line * rng.choice((2, 3, 200))
            case _:
                cut = rng.randrange(len(line) + 1)
                lines[at] = line[cut:] + line[:cut]
        if not lines:
            break
    return "\n".join(lines).encode(errors="surrogateescape")


def of_json(data: bytes, rng: random.Random) -> bytes:
    """Values of other types, at their limits, missing, or twice; nested too deeply."""
    if rng.random() < 0.25:
        return of_text(data, rng)
    try:
        value = json.loads(data)
    except ValueError:
        return of_text(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _with_one_changed(value, rng)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        text = text.replace(": ", f': {rng.choice(NUMBERS)}, "again": ', 1)
    if rng.random() < 0.05:
        depth = rng.choice((50, 900, 100_000))
        text = '{"a": ' * depth + text + "}" * depth
    return text.encode(errors="surrogatepass")


def of_jsonl(data: bytes, rng: random.Random) -> bytes:
    """JSON, line by line."""
    if rng.random() < 0.3:
        return of_text(data, rng)
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = of_json(lines[at], rng)
    return b"\n".join(lines)


def of_words(data: bytes, rng: random.Random) -> bytes:
    """A short text as a command line takes it: its own words and hostile ones, in any order."""
    if rng.random() < 0.2:
        return of_bytes(data, rng)
    text = data.decode(errors="replace")
    if rng.random() < 0.5:
        words = text.split(" ")
        at = rng.randrange(len(words))
        key, mark, _ = words[at].partition(rng.choice("=:+"))
        words[at] = key + mark + rng.choice((*NUMBERS, *HOSTILE, *words))
        return " ".join(words).encode(errors="surrogatepass")
    pieces: Sequence[str] = [*text.split(), *"=:,+-*.()[]{}\"'\\#<>", *HOSTILE, *NUMBERS, text]
    chosen = rng.choices(pieces, k=rng.choice((1, 2, 3, 8)))
    return rng.choice(("", " ", "=", ":", "+")).join(chosen).encode(errors="surrogatepass")


def _parted(line: str, rng: random.Random) -> tuple[str, str, str]:
    return line.partition(rng.choice((" = ", ": ", "=", ":", ",")))


def _with_one_changed(value: Any, rng: random.Random) -> Any:
    """The value with one node of its tree replaced, taken out, or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {rng.choice(HOSTILE) if k == key else k: v for k, v in value.items()}
            case 2 | 3 | 4:
                return {**value, key: rng.choice(_VALUES)}
            case _:
                return {**value, key: _with_one_changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        match rng.randrange(4):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value * 3
            case _:
                return [*value[:at], _with_one_changed(value[at], rng), *value[at + 1 :]]
    return rng.choice(_VALUES)
