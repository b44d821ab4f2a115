"""What the terminal shows, so that nothing is sent to it twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.strip import Strip

Piece = tuple[int, int, Strip]
"""First column, column after the last, and what stands between them."""


class Shown:
    """Strips as they were last sent, by row and column.

    Textual sends whatever a widget asks to refresh, also where it reads as before: the keys below
    after every message of a training, and for another view the whole screen two or three times.
    """

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Piece]] = {}

    def clear(self) -> None:
        """The terminal may show something else: send everything again."""
        self._rows.clear()

    def without_known(self, update: ChopsUpdate | LayoutUpdate) -> ChopsUpdate | None:
        """The update without what the terminal shows already; the rest counts as shown from now
        on. None if nothing remains."""
        spans: list[tuple[int, int, int]] = []
        chops: list[dict[int, Strip | None]] = []
        ends: list[list[int]] = []
        for y, x1, x2, pieces in _rows(update):
            new = [piece for piece in pieces if self._is_new(y, x2, piece)]
            if new:
                while len(chops) <= y:
                    chops.append({})
                    ends.append([])
                spans.append((y, x1, x2))
                chops[y].update((x, strip) for x, _, strip in new)
                ends[y] += [end for _, end, _ in new]
        return ChopsUpdate(chops, spans, ends) if spans else None

    def _is_new(self, y: int, limit: int, piece: Piece) -> bool:
        """Whether a row does not show this piece, up to the column `limit`; now it does."""
        x, end, strip = piece
        end = min(end, limit)
        sent = x, end, strip.crop(0, max(end - x, 0))
        row = self._rows.setdefault(y, {})
        if row.get(x) == sent:
            return False
        for column, (_, until, _) in list(row.items()):
            if column < end and until > x:
                del row[column]
        row[x] = sent
        return True


def _rows(update: ChopsUpdate | LayoutUpdate) -> Iterator[tuple[int, int, int, Iterable[Piece]]]:
    """Row, first column and column after the last of each span, and the pieces that are sent."""
    if isinstance(update, LayoutUpdate):
        region = update.region
        for y, strips in enumerate(update.strips, region.y):
            x, pieces = region.x, []
            for strip in strips:
                pieces.append((x, x + strip.cell_length, strip))
                x += strip.cell_length
            yield y, region.x, max(x, region.right), pieces
        return
    for y, x1, x2 in update.spans:
        chops = zip(update.chop_ends[y], update.chops[y].items(), strict=False)
        pieces = [(x, end, strip) for end, (x, strip) in chops if strip is not None]
        yield y, x1, x2, [piece for piece in pieces if piece[0] <= x2 and piece[1] > x1]
