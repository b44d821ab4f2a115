"""The only bridge between engine threads and the app.

A thread pulls the engine's generator and posts messages; the app answers through requests. Pictures
go through a mailbox in which the newest wins, so a slow terminal never slows the training.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from textual.message import Message

from engine.allocator import give_memory_back
from engine.errors import EngineError
from engine.runs.folder import Run
from engine.runs.requests import Request, Requests

if TYPE_CHECKING:
    from torch import Tensor

    from engine.events import Event
    from engine.images import Pixels

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds one thing; a newer one replaces it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None

    def put(self, value: T) -> bool:
        """Leave a value.

        Returns:
            Whether the box was empty, so that somebody should be told.
        """
        with self._lock:
            was_empty = self._value is None
            self._value = value
            return was_empty

    def take(self) -> T | None:
        with self._lock:
            value, self._value = self._value, None
            return value


@contextmanager
def sparing_the_training(training: TrainingThread | None) -> Iterator[None]:
    """Inside, torch uses one core in this thread while a run is trained here, else all of them.

    Two threads that each keep all cores busy take turns at waiting for each other, and both are
    slower than with fewer. And a thread that has used several once keeps them: from then on OpenMP
    counts more threads than cores, and lets all of them sleep at once where they used to spin for
    a moment, which costs a training a quarter of its speed. Of torch's CPU threads each Python
    thread has its own number; the training's stays as it is.
    """
    import torch

    before = torch.get_num_threads()
    if training is None or not training.alive or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class PreviewPicture:
    """A frame of the grid that is being painted; the training only lays it down.

    Attributes:
        x: float32 (N, C, H, W) in [−1, 1], on the device.
    """

    step: int
    t: int
    index: int
    num_steps: int
    x: Tensor

    def pixels(self) -> Pixels:
        """uint8 (N, C, H, W); waits for the device, so not for the UI thread."""
        from engine.data.range import to_uint8

        return to_uint8(self.x).cpu().numpy()


class TrainingNews(Message):
    """Something happened in the training of this process; the run folder has the details."""

    def __init__(self, run: Run, event: Event) -> None:
        super().__init__()
        self.run = run
        self.event = event


class TrainingFrame(Message):
    """A picture waits in the mailbox of the training."""


class TrainingEnded(Message):
    """The thread is done.

    Attributes:
        error: why it ended early, for a person; empty when it finished or was asked to stop.
    """

    def __init__(self, run: Run, error: str) -> None:
        super().__init__()
        self.run = run
        self.error = error


class TrainingThread:
    """Trains one run in a thread of this process.

    Args:
        post: posts a message to the app; called from the thread.

    Attributes:
        requests: what it is asked; obeyed between two steps.
        waits: for room on a full disk.
    """

    def __init__(
        self,
        run: Run,
        post: Callable[[Message], object],
        *,
        device: str = "auto",
        data_dir: Path | None = None,
    ) -> None:
        self.run = run
        self.frames: Mailbox[PreviewPicture] = Mailbox()
        self._post = post
        self._device = device
        self._data_dir = data_dir
        self.requests = Requests(run)
        self.waits = False
        self._thread = threading.Thread(target=self._main, name=f"train {run.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def request(self, what: Request) -> None:
        """Ask for something; obeyed between two steps, as what others ask through the folder."""
        self.requests.put(what)

    @property
    def paused(self) -> bool:
        return self.requests.paused

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _main(self) -> None:
        error = ""
        try:
            self._train()
        except EngineError as expected:
            error = str(expected)
            self._leave_word(error)
        except Exception as unexpected:
            # A bug, not a mistake of the user: the log keeps the traceback, the screen a sentence.
            self._log_traceback()
            error = f"{type(unexpected).__name__}: {unexpected}. See {self.run.log_path}"
        give_memory_back()
        self._post(TrainingEnded(self.run, error))

    def _leave_word(self, error: str) -> None:
        """A run that could not even start says so in its folder; a trainer says it itself."""
        try:
            status = self.run.status()
            if status.state == "created":
                self.run.write_status(replace(status, state="failed", reason=error))
        except EngineError:
            # The folder cannot be written, and that is what the error on the screen says.
            return

    def _log_traceback(self) -> None:
        try:
            self.run.log(traceback.format_exc())
        except EngineError:
            traceback.print_exc()

    def _train(self) -> None:
        from engine.obeying import obeying
        from engine.train import Trainer

        trainer = Trainer(self.run, device=self._device, data_dir=self._data_dir)
        for event in obeying(trainer, self.requests):
            self._publish(event)

    def _publish(self, event: Event) -> None:
        from engine.events import PreviewFrame, Stepped, Waiting

        before, self.waits = self.waits, isinstance(event, Waiting)
        if isinstance(event, Stepped) or (self.waits and before):
            return
        if isinstance(event, PreviewFrame):
            # Painted with the raw weights it comes from the folder, when it is finished.
            if event.weights == "ema":
                reverse = event.reverse
                picture = PreviewPicture(
                    event.step, reverse.t, reverse.index, reverse.num_steps, reverse.prev_sample
                )
                if self.frames.put(picture):
                    self._post(TrainingFrame())
            return
        self._post(TrainingNews(self.run, event))
