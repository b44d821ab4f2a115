"""Text from outside (names, labels, log lines, device names), made safe to print in a terminal.

Neither Rich nor Textual takes control characters out of text. One ESC in a run's name could retitle
the window or hide a line, and a bidi override could make a name read as another.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any
from unicodedata import category

# A whole control sequence goes, so that a coloured log line leaves its words and not "[31m". The
# string kinds (title, hyperlink, …) must be closed to count: an open one would swallow the rest.
# No part can run over the beginning of another sequence, so a hostile line costs linear time.
_SEQUENCES = re.compile(
    r"""(?x)
    (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]
  | (?: \x1b[\]PX^_] | [\x90\x98\x9d-\x9f] ) [^\x07\x1b\x80-\x9f]* (?: \x07 | \x1b\\ | \x9c )
  | \x1b [ -/]* [0-~]
    """
)


def clean(text: str, limit: int | None = None) -> str:
    """Make `text` one printable line.

    Control sequences, control characters (C0, DEL, C1) and invisible format characters (bidi
    overrides, zero-width ones) are removed; every white-space character, line ends included,
    becomes a space; lone surrogates, private-use and unassigned characters become "�". Square
    brackets stay: the result is data, to be shown as text and never parsed as markup.

    Args:
        text: anything.
        limit: the most terminal cells that the result may take, ≥ 0; a longer text ends in "…".
            None: no limit.
    """
    if not text.isprintable():
        text = "".join(map(_clean_character, _SEQUENCES.sub("", text)))
    if limit is None:
        return text
    # Imported late: headless commands clean text without a limit and should start fast.
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= limit:
        return text
    return set_cell_size(text, limit - 1).rstrip() + "…" if limit > 0 else ""


def clean_lines(text: str) -> str:
    """Make every line of `text` printable; the ends of the lines are the caller's own."""
    return "\n".join(map(clean, text.split("\n")))


def json_text(value: Any) -> str:
    """A value as JSON in one line, as readable as it can be shown: JSON itself lets most of what a
    terminal obeys, or cannot show, stand as it is. What standard output cannot encode is escaped.
    """
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(map(_escaped, text))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _clean_character(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    # Other, control and other, format; white space among them is dealt with above.
    return "" if category(character) in ("Cc", "Cf") else "\N{REPLACEMENT CHARACTER}"
