"""Somebody who presses anything: every key, clicks, pastes and resizes, the same for a seed."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ddpm_tui.keys import KEYS
from tests.terminal.harness import (
    ENTER,
    ESCAPE,
    TAB,
    Terminal,
    mishaps,
    sequence,
    workbench,
)

CHUNK = 50  # actions from one look to the next
LOOK_SIZE = (100, 30)
_PAUSE = 0.03  # seconds between keys
_PATIENCE = 60.0  # seconds until a screen counts as stuck: others use this machine as well
_TRY = 5.0
# What Textual calls an exception of a worker, as a toast.
_UNFORESEEN = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Interrupt)\b:|Traceback|This is a bug")

_QUIT = ("q", "ctrl+q")
_TABLE = sorted({name for key in KEYS for name in key.names} - set(_QUIT))
_OPENERS = ("n", "a", "r", "b", "f", "c", "m", "o", "S", "?", ";", "/", "t", "e")
_TEXTS = ("0", "-1", "3,7", "dress", "0.6 dress + 0.4 coat", "1e400", "nan", "../x", "state:done",
          "[bold]x[/]", "a\u0301\u200d", "\u4e2d\u6587", "training.lr=", "'", "(", "999999999999",
          "tiny", "classes", "")  # fmt: skip
_ODD = ("\x1b[999~", "\x1b[I", "\x1b[O", "\x1bx", "\x1b[1;5C", "\x1b[?2026;2$y", "\x1b[",
        "\x1b]11;rgb:0000/0000/0000\x07", "\x1b[12;40R", "\x1bOQ", "\x1b[200~\x1b[201~",
        "\x00", "\x80", "\x1b[<64;10;10M", "\x1b[<65;10;10M", "\x1b[<0;0;0M",
        "\x1b[<35;500;500M", "\x1b[Z", "\x0c")  # fmt: skip


@dataclass(frozen=True)
class Action:
    """One thing that is done; `words` are what a person would need to do it again."""

    words: str
    do: Callable[[Terminal], None]


def actions(seed: int) -> Iterator[Action]:
    """What a monkey does, without end."""
    draw = random.Random(seed)
    kinds: tuple[tuple[int, Callable[[random.Random], Iterator[Action]]], ...] = (
        (10, _view),
        (55, _key),
        (10, _dialog),
        (3, _palette),
        (8, _click),
        (3, _drag),
        (4, _odd),
        (3, _type),
        (5, _resize),
        (3, _paste),
        (3, _rest),
    )
    while True:
        (kind,) = draw.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])
        yield from kind(draw)


def _pressing(text: str, words: str = "") -> Action:
    def do(terminal: Terminal) -> None:
        terminal.write(text.encode())
        # Escape and a letter at once are alt and that letter.
        time.sleep(0.15 if text == ESCAPE else _PAUSE)

    return Action(words or repr(text), do)


def _view(draw: random.Random) -> Iterator[Action]:
    yield _pressing(draw.choice("12345"))


def _key(draw: random.Random) -> Iterator[Action]:
    key = draw.choice(_TABLE)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        yield _pressing(sequence(key))


def _dialog(draw: random.Random) -> Iterator[Action]:
    """Open one and fill it in, more or less."""
    yield _pressing(draw.choice(_OPENERS))
    for _ in range(draw.randrange(6)):
        yield _pressing(draw.choice((TAB, TAB, "\x1b[A", "\x1b[B", "\x1b[C", " ")))
        yield _pressing(draw.choice(_TEXTS) or TAB)
    yield _pressing(draw.choice((ENTER, ENTER, ESCAPE)))


def _palette(draw: random.Random) -> Iterator[Action]:
    yield _pressing("\x10", "'ctrl+p'")
    yield _pressing(draw.choice(("the", "s", "save", "run", "zzz", "theme", "x_t")))
    for _ in range(draw.randrange(4)):
        yield _pressing("\x1b[B")
    yield _pressing(draw.choice((ENTER, ENTER, ESCAPE)))


def _click(draw: random.Random) -> Iterator[Action]:
    column, row = draw.random(), draw.random()

    def do(terminal: Terminal) -> None:
        columns, rows = terminal.size
        terminal.click(int(column * columns), int(row * rows))
        time.sleep(_PAUSE)

    yield Action(f"click at {column:.3f}, {row:.3f} of the screen", do)


def _drag(draw: random.Random) -> Iterator[Action]:
    places = [(draw.random(), draw.random()) for _ in range(4)]

    def do(terminal: Terminal) -> None:
        columns, rows = terminal.size
        points = [(int(x * columns) + 1, int(y * rows) + 1) for x, y in places]
        codes = ((0, "M"), (32, "M"), (32, "M"), (0, "m"))
        for (code, end), (x, y) in zip(codes, points, strict=True):
            terminal.write(f"\x1b[<{code};{x};{y}{end}".encode())
        time.sleep(_PAUSE)

    yield Action(f"drag over {[(round(x, 3), round(y, 3)) for x, y in places]}", do)


def _odd(draw: random.Random) -> Iterator[Action]:
    yield _pressing(draw.choice(_ODD))


def _type(draw: random.Random) -> Iterator[Action]:
    letters = "abcdefghijklmnoprstuvwxyzABCHJKLSUW0123456789 .,;:/=-+[]()<>?!$%&*#@~"
    for _ in range(draw.randrange(1, 12)):
        yield _pressing(draw.choice(letters))


def _resize(draw: random.Random) -> Iterator[Action]:
    columns, rows = draw.choice(
        ((20, 5), (60, 18), (80, 24), (120, 40), (200, 60),
         (draw.randrange(20, 201), draw.randrange(5, 61)))
    )  # fmt: skip

    def do(terminal: Terminal) -> None:
        terminal.resize(columns, rows)
        time.sleep(_PAUSE)

    yield Action(f"resize to {columns}x{rows}", do)


def _paste(draw: random.Random) -> Iterator[Action]:
    size = draw.choice((1, 20, 300, 5_000, 1_000_000))
    what = draw.choice(("x", "1", "\u2588", "a b\n", "\x1b[2J", "[red]"))

    def do(terminal: Terminal) -> None:
        terminal.paste(what * (size // len(what)))
        time.sleep(_PAUSE)

    yield Action(f"paste {size} characters of {what!r}", do)


def _rest(draw: random.Random) -> Iterator[Action]:
    seconds = draw.choice((0.1, 0.3, 1.0))
    yield Action(f"wait {seconds} s", lambda _: time.sleep(seconds))


@dataclass(frozen=True)
class Story:
    """What a monkey did.

    Attributes:
        done: how many actions.
        left: how often the workbench was left, by a click or from the palette, and opened again.
        slowest: seconds of the slowest answer to a key, with all that was still to be done.
    """

    done: int
    left: int
    slowest: float


def play(folder: Path, seed: int, seconds: float, *arguments: str) -> Story:
    """Let a monkey play in a folder for some time.

    Args:
        arguments: of the first workbench; when it was left, it is opened without.

    Raises:
        AssertionError: it found something; the text has the seed and all that was done.
    """
    end, story, done = time.monotonic() + seconds, Story(0, 0, 0.0), list[str]()
    doing = actions(seed)
    try:
        while time.monotonic() < end:
            with workbench(folder, *arguments, size=LOOK_SIZE, COLORTERM="truecolor") as terminal:
                done.append(f"opened with {arguments}")
                try:
                    terminal.wait_until(lambda screen: "Runs" in screen, "the workbench")
                    story = _play(terminal, folder, doing, done, story, end)
                except AssertionError as error:
                    error.add_note(terminal.threads())
                    raise
                arguments = ()
    except AssertionError as error:
        error.add_note(f"seed {seed}, after {len(done)} actions")
        error.add_note("\n".join(done))
        raise
    return story


def _play(
    terminal: Terminal,
    folder: Path,
    doing: Iterator[Action],
    done: list[str],
    story: Story,
    end: float,
) -> Story:
    """Until the end, or until the workbench is left."""
    while time.monotonic() < end:
        for _ in range(CHUNK):
            action = next(doing)
            done.append(action.words)
            try:
                action.do(terminal)
            except OSError:
                break  # it has been left
            if terminal.process.poll() is not None:
                break
        count = story.done + CHUNK
        if terminal.process.poll() is not None:
            assert terminal.process.returncode == 0, f"it ended:\n{terminal.text()}"
            look(terminal, folder)
            return Story(count, story.left + 1, story.slowest)
        try:
            slowest = max(story.slowest, answers(terminal))
        except (AssertionError, OSError):
            look(terminal, folder)  # which may say why
            if terminal.process.poll() != 0:
                raise
            return Story(count, story.left + 1, story.slowest)
        look(terminal, folder)
        story = Story(count, story.left, slowest)
    return story


def look(terminal: Terminal, folder: Path) -> None:
    """Nothing that nobody foresaw is on the screen, in the log or among the bytes."""
    assert not (logged := mishaps(folder)), logged
    assert b"Traceback" not in terminal.received, terminal.received[-5000:].decode(errors="replace")
    assert not (found := _UNFORESEEN.search(terminal.text())), f"{found}\n{terminal.text()}"


def answers(terminal: Terminal, size: tuple[int, int] = LOOK_SIZE) -> float:
    """Get out of whatever is open; the views must come at their keys. Seconds until they did.

    What was pressed before is done first, and may open a dialog after the first escapes were
    pressed. So it is tried more than once.
    """
    terminal.resize(*size)
    began = time.monotonic()
    while True:
        for _ in range(4):
            terminal.press(ESCAPE)
        # A key that follows at once is read together with the escape, as alt and that key.
        time.sleep(0.5)
        try:
            for key, title in (("2", "Train"), ("1", "Runs"), ("2", "Train")):
                terminal.echo(key, lambda _, title=title: is_here(terminal, title), _TRY)
        except AssertionError:
            if terminal.process.poll() is not None or time.monotonic() - began > _PATIENCE:
                raise
        else:
            return time.monotonic() - began


def is_here(terminal: Terminal, title: str) -> bool:
    """Whether the bar on top marks this view."""
    bar = terminal.cells(0)
    at = "".join(cell.data for cell in bar).find(f" {title} ")
    return at >= 0 and bool(bar[at + 1].bold)
