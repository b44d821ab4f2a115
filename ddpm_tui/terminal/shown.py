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
        # By row and column. A wide piece can be in two spans of its row; it is sent once.
        new: dict[int, dict[int, Piece]] = {}
        for y, limit, pieces in _rows(update):
            for x, end, strip in pieces:
                end = min(end, limit)
                piece = x, end, strip.crop(0, end - x)
                if self._is_new(y, piece):
                    new.setdefault(y, {})[x] = piece
        if not new:
            return None
        chops: list[dict[int, Strip | None]] = [{} for _ in range(max(new) + 1)]
        ends: list[list[int]] = [[] for _ in chops]
        spans = []
        for y, row in new.items():
            chops[y] = {x: strip for x, _, strip in row.values()}
            ends[y] = [end for _, end, _ in row.values()]
            spans.append((y, min(row), max(ends[y])))
        return ChopsUpdate(chops, spans, ends)

    def _is_new(self, y: int, piece: Piece) -> bool:
        """Whether a row does not show this piece; now it does."""
        x, end, _ = piece
        row = self._rows.setdefault(y, {})
        if row.get(x) == piece:
            return False
        for column, (_, until, _) in list(row.items()):
            if column < end and until > x:
                del row[column]
        row[x] = piece
        return True


def _rows(update: ChopsUpdate | LayoutUpdate) -> Iterator[tuple[int, int, Iterable[Piece]]]:
    """Row, column after the last, and the pieces that are sent up to it, of each span."""
    if isinstance(update, LayoutUpdate):
        region = update.region
        for y, strips in enumerate(update.strips, region.y):
            x, pieces = region.x, []
            for strip in strips:
                pieces.append((x, x + strip.cell_length, strip))
                x += strip.cell_length
            yield y, x, pieces
        return
    for y, x1, x2 in update.spans:
        chops = zip(update.chop_ends[y], update.chops[y].items(), strict=False)
        pieces = [(x, end, strip) for end, (x, strip) in chops if strip is not None]
        yield y, x2, [piece for piece in pieces if piece[0] < x2 and piece[1] > x1]
