"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError, last_line

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        group: what it belongs to, such as `runs folder`.
        name: what was looked at, one or two words.
        state: `ok`; `note`, which is worth knowing and stops nobody; `wrong`.
        found: what is so, a phrase.
        fix: what to do, one sentence; empty only where the state is `ok`.
    """

    group: str
    name: str
    state: State
    found: str
    fix: str = ""


def surely(group: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error of its own is one more, and ends it."""
    try:
        yield from check()
    except EngineError as error:
        yield Finding(group, "check", "wrong", error.message, error.hint or "See the line above.")
    except Exception as error:
        yield Finding(
            group,
            "check",
            "wrong",
            f"could not be finished: {type(error).__name__}: {last_line(error)}",
            "Report it, with this line: it is a fault of ddpm-tui.",
        )
