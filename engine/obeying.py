"""A training that does what it is asked between two steps."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from engine.errors import EngineError
from engine.events import Event, Finished, Started
from engine.runs.devices import devices_told
from engine.runs.requests import Requests
from engine.train import Trainer


def obeying(trainer: Trainer, requests: Requests) -> Generator[Event, None, None]:
    """Train to the end, or until somebody asks to stop; every request is obeyed between two steps.

    A full disk keeps nobody from stopping: then it ends at the last checkpoint there is.

    Yields:
        The events of the trainer, and those of what was asked.

    Raises:
        RunError, DeviceError: see `Trainer`.
    """
    events = iter(trainer)
    try:
        with devices_told(trainer.run):
            yield from _obeyed(trainer, events, requests)
    except EngineError as error:
        events.throw(error)  # what was asked went wrong: the trainer leaves word of it, and raises
    finally:
        events.close()


def _obeyed(
    trainer: Trainer, events: Iterator[Event], requests: Requests
) -> Generator[Event, None, None]:
    for event in events:
        if isinstance(event, Started):
            requests.forget()
        yield event
        if isinstance(event, Finished):
            continue  # who asks now comes too late: a stop would take back that it is finished
        paused = False
        while (what := requests.next(wait=paused)) is not None:
            match what:
                case "pause":
                    paused = True
                    trainer.pause()
                case "go on":
                    paused = False
                    trainer.unpause()
                case "checkpoint":
                    yield from trainer.try_checkpoint()
                case "preview":
                    yield from trainer.preview()
                case "stop":
                    trainer.stopped_by = requests.stopped_by
                    yield from trainer.try_checkpoint()
                    return
