"""Pastes: one piece, whatever is in it, however the terminal cuts it."""

import itertools
from collections.abc import Iterable

import pytest
from textual.events import Key, Paste
from textual.message import Message

from ddpm_tui.terminal.kitty import GraphicsAnswered, ReplyParser
from ddpm_tui.terminal.reading import Reader

BEGIN, END = "\x1b[200~", "\x1b[201~"
YES = "\x1b_Gi=31;OK\x1b\\\x1b[?62;22c"


def read(*pieces: str) -> list[str]:
    """What comes: keys as themselves, pastes in angle brackets, answers as a question mark."""
    parser, found = Reader(), []
    for message in itertools.chain.from_iterable(map(parser.feed, pieces)):
        if isinstance(message, Key):
            found.append(message.character or message.key)
        elif isinstance(message, Paste):
            found.append(f"<{message.text}>")
        elif isinstance(message, GraphicsAnswered):
            found.append("?")
    return found


@pytest.mark.parametrize(
    "text",
    ["plain", "two\nlines\r", "\x1b[2J\x1b[A\x1b", "\x1b[20", "\x1b[200~", YES, "ᾱ 中 👩‍🔬", ""],
)
def test_a_paste_is_what_was_pasted_wherever_it_is_cut(text: str) -> None:
    whole = f"a{BEGIN}{text}{END}b"
    assert read(whole) == ["a", f"<{text}>", "b"]
    for cut in range(1, len(whole)):
        # Cut right after ESC it could be the key; terminals write a bracket in one piece.
        if whole[:cut] not in (f"a{BEGIN[:1]}", f"a{BEGIN[:2]}"):
            assert read(whole[:cut], whole[cut:]) == ["a", f"<{text}>", "b"], cut


def test_pastes_follow_each_other() -> None:
    assert read(f"{BEGIN}1{END}x{BEGIN}2{END}{BEGIN}3{END}") == ["<1>", "x", "<2>", "<3>"]


def test_no_nul_is_pasted() -> None:
    assert read(f"{BEGIN}a\0b{END}") == ["<ab>"]


def test_keys_and_answers_go_their_way() -> None:
    assert read("q", "\x1b[A", YES, "x\x1b[2~y") == ["q", "up", "?", "x", "insert", "y"]
    assert read("\x1b[2", "~y") == ["insert", "y"]


@pytest.mark.parametrize("what", ["x", "\x1b[2J", "\x1b["])
def test_no_piece_of_a_paste_goes_through_textuals_parser(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[str] = []
    parse = ReplyParser.feed

    def feed(parser: ReplyParser, data: str) -> Iterable[Message]:
        fed.append(data)
        return parse(parser, data)

    monkeypatch.setattr(ReplyParser, "feed", feed)
    paste = f"{BEGIN}{what * (1_000_000 // len(what))}{END}"
    pieces = [paste[at : at + 1024] for at in range(0, len(paste), 1024)]
    (found,) = read(*pieces)
    assert len(found) >= 999_999
    assert not "".join(fed)


@pytest.mark.parametrize(
    "sequence", ["\x1b[:00u", "\x1b[1114112u", "\x1b[99999999999999999999u", "\x1b[97;:5u"]
)
def test_a_key_that_is_written_wrongly_is_not_the_last_that_is_read(sequence: str) -> None:
    assert read("a", sequence, "b")[-1] == "b"
