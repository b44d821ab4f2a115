"""What the terminal shows, so that nothing is sent to it twice."""

from __future__ import annotations

from textual._compositor import ChopsUpdate
from textual.strip import Strip


class Shown:
    """Strips as they were last sent, by row and column.

    Textual sends whatever a widget asks to refresh, also where it reads as before: a line of
    figures, the keys below after every message of a training.
    """

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, tuple[int, Strip]]] = {}  # (end, strip) by column

    def clear(self) -> None:
        """The terminal may show something else: send everything again."""
        self._rows.clear()

    def without_known(self, update: ChopsUpdate) -> ChopsUpdate | None:
        """The update without what the terminal shows already, which is remembered; None is that
        nothing remains."""
        spans = [span for span in update.spans if self._is_new(update, *span)]
        return ChopsUpdate(update.chops, spans, update.chop_ends) if spans else None

    def _is_new(self, update: ChopsUpdate, y: int, x1: int, x2: int) -> bool:
        row = self._rows.setdefault(y, {})
        is_new = False
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x > x2 or end <= x1:
                continue  # not sent, as the update has it
            end = min(end, x2)
            sent = strip.crop(0, max(end - x, 0))
            if row.get(x) == (end, sent):
                continue
            is_new = True
            for column, (until, _) in list(row.items()):
                if column < end and until > x:
                    del row[column]
            row[x] = (end, sent)
        return is_new
