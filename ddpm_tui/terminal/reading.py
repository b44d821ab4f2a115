"""What comes from the terminal: keys, its answers, and pastes as they are.

Textual looks at a paste character by character, and at every escape sequence in it with a dozen
patterns: a megabyte took it seconds, and minutes if it was made of sequences. Between the brackets
that the terminal puts around a paste nothing means anything but their end, which is found at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual import events
from textual.keys import Keys
from textual.message import Message

from ddpm_tui.terminal.kitty import ReplyParser

_BEGIN, _END = "\x1b[200~", "\x1b[201~"
# Of a bracket whose rest is still on its way. Fewer characters could be the escape key, or alt.
_BEGUN = re.compile(r"\x1b\[20{0,2}\Z")


class Reader(ReplyParser):
    """Textual's reader of keys, for which a paste of any size is one piece."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._held = ""  # what may be the beginning of a bracket
        self._paste: list[str] | None = None  # what came of one that has not ended

    def feed(self, data: str) -> Iterable[Message]:
        if not data:  # the end of the input
            yield from super().feed(data)
            return
        data, self._held = self._held + data, ""
        while data:
            if self._paste is None:
                before, bracket, data = data.partition(_BEGIN)
                if bracket:
                    self._paste = []
                elif begun := _BEGUN.search(before):
                    before, self._held = before[: begun.start()], begun[0]
                if before:
                    yield from super().feed(before)
            else:
                inside, bracket, data = data.partition(_END)
                if not bracket:
                    cut = len(inside) - len(_END) + 1
                    self._paste.append(inside[: max(cut, 0)])
                    self._held = inside[max(cut, 0) :]
                    return
                text = "".join([*self._paste, inside])
                self._paste = None
                # As Textual has it: https://github.com/Textualize/textual/issues/1661
                yield events.Paste(text.replace("\x00", ""))

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        """A key whose numbers are none, or no character's, is ignored and not the last one read."""
        try:
            return list(super()._sequence_to_key_events(sequence, alt))
        except (ValueError, OverflowError):
            return [events.Key(Keys.Ignore, sequence)]


def listen() -> None:
    """Read through `Reader` in every app that is started from now on."""
    from textual.drivers import linux_driver

    # The thread that reads makes its parser by this name; no method could be overridden.
    linux_driver.XTermParser = Reader  # type: ignore[attr-defined]
