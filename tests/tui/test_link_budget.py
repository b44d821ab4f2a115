"""The link to the terminal, against a model of one with its own clock."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from ddpm_tui.terminal.budget import parse_budget
from ddpm_tui.terminal.link import LATENCY, Link

FRAME = 60_000  # bytes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Pipe:
    """Carries bytes at a rate, and the answer to a question when it arrives there."""

    clock: Clock
    rate: float
    delay: float = 0.02
    answers: bool = True
    free_at: float = 0.0
    coming: deque[tuple[float, int]] = field(default_factory=deque)

    def carry(self, count: int) -> None:
        self.free_at = max(self.free_at, self.clock.now) + count / self.rate

    def ask(self, number: int | None) -> None:
        if number is not None and self.answers:
            self.coming.append((max(self.free_at, self.clock.now) + 2 * self.delay, number))

    def write(self, link: Link, count: int) -> None:
        """As the driver writes: questions stand around what is worth one."""
        self.ask(link.question_before(count))
        link.wrote(count)
        self.carry(count)
        self.ask(link.question_after())

    def run(self, link: Link, seconds: float) -> None:
        """Let time pass; answers come in when they are due."""
        end = self.clock.now + seconds
        while self.coming and self.coming[0][0] <= end:
            self.clock.now, number = max(self.clock.now, self.coming[0][0]), self.coming[0][1]
            self.coming.popleft()
            link.acknowledged(number)
        self.clock.now = end

    @property
    def queued(self) -> float:
        """Seconds that a key's answer would wait now."""
        return max(self.free_at - self.clock.now, 0.0)


def stream(link: Link, pipe: Pipe, seconds: float, frame: int = FRAME) -> tuple[int, float]:
    """Paint whenever the link lets; the bytes sent, and the longest that a key would have waited
    in the second half."""
    sent, worst, start = 0, 0.0, pipe.clock.now
    while pipe.clock.now < start + seconds:
        if link.may_paint(frame):
            piece = min(frame, link.portion)
            pipe.write(link, piece)
            sent += piece
        if pipe.clock.now > start + seconds / 2:
            worst = max(worst, pipe.queued)
        pipe.run(link, 0.02)
    return sent, worst


@pytest.mark.parametrize("delay", [0.001, 0.03, 0.15])
@pytest.mark.parametrize("rate", [20_000, 100_000, 250_000])
def test_a_slow_link_is_used_but_never_filled(rate: float, delay: float) -> None:
    clock = Clock()
    link, pipe = Link(300_000, clock), Pipe(clock, rate, delay)
    sent, worst = stream(link, pipe, 20)
    assert worst <= LATENCY + 0.05
    assert 0.6 * rate * 20 <= sent <= rate * 20 + FRAME
    assert link.rate == pytest.approx(rate, rel=0.05)
    assert link.round_trip == pytest.approx(2 * delay, abs=0.01)
    assert link.state.startswith("link ")


@pytest.mark.parametrize("budget", [50_000, 300_000])
def test_on_a_fast_link_the_budget_holds(budget: float) -> None:
    clock = Clock()
    link, pipe = Link(budget, clock), Pipe(clock, 20e6)
    sent, _ = stream(link, pipe, 20)
    assert 0.9 * budget * 20 <= sent <= budget * 20 + budget / 2 + FRAME
    assert link.bytes_per_second == pytest.approx(budget, rel=0.25)
    assert link.state.startswith("budget ")


def test_a_frame_within_the_budget_goes_in_one_piece_where_the_link_is_fast() -> None:
    clock = Clock()
    link, pipe = Link(300_000, clock), Pipe(clock, 20e6)
    stream(link, pipe, 2)
    assert link.portion >= 85_000


def test_text_is_never_held_back_and_counts() -> None:
    clock = Clock()
    link, pipe = Link(100_000, clock), Pipe(clock, 20e6)
    pipe.write(link, 200_000)
    assert not link.may_paint(1000)
    pipe.run(link, 1.0)
    assert not link.may_paint(25_000)
    pipe.run(link, 1.3)
    assert link.may_paint(25_000)


