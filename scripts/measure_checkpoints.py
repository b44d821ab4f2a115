"""What checkpoints cost a training with the default preset, and how long a pause is, as Markdown.

    python scripts/measure_checkpoints.py
    python scripts/measure_checkpoints.py --folder /mnt/scratch --repeats 10 --steps 20

Some steps and a checkpoint take turns, so that whatever else the machine does slows both alike; the
share follows from their medians and the preset's `training.checkpoint_every`. Previews are no part
of it. Nothing is trained while a checkpoint is made: its time is the pause.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.config import make_config
from engine.events import Stepped
from engine.runs import checkpoint, io
from engine.runs.disk import Disk
from engine.runs.folder import create_run
from engine.train import Trainer

PARTS = ("evaluate", "serialise", "write", "fsync", "other calls", "prune", "hash and the rest")


class Stopwatch:
    """Seconds by part since `take`. What is measured inside of another part is not part of it."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()
        self._inside = 0.0

    def take(self) -> Counter[str]:
        taken, self._seconds = self._seconds, Counter()
        return taken

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        before, self._inside, started = self._inside, 0.0, time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self._seconds[part] += took - self._inside
            self._inside = before + took

    def watch(self, holder: Any, name: str, part: str) -> None:
        """Measure every call of a function from now on."""
        function: Callable[..., Any] = getattr(holder, name)

        def watched(*args: Any, **options: Any) -> Any:
            with self(part):
                return function(*args, **options)

        setattr(holder, name, watched)


def watch_everything(stopwatch: Stopwatch, trainer: Trainer) -> None:
    stopwatch.watch(trainer, "evaluate", "evaluate")
    stopwatch.watch(checkpoint, "_serialised", "serialise")
    stopwatch.watch(checkpoint, "prune_checkpoints", "prune")
    disk = io.disk = Disk()
    for name in ("open", "close", "make_folder", "rename", "remove_file", "remove_folder"):
        stopwatch.watch(disk, name, "other calls")
    stopwatch.watch(disk, "write", "write")
    stopwatch.watch(disk, "sync", "fsync")


def measure(folder: Path, steps: int, repeats: int, device: str) -> None:
    config = make_config(dataset_size=10_000, training={"preview_every": 0, "steps": 10**6})
    every = config.training.checkpoint_every
    trainer = Trainer(create_run(folder / "runs", config), device=device)
    stopwatch, parts, pauses, paces = Stopwatch(), [], [], []
    watch_everything(stopwatch, trainer)
    events = iter(trainer)

    def train(count: int) -> float:
        """Seconds a step."""
        started, taken = time.perf_counter(), 0
        for event in events:
            taken += isinstance(event, Stepped)
            if taken == count:
                break
        return (time.perf_counter() - started) / count

    train(2)
    for _ in range(repeats):
        paces.append(train(steps))
        stopwatch.take()
        with stopwatch("hash and the rest"):
            saved = trainer.checkpoint()
        parts.append(stopwatch.take())
        pauses.append(sum(parts[-1].values()))
    events.close()
    size = sum(file.stat().st_size for file in saved.path.iterdir())
    pace, pause = statistics.median(paces), statistics.median(pauses)

    print(f"default preset on {trainer.run.status().device}: {pace:.3f} s a step (median of")
    print(
        f"{repeats} × {steps} steps), {size / 1e6:.1f} MB a checkpoint, one every {every} steps\n"
    )
    print("| part of a checkpoint | median, s | longest, s |")
    print("| --- | ---: | ---: |")
    for part in PARTS:
        values = [each[part] for each in parts]
        print(f"| {part} | {statistics.median(values):.3f} | {max(values):.3f} |")
    print(f"| all: the pause | {pause:.3f} | {max(pauses):.3f} |\n")
    print(f"share of the training time: {pause / (pause + every * pace):.2%}")
    print(f"a pause is as long as {pause / pace:.1f} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write [default: a temporary one]")
    parser.add_argument("--steps", type=int, default=10, help="between two checkpoints")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="ddpm-tui-checkpoints-", dir=options.folder) as folder:
        measure(Path(folder), options.steps, options.repeats, options.device)


if __name__ == "__main__":
    main()
