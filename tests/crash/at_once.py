"""Work that many processes begin in the same instant."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, cast

_SECONDS = 60
# What a process of the tests would spend its first seconds on; with nothing of this project.
_LOADED = ["torch", "torch._dynamo", "torchvision", "numpy", "pydantic", "typer"]


@dataclass(frozen=True)
class Outcome:
    """What came of one process: what its work returned, or its error as type and text."""

    value: Any = None
    error: str = ""
    text: str = ""


def at_once(
    works: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], *, seconds: float = _SECONDS
) -> list[Outcome]:
    """Each work, a function and its arguments, in a process of its own; all begin together, and
    what is not done after so many seconds is a `TimeoutError`.

    They are forks of one process that has loaded what they need, and not of this one, which has
    threads.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    here, there = context.Pipe(duplex=False)
    conductor = context.Process(target=_conduct, args=(works, seconds, there))
    conductor.start()
    there.close()
    try:
        return cast("list[Outcome]", here.recv())
    finally:
        conductor.join()


def _conduct(
    works: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], seconds: float, out: Connection
) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(works))
    started = []
    for function, arguments in works:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(barrier, there, function, arguments))
        process.start()
        there.close()
        started.append((process, here))
    end = time.monotonic() + seconds
    out.send([_outcome(process.pid, here, end) for process, here in started])
    for process, _ in started:
        process.kill()
        process.join()


def _outcome(pid: int | None, here: Connection, end: float) -> Outcome:
    if not here.poll(max(end - time.monotonic(), 0)):
        return Outcome(error="TimeoutError", text=f"process {pid} was not done in time")
    try:
        return cast("Outcome", here.recv())
    except EOFError:
        return Outcome(error="EOFError", text=f"process {pid} has died")


def _work(
    barrier: Barrier, out: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    barrier.wait(_SECONDS)
    try:
        out.send(Outcome(function(*arguments)))
    except Exception as error:
        out.send(Outcome(error=type(error).__name__, text=str(error)))
