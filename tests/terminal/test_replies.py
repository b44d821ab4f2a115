"""Answers of the terminal among the keys."""

import itertools

import pytest
from textual.events import Key

from ddpm_tui.terminal.kitty import GraphicsAnswered, ReplyParser

YES = "\x1b_Gi=31;OK\x1b\\\x1b[?62;22c"
NO = "\x1b[?1;2c"
REFUSED = "\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\\x1b[?62c"


def read(*pieces: str) -> tuple[str, list[bool]]:
    """The keys of what is read, and the answers."""
    parser = ReplyParser()
    messages = list(itertools.chain.from_iterable(map(parser.feed, pieces)))
    keys = "".join(event.character or "" for event in messages if isinstance(event, Key))
    return keys, [event.offered for event in messages if isinstance(event, GraphicsAnswered)]


@pytest.mark.parametrize(("reply", "offered"), [(YES, True), (NO, False), (REFUSED, False)])
def test_an_answer_is_no_key_wherever_it_is_cut(reply: str, offered: bool) -> None:
    whole = f"a{reply}b"
    assert read(whole) == ("ab", [offered])
    for cut in range(1, len(whole)):
        # Cut right after ESC it could be the key; terminals write an answer in one piece.
        if whole[cut - 1] != "\x1b" and whole[cut - 2 : cut] not in ("\x1b_", "\x1b["):
            assert read(whole[:cut], whole[cut:]) == ("ab", [offered]), cut


def test_what_is_no_answer_goes_its_way() -> None:
    assert read("q\x1b[?2026;2$y", "\x1b[A", "x") == ("qx", [])
    assert read("\x1b[?20", "26;2$yz") == ("z", [])
