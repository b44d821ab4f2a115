"""What the link to the terminal carries, and whether a picture may go over it now.

A write says little about a slow link: over SSH the server takes megabytes at once and lets them
wait, and the next key is answered behind them. So a question that every terminal answers travels
with the output. What was sent before a question has arrived when its answer has; the time between
two answers is what the link took for the bytes between two questions.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

BUDGET = 300_000.0  # bytes/s
LATENCY = 0.2  # seconds that a key pressed at the wrong moment may wait behind pictures

_PORTION = 0.12  # seconds of the link: the most that is sent in one piece
_PIECE = 0.5  # seconds of the budget: the same where the link is fast
_BURST = 0.25  # seconds of the budget that may be saved up
_ASK_AFTER = 1024  # bytes
_NUMBERS = 15  # of questions; as small as can be, since a narrow terminal has few columns
_UNANSWERED = 8  # questions, after which a terminal is taken for one that never answers
_FIRST_ANSWER = 2.0  # seconds that pictures wait for it
_LOST_AFTER = 5.0  # seconds: whoever read the question has detached
_WORTH_MEASURING = 4096  # bytes; the time of fewer is mostly jitter
_MEMORY = 0.8  # share of the earlier measurements that one more leaves
_SPAN = 2.0  # seconds that figures for people are averaged over
_TURN = 0.3  # seconds, after which who does not ask again has gone


@dataclass(frozen=True)
class _Question:
    """A question that is on its way.

    Attributes:
        position: bytes that were written before it, since the beginning.
        alone: whether nothing else was on its way, so that its answer tells the round trip.
    """

    number: int
    sent_at: float
    position: int
    alone: bool


class Link:
    """The budget, what is on its way, and how fast it arrives. For any thread.

    Args:
        budget: bytes/s that may be sent on average; text always may, pictures wait.
        clock: seconds, monotonic.
    """

    def __init__(self, budget: float = BUDGET, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self._clock = clock
        self._lock = threading.RLock()
        self._tokens = self._burst
        self._filled_at = clock()
        self._position = 0  # bytes written since the beginning
        self._asked_at = 0  # position of the newest question
        self._on_their_way: deque[_Question] = deque()
        self._arrived = 0  # position of the newest question that was answered
        self._arrived_at = 0.0
        self._answers = 0
        self._questions = 0
        self._first_asked_at = float("inf")
        self._bytes_timed, self._seconds_timed = 0.0, 0.0
        self._round_trips: deque[float] = deque(maxlen=16)
        self._announced = 0
        self._bytes_per_cell = 12.0
        self._sent: deque[tuple[float, int]] = deque()
        self._frames: deque[tuple[float, object]] = deque()
        self._waiting: dict[object, float] = {}
        self._held_at = -float("inf")
        self._held_by = ""

    # --- What is sent and what comes back --------------------------------------------------------

    def wrote(self, count: int) -> None:
        """`count` bytes go to the terminal now."""
        with self._lock:
            now = self._fill()
            self._tokens -= count
            self._position += count
            self._sent.append((now, count))
            self._forget(now)
            if self._announced and count >= 256:
                measured = min(max(count / self._announced, 1.0), 60.0)
                self._bytes_per_cell += (measured - self._bytes_per_cell) / 2
                self._announced = 0

    def question_before(self, count: int) -> int | None:
        """The number of a question to ask before `count` bytes are written; None asks none.

        It measures the round trip, and when the bytes begin to arrive.
        """
        with self._lock:
            if count < _ASK_AFTER or self._in_flight():
                return None
            return self._ask()

    def question_after(self) -> int | None:
        """The number of a question to ask after what was written; None asks none."""
        with self._lock:
            if self._position - self._asked_at < _ASK_AFTER:
                return None
            return self._ask()

    def _ask(self) -> int | None:
        if self.silent:
            return None
        number = self._questions % _NUMBERS + 1
        self._questions += 1
        self._first_asked_at = min(self._first_asked_at, self._clock())
        self._asked_at = self._position
        alone = not self._on_their_way
        self._on_their_way.append(_Question(number, self._clock(), self._position, alone))
        return number

    def acknowledged(self, number: int) -> bool:
        """The terminal answered a question; False if none with this number is on its way.

        Answers come in the order of the questions, so those before it are answered or lost.
        """
        with self._lock:
            if all(question.number != number for question in self._on_their_way):
                return False
            now = self._clock()
            lost = -1
            while True:
                question = self._on_their_way.popleft()
                lost += 1
                if question.number == number:
                    break
            if question.alone:
                self._round_trips.append(now - question.sent_at)
            elif not lost and question.position - self._arrived >= _WORTH_MEASURING:
                self._bytes_timed *= _MEMORY
                self._seconds_timed *= _MEMORY
                self._bytes_timed += question.position - self._arrived
                self._seconds_timed += max(now - self._arrived_at, 1e-3)
            self._answers += 1
            self._arrived, self._arrived_at = question.position, now
            return True

    @property
    def answered(self) -> bool:
        """Whether the terminal has ever answered."""
        return self._answers > 0

    @property
    def silent(self) -> bool:
        """Whether the terminal seems to never answer; then only the budget counts."""
        return not self._answers and self._questions >= _UNANSWERED

    @property
    def in_flight(self) -> int:
        """Bytes before the newest question, of which no answer has told that they arrived."""
        with self._lock:
            return self._in_flight()

    def _in_flight(self) -> int:
        if self._on_their_way and self._clock() - self._on_their_way[0].sent_at > _LOST_AFTER:
            self._on_their_way.clear()
        if not self._on_their_way:
            return 0
        return self._on_their_way[-1].position - self._arrived

    @property
    def rate(self) -> float | None:
        """Bytes/s that arrive while the link is full; None until that was measured."""
        return self._bytes_timed / self._seconds_timed if self._seconds_timed else None

    @property
    def round_trip(self) -> float:
        """Seconds to the terminal and back with nothing in the way; 0 until it was measured."""
        return min(self._round_trips, default=0.0)

    # --- Pictures --------------------------------------------------------------------------------

    @property
    def portion(self) -> int:
        """Bytes that may go in one piece, so that a key pressed meanwhile is answered at once."""
        rate = self.rate
        if rate is None and self.silent:
            rate = self.budget
        most = self.budget * _PIECE
        return int(most if rate is None else min(rate * _PORTION, most))

    def cost(self, cells: int) -> int:
        """About how many bytes a picture of so many cells takes."""
        return round(cells * self._bytes_per_cell)

    def announce(self, cells: int) -> None:
        """The next writes bring so many cells of pictures: so is learned what a cell takes."""
        with self._lock:
            self._announced += cells

    def may_paint(self, cost: int, who: object = None) -> bool:
        """Whether a picture of about `cost` bytes may be sent now.

        Args:
            who: asks; of several, whoever was refused first is served first.
        """
        with self._lock:
            now = self._fill()
            waiting = {
                asker: asked
                for asker, asked in self._waiting.items()
                if asker is who or now - asked < _TURN
            }
            self._waiting = waiting
            limit = self._limit(min(cost, self.portion))
            if not limit and next(iter(waiting), who) is who:
                waiting.pop(who, None)
                return True
            waiting[who] = now  # which keeps the place in the row
            if limit:
                self._held_at, self._held_by = now, limit
            return False

    def painted(self, who: object = None) -> None:
        """A whole frame of a picture has been handed over."""
        with self._lock:
            now = self._clock()
            self._frames.append((now, who))
            self._forget(now)

    def _limit(self, cost: int) -> str:
        """What forbids to send `cost` bytes now; "" is nothing."""
        if self._tokens < min(cost, self._burst):
            return "budget"
        in_flight = self._in_flight()
        patient = self._answers or self._clock() - self._first_asked_at < _FIRST_ANSWER
        if not (in_flight and patient):
            return ""
        rate = self.rate
        full = rate is None or in_flight + cost > rate * (self.round_trip + LATENCY)
        return "link" if full else ""

    @property
    def _burst(self) -> float:
        return self.budget * _BURST

    def _fill(self) -> float:
        now = self._clock()
        self._tokens += (now - self._filled_at) * self.budget
        self._tokens = min(self._tokens, self._burst)
        self._filled_at = now
        return now

    # --- For people ------------------------------------------------------------------------------

    @property
    def bytes_per_second(self) -> float:
        """What was sent over the last seconds."""
        with self._lock:
            self._forget(self._clock())
            return sum(count for _, count in self._sent) / _SPAN

    @property
    def fps(self) -> float:
        """Whole frames per second over the last seconds, the mean of what is painted."""
        with self._lock:
            self._forget(self._clock())
            painters = {id(who) for _, who in self._frames}
            return len(self._frames) / max(len(painters), 1) / _SPAN

    @property
    def state(self) -> str:
        """Why pictures come slower than they are made, and how fast; "" while they do not."""
        with self._lock:
            if self._clock() - self._held_at > _SPAN:
                return ""
            fps = self.fps
            return f"{self._held_by} {self.bytes_per_second / 1000:.0f} kB/s · {fps:.2g} fps"

    def _forget(self, now: float) -> None:
        while self._sent and now - self._sent[0][0] > _SPAN:
            self._sent.popleft()
        while self._frames and now - self._frames[0][0] > _SPAN:
            self._frames.popleft()
