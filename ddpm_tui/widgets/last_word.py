"""Completion in a field of several words."""

from __future__ import annotations

from collections.abc import Sequence

from textual.suggester import Suggester


class LastWord(Suggester):
    """Completes the last word of a line by the first of some words that begins with it."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(case_sensitive=True)
        self._words = sorted(words)

    async def get_suggestion(self, value: str) -> str | None:
        before, space, last = value.rpartition(" ")
        found = next((word for word in self._words if last and word.startswith(last)), None)
        return f"{before}{space}{found}" if found else None
