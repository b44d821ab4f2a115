"""Progress bars on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Without a terminal: a line of progress so often, in seconds.
_PLAIN_INTERVAL = 10.0


class Progress:
    """A bar on a terminal; else a line now and then, so that a log file stays readable."""

    def __init__(self, title: str, total: int, *, quiet: bool = False) -> None:
        self._title, self._total, self._quiet = title, total, quiet
        self._reported = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty() and not quiet:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}  {task.fields[note]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(title, total=total or None, note="")

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._total = total or self._total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note, total=self._total or None)
        elif not self._quiet and time.monotonic() - self._reported >= _PLAIN_INTERVAL:
            self._reported = time.monotonic()
            of_total = f" of {self._total:,}" if self._total else ""
            print(f"{self._title}: {done:,}{of_total}  {note}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Progress]:
    shown = Progress(title, total, quiet=quiet)
    try:
        yield shown
    finally:
        shown.close()
