"""Pictures of screens as text that git can hold and a person can read.

A line for each row: a hash of what it looks like, and its characters. In 256 colours the
characters are those of truecolor, so that only the hashes are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rich.color import ColorSystem
from rich.style import Style
from textual.strip import Strip

FOLDER = Path(__file__).parent / "pictures"
_HASH_LENGTH = 6


@dataclass(frozen=True)
class Row:
    """A row of a screen; `text` is None where only its look is kept."""

    look: str
    text: str | None

    def __str__(self) -> str:
        return self.look if self.text is None else f"{self.look} |{self.text}"

    def same(self, other: Row) -> bool:
        return self.look == other.look


@dataclass(frozen=True)
class StandIn:
    """What is shown of something that is another one in every run, as the path of a folder is.

    Attributes:
        told, instead: texts of one length, since a longer one would move what follows.
        known: how much of `told` is always the same, and is therefore looked for.
    """

    told: str
    instead: str
    known: int

    def put_into(self, text: str) -> str:
        """Replace it, also where it was cut off; no other text may begin as it does."""
        return self._pattern.sub(lambda found: self.instead[: len(found[0])], text)

    @property
    def _pattern(self) -> re.Pattern[str]:
        known, own = self.told[: self.known], self.told[self.known :]
        optional = "".join(f"(?:{re.escape(letter)}" for letter in own) + ")?" * len(own)
        return re.compile(re.escape(known) + optional)


def rows(strips: Iterable[Strip], system: ColorSystem, stand_in: StandIn) -> list[Row]:
    """The rows of a screen, in the colours that the terminal shows."""
    found = []
    for strip in strips:
        text = stand_in.put_into(strip.text).rstrip()
        runs: list[tuple[str, int]] = []
        for segment in strip:
            style, cells = _words(segment.style, system), len(segment.text)
            if runs and runs[-1][0] == style:
                cells += runs.pop()[1]
            if cells:
                runs.append((style, cells))
        look = hashlib.sha1(f"{text}{runs}".encode()).hexdigest()[:_HASH_LENGTH]
        found.append(Row(look, text))
    return found


@lru_cache(maxsize=32768)  # a screen is looked at many times until it is as it should be
def _words(style: Style | None, system: ColorSystem) -> str:
    """What of a style is seen; links and what is clicked are not."""
    if style is None:
        return ""
    colors = (each and each.downgrade(system).name for each in (style.color, style.bgcolor))
    seen = ("bold", "dim", "italic", "underline", "reverse", "strike")
    return " ".join((*map(str, colors), *(word for word in seen if getattr(style, word))))


def path_of(name: str, mode: str) -> Path:
    return FOLDER / f"{name}.{mode}.txt"


def write(path: Path, sizes: dict[tuple[int, int], Sequence[Row]], *, text: bool) -> None:
    """Keep a screen at its sizes."""
    path.parent.mkdir(exist_ok=True)
    lines = []
    for (columns, height), found in sizes.items():
        lines.append(f"== {columns}x{height}")
        lines += [str(row if text else Row(row.look, None)) for row in found]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> dict[tuple[int, int], list[Row]]:
    """A screen at the sizes that it was kept at; none where it was not."""
    found: dict[tuple[int, int], list[Row]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        if line.startswith("== "):
            columns, _, height = line[3:].partition("x")
            kept = found.setdefault((int(columns), int(height)), [])
        else:
            look, bar, text = line.partition(" |")
            kept.append(Row(look, text if bar else None))
    return found


def same(one: Sequence[Row], other: Sequence[Row]) -> bool:
    return len(one) == len(other) and all(map(Row.same, one, other))


def difference(kept: Sequence[Row], now: Sequence[Row]) -> str:
    """The rows that differ: as they were, as they are."""
    lines = []
    for number, (was, row) in enumerate(zip(kept, now, strict=False)):
        if was.same(row):
            continue
        if was.text is None or was.text == row.text:
            lines += [f"row {number:>2} looks different", f"       = {row.text}"]
        else:
            lines += [f"row {number:>2} - {was.text}", f"       + {row.text}"]
    if len(kept) != len(now):
        lines.append(f"{len(kept)} rows are kept, {len(now)} are shown")
    return "\n".join(lines)
