"""Pictures in the terminal's own pixels, by kitty's graphics protocol.

Whether a terminal can is asked only when somebody wants it: the query, and behind it a question
that every terminal answers. The answers come among the keys; `ReplyParser` takes them out, so
that they press none.

A picture lies below all cells whose background is not the default one. Its own cells have that,
everything else of the workbench has a colour: a toast or a dialog covers pictures as it covers
text, and what is missed by a deletion is not seen.

https://sw.kovidgoyal.net/kitty/graphics-protocol/
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.message import Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    """Pixels of one picture: (H, W) or (H, W, 3)."""

_ASKED = 31  # id of a picture of one pixel that is only asked about
QUERY = f"\x1b_Gi={_ASKED},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_CHUNK = 4096  # bytes of base64 in one sequence, at most
_BELOW_BACKGROUNDS = -(2**30) - 1

_REPLY = re.compile(r"\x1b_G(?P<graphics>[^\x1b]*)\x1b\\|\x1b\[\?[\d;]*c")
_BEGUN = re.compile(r"\x1b(?:_G[^\x1b]*\x1b?|\[\?[\d;]*)\Z")


class GraphicsAnswered(Message):
    """The terminal has answered whether it can."""

    def __init__(self, offered: bool) -> None:
        super().__init__()
        self.offered = offered


class ReplyParser(XTermParser):
    """Textual's reader of keys, without the answers to `QUERY`; they become a message."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._begun = ""  # of an answer whose rest is still on its way
        self._offered = False

    def feed(self, data: str) -> Iterable[Message]:
        if not data:  # the end of the input
            yield from super().feed(data)
            return
        data, self._begun = self._begun + data, ""
        at = 0
        for reply in _REPLY.finditer(data):
            yield from self._keys(data[at : reply.start()])
            at = reply.end()
            if reply["graphics"] is not None:
                self._offered = reply["graphics"] == f"i={_ASKED};OK"
            else:  # every terminal answers this, and last
                yield GraphicsAnswered(self._offered)
        if begun := _BEGUN.search(data, at):
            self._begun = begun[0]
            data = data[: begun.start()]
        yield from self._keys(data[at:])

    def _keys(self, data: str) -> Iterable[Message]:
        return super().feed(data) if data else ()


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a picture is stretched to, in cells of the screen from 0."""

    column: int
    row: int
    columns: int
    rows: int


class Placements:
    """The pictures of one widget that the terminal has; only changed ones are sent.

    Args:
        write: sends to the terminal.
    """

    _ids = itertools.count(1000)

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._sent: dict[int, tuple[Spot, bytes]] = {}  # by id

    def show(self, pictures: Sequence[tuple[Spot, Picture]]) -> None:
        """Show these, in the place of those shown before."""
        ids = list(self._sent)[: len(pictures)]
        ids += itertools.islice(self._ids, len(pictures) - len(ids))
        out = [_delete(id) for id in self._sent.keys() - ids]
        before, self._sent = self._sent, {}
        for id, (spot, picture) in zip(ids, pictures, strict=True):
            self._sent[id] = (spot, picture.tobytes())
            if before.get(id) != self._sent[id]:
                out.append(_transmit(id, spot, picture))
        if out:  # in one piece: Textual's writer holds few
            self._write("".join(out))

    def clear(self) -> None:
        """Delete all of them from the terminal."""
        self.show(())


def _transmit(id: int, spot: Spot, picture: Picture) -> str:
    """Send a picture and show it; one with the same id goes. The cursor stays where it was."""
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    data = base64.b64encode(png.getvalue()).decode("ascii")
    chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    keys = f"a=T,f=100,t=d,i={id},p=1,c={spot.columns},r={spot.rows},C=1"
    heads = [f"{keys},z={_BELOW_BACKGROUNDS},q=2,", *[""] * (len(chunks) - 1)]
    out = [f"\x1b7\x1b[{spot.row + 1};{spot.column + 1}H"]
    for number, (head, chunk) in enumerate(zip(heads, chunks, strict=True), 1):
        out.append(f"\x1b_G{head}m={int(number < len(chunks))};{chunk}\x1b\\")
    out.append("\x1b8")
    return "".join(out)


def _delete(id: int) -> str:
    return f"\x1b_Ga=d,d=I,i={id},q=2\x1b\\"
