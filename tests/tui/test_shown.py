"""Rows that read as before are not sent again."""

from __future__ import annotations

from itertools import pairwise

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widgets import Input

from ddpm_tui.terminal.linked import Linked, _regions
from ddpm_tui.terminal.shown import Shown


def update(*rows: tuple[int, list[str]]) -> ChopsUpdate:
    """An update of whole rows, each of the texts beside one another."""
    chops: list[dict[int, Strip | None]] = [{} for _ in range(10)]
    ends: list[list[int]] = [[] for _ in range(10)]
    spans = []
    for y, texts in rows:
        x = 0
        for text in texts:
            chops[y][x] = Strip([Segment(text)])
            x += len(text)
            ends[y].append(x)
        spans.append((y, 0, x))
    return ChopsUpdate(chops, spans, ends)


def rows(shown: Shown, given: ChopsUpdate) -> list[int]:
    left = shown.without_known(given)
    return [] if left is None else [y for y, _, _ in left.spans]


def test_only_rows_that_changed_are_left() -> None:
    shown = Shown()
    assert rows(shown, update((1, ["loss"]), (2, ["0.5", "ema"]))) == [1, 2]
    assert rows(shown, update((1, ["loss"]), (2, ["0.5", "ema"]))) == []
    assert rows(shown, update((1, ["loss"]), (2, ["0.5", "raw"]))) == [2]
    assert rows(shown, update((2, ["0.5", "ema"]))) == [2]


def test_what_was_painted_over_is_sent_again() -> None:
    shown = Shown()
    shown.without_known(update((1, ["left", "right"])))
    shown.without_known(update((1, ["a dialog"])))
    left = shown.without_known(update((1, ["left", "right"])))
    assert left is not None and list(left.chops[1]) == [0, 4]


def test_of_a_row_only_what_changed_is_left() -> None:
    shown = Shown()
    shown.without_known(update((1, ["chart", "picture"])))
    left = shown.without_known(update((1, ["Chart", "picture"])))
    assert left is not None
    assert [strip and strip.text for strip in left.chops[1].values()] == ["Chart"]


def test_what_two_spans_of_a_row_share_does_not_displace_the_rest() -> None:
    """As when two toasts go from above a wide widget, and a third from above its neighbour."""
    given = update((1, ["a wide one ", "its neighbour"]))
    both = ChopsUpdate(given.chops, [(1, 2, 4), (1, 6, 11), (1, 13, 24)], given.chop_ends)
    left = Shown().without_known(both)
    assert left is not None
    sent = left.render_segments(Console())
    assert "a wide one " in sent
    assert "its neighbour" in sent


def test_of_a_span_that_ends_within_a_piece_no_more_is_known_than_was_sent() -> None:
    shown, given = Shown(), update((1, ["loss 0.5"]))
    left = shown.without_known(ChopsUpdate(given.chops, [(1, 0, 4)], given.chop_ends))
    assert left is not None and "0.5" not in left.render_segments(Console())
    assert rows(shown, given) == [1]


def test_a_whole_screen_is_compared_as_well() -> None:
    shown = Shown()
    shown.without_known(update((0, ["loss", "0.5"]), (1, ["keys"])))
    strips = [[Strip([Segment(text)]) for text in row] for row in (["loss", "0.6"], ["keys"])]
    left = shown.without_known(LayoutUpdate(strips, Region(0, 0, 7, 2)))
    assert left is not None
    assert [span[0] for span in left.spans] == [0]
    assert list(left.chops[0]) == [4]


def test_after_a_clear_everything_is_sent() -> None:
    shown = Shown()
    shown.without_known(update((1, ["loss"])))
    shown.clear()
    assert rows(shown, update((1, ["loss"]))) == [1]


WIDTH, HEIGHT = 12, 2
COLUMNS = st.integers(0, WIDTH)


@st.composite
def updates(draw: st.DrawFn) -> list[ChopsUpdate | None]:
    """What Textual sends one after the other, each with cuts of its own; None is a resize."""
    content = [list("." * WIDTH) for _ in range(HEIGHT)]
    found: list[ChopsUpdate | None] = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 4)) == 0:
            found.append(None)
            continue
        chops: list[dict[int, Strip | None]] = []
        ends: list[list[int]] = []
        spans = []
        for y, row in enumerate(content):
            edges = sorted(draw(st.sets(COLUMNS, max_size=6)))
            for x1, x2 in zip(edges[::2], edges[1::2], strict=False):
                row[x1:x2] = draw(st.text("ab", min_size=x2 - x1, max_size=x2 - x1))
                spans.append((y, x1, x2))
            cuts = sorted(draw(st.sets(COLUMNS, max_size=4)) | {0, WIDTH})
            texts = ["".join(row[x:end]) for x, end in pairwise(cuts)]
            chops.append({x: Strip([Segment(t)]) for x, t in zip(cuts, texts, strict=False)})
            ends.append(cuts[1:])
        if spans:
            found.append(ChopsUpdate(chops, spans, ends))
    return found


@given(updates())
def test_the_terminal_shows_the_same_as_if_everything_was_sent(
    given: list[ChopsUpdate | None],
) -> None:
    shown, console = Shown(), Console()
    whole, saved = pyte.Screen(WIDTH, HEIGHT), pyte.Screen(WIDTH, HEIGHT)
    for each in given:
        if each is None:
            shown.clear()
            for screen in (whole, saved):
                screen.reset()
            continue
        pyte.Stream(whole).feed(each.render_segments(console))
        if (left := shown.without_known(each)) is not None:
            pyte.Stream(saved).feed(left.render_segments(console))
        assert saved.display == whole.display


class Fields(Linked):
    def compose(self) -> ComposeResult:
        yield Input()


async def test_a_field_has_no_cursor_that_blinks() -> None:
    app = Fields()
    async with app.run_test():
        assert not app.query_one(Input).cursor_blink


def test_the_regions_of_an_update_are_what_it_paints() -> None:
    whole = Region(0, 0, 80, 24)
    assert list(_regions(update((1, ["loss"]), (3, ["x"])), whole)) == [
        Region(0, 1, 4, 1),
        Region(0, 3, 1, 1),
    ]
    assert list(_regions(LayoutUpdate([], Region(1, 2, 3, 4)), whole)) == [Region(1, 2, 3, 4)]
    assert list(_regions(None, whole)) == []
