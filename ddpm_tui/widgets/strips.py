"""What widgets that draw their own rows share: terse strips, messages, regions of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from ddpm_tui.sanitize import clean


class TerseStrip(Strip):
    """A strip that writes only the colours that change from one segment to the next.

    Textual sets and resets both colours around every segment, which for pictures is most of the
    output. The segments stay what they are, so overlays and screenshots see nothing of this.
    """

    __slots__ = ("_terse",)

    def __init__(self, segments: Iterable[Segment], cell_length: int | None = None) -> None:
        super().__init__(segments, cell_length)
        self._terse: str | None = None

    def render(self, console: Console) -> str:
        if self._terse is None:
            self._terse = _terse_ansi(self, _COLOR_SYSTEMS[console.color_system])
        return self._terse

    # What the compositor cuts out of a strip should be as terse.
    def crop(self, start: int, end: int | None = None) -> Strip:
        strip = super().crop(start, end)
        return strip if strip is self else TerseStrip(strip, strip.cell_length)

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        return [
            part if isinstance(part, TerseStrip) else TerseStrip(part, part.cell_length)
            for part in super().divide(cuts)
        ]


_COLOR_SYSTEMS = {
    None: ColorSystem.TRUECOLOR,  # as in Strip.render
    "windows": ColorSystem.WINDOWS,
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


@lru_cache(maxsize=32768)
def _sgr(style: Style, system: ColorSystem) -> tuple[str, str] | None:
    """The SGR parameters for the foreground and the background of a style, or None if the style
    has more than colours."""
    if style != Style.from_color(style.color, style.bgcolor):
        return None
    foreground, background = (
        ";".join(color.downgrade(system).get_ansi_codes(is_foreground)) if color else default
        for color, is_foreground, default in (
            (style.color, True, "39"),
            (style.bgcolor, False, "49"),
        )
    )
    return foreground, background


def _terse_ansi(strip: Strip, system: ColorSystem) -> str:
    out: list[str] = []
    set_foreground, set_background = "39", "49"
    for text, style, _control in strip:
        codes = ("39", "49") if style is None else _sgr(style, system)
        if codes is None:
            assert style is not None
            if (set_foreground, set_background) != ("39", "49"):
                out.append("\x1b[0m")
            out.append(Strip.render_style(style, text, system))  # which resets at its end
            set_foreground, set_background = "39", "49"
            continue
        foreground, background = codes
        if text.isspace():
            foreground = set_foreground  # nothing of it would be seen
        if foreground != set_foreground:
            if background != set_background:
                out.append(f"\x1b[{foreground};{background}m{text}")
            else:
                out.append(f"\x1b[{foreground}m{text}")
        elif background != set_background:
            out.append(f"\x1b[{background}m{text}")
        else:
            out.append(text)
        set_foreground, set_background = foreground, background
    if (set_foreground, set_background) != ("39", "49"):
        out.append("\x1b[0m")
    return "".join(out)


def message_line(text: str, y: int, width: int, height: int, style: Style, base: Style) -> Strip:
    """Row `y` of a `width` × `height` area with `text` in its middle, wrapped at words."""
    lines = _wrap(text, max(1, min(width - 2, 60)))
    line = y - max(0, height - len(lines)) // 2
    if not text or not 0 <= line < len(lines):
        return Strip.blank(width, base)
    shown = lines[line]
    left = max(0, (width - cell_len(shown)) // 2)
    segments = [Segment(" " * left, base), Segment(shown, style)]
    return Strip([s for s in segments if s.text]).adjust_cell_length(width, base)


def _wrap(text: str, width: int) -> list[str]:
    """Wrap at words into lines of at most `width` cells and of about the same length."""
    words = clean(text).split()
    lines = _fill(words, width)
    while len(narrower := _fill(words, width - 1)) == len(lines) and width > 1:
        lines, width = narrower, width - 1
    return lines


def _fill(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        joined = f"{lines[-1]} {word}".strip()
        if cell_len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def fit(text: str, width: int) -> str:
    """`text` centred in exactly `width` cells, shortened with "…" if it is longer."""
    text = clean(text, limit=width)
    free = width - cell_len(text)
    return " " * (free // 2) + text + " " * (free - free // 2)


def row_regions(rows: Sequence[int], width: int) -> list[Region]:
    """Regions that cover `rows` (sorted), neighbours joined."""
    regions: list[Region] = []
    for y in rows:
        if regions and regions[-1].bottom == y:
            last = regions.pop()
            regions.append(Region(0, last.y, width, last.height + 1))
        else:
            regions.append(Region(0, y, width, 1))
    return regions