def test_a_terminal_that_never_answers_is_held_to_the_budget_and_soon_asked_no_more() -> None:
    clock = Clock()
    link, pipe = Link(100_000, clock), Pipe(clock, 100_000, answers=False)
    sent, worst = stream(link, pipe, 20)
    assert 0.9 * 100_000 * 20 <= sent <= 100_000 * 20 + FRAME
    assert worst <= 0.5
    assert link.silent and link.question_before(50_000) is None


def test_one_that_answers_late_is_believed_after_all() -> None:
    clock = Clock()
    link, pipe = Link(300_000, clock), Pipe(clock, 50_000, delay=0.8)
    stream(link, pipe, 40)
    assert not link.silent
    assert link.rate == pytest.approx(50_000, rel=0.1)


def test_nothing_is_asked_while_nothing_is_written() -> None:
    clock = Clock()
    link = Link(clock=clock)
    assert link.question_after() is None
    link.wrote(500)
    assert link.question_before(200) is None and link.question_after() is None
    link.wrote(600)
    assert link.question_after() is not None
    assert link.question_after() is None


def test_lost_answers_do_not_stop_the_pictures_for_ever() -> None:
    clock = Clock()
    link, pipe = Link(300_000, clock), Pipe(clock, 100_000)
    stream(link, pipe, 5)
    pipe.coming.clear()  # the terminal was detached
    pipe.answers = False
    sent, _ = stream(link, pipe, 20)
    assert 0 < sent <= 20 / 5 * 2 * LATENCY * 100_000, "a little, to ask again"
    pipe.answers = True
    sent, worst = stream(link, pipe, 20)
    assert sent >= 0.5 * 100_000 * 20
    assert worst <= LATENCY + 0.05


def test_an_answer_that_nobody_asked_for_counts_for_nothing() -> None:
    clock = Clock()
    link = Link(clock=clock)
    link.wrote(5000)
    number = link.question_after()
    assert number is not None
    assert not link.acknowledged(number + 1)
    assert link.in_flight == 5000
    assert link.acknowledged(number)
    assert link.in_flight == 0
    assert not link.acknowledged(number)


def test_whoever_was_refused_first_is_served_first() -> None:
    clock = Clock()
    link, pipe = Link(100_000, clock), Pipe(clock, 100_000)
    served = {"a": 0, "b": 0, "c": 0}
    order = random.Random(1)
    for _ in range(2000):
        who = order.choices("abc", (4, 2, 1))[0]  # a asks four times as often as c
        if link.may_paint(FRAME, who):
            served[who] += 1
            pipe.write(link, min(FRAME, link.portion))
        pipe.run(link, 0.01)
    assert min(served.values()) >= 0.6 * max(served.values())


def test_one_that_asks_no_more_does_not_block_the_others() -> None:
    clock = Clock()
    link = Link(10_000, clock)
    link.wrote(10_000)
    assert not link.may_paint(1000, "gone")
    clock.now += 2
    assert link.may_paint(1000, "here")


def test_what_a_cell_takes_is_learned() -> None:
    link = Link(clock=Clock())
    for _ in range(10):
        link.announce(2000)
        link.wrote(200)  # a word of text, which was under way
        link.wrote(66_000)
        link.wrote(300)  # a line of text brings no cells
    assert link.cost(1000) == pytest.approx(33_000, rel=0.01)


def test_the_state_is_told_only_while_pictures_are_held_back() -> None:
    clock = Clock()
    link, pipe = Link(300_000, clock), Pipe(clock, 100_000)
    assert link.state == ""
    stream(link, pipe, 10)
    assert link.state.startswith("link ") and "kB/s" in link.state
    pipe.run(link, 3)
    assert link.state == ""
    assert link.bytes_per_second == 0


@pytest.mark.parametrize(
    ("text", "budget"), [("300", 300), ("100k", 100), ("1.5M", 1500), ("5K", 5), (100.0, 100)]
)
def test_a_budget_is_written_in_kilobytes(text: str | float, budget: float) -> None:
    assert parse_budget(text) == budget
