"""An hour of training with the workbench open, while others attach and detach all the time.

    python -m scripts.measure_soak --minutes 60

Prints memory, open files and threads of the process that trains, every minute, and at the end how
they moved: the median of the last quarter against that of the second one. The first quarter is the
warm-up.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.runs.folder import Run
from tests.terminal.harness import ENTER, ESCAPE, Terminal, mishaps, workbench

_LOOK_EVERY = 5.0  # seconds
_TELL_EVERY = 60.0
_NAME = "soak"


@dataclass(frozen=True)
class Reading:
    """Of the process that trains: resident MB, open files, threads, and the step it is at."""

    memory: float
    files: int
    threads: int
    step: int


def read(process: psutil.Process, run: Run) -> Reading:
    with process.oneshot():
        memory = process.memory_info().rss / 1e6
        return Reading(memory, process.num_fds(), process.num_threads(), run.status().step)


def attach(here: Path, turn: int) -> None:
    """Another terminal looks at the run for a moment and goes, each time in another way."""
    arguments = ("watch", _NAME) if turn % 2 else ()
    with workbench(here, *arguments, size=(100, 30)) as other:
        other.wait_for(_NAME)
        if not arguments:
            other.press(ENTER)
        other.wait_for("by process")
        match turn % 3:
            case 0:
                other.press("q")
                other.process.wait(30)
            case 1:
                other.vanish()
                other.process.wait(30)
            case 2:
                other.process.kill()


def wander(terminal: Terminal, keys: random.Random) -> None:
    """In the workbench that trains: away from the run and back to it."""
    away = keys.choice(["1", "3", "4", "5", "?"])
    terminal.press(away)
    time.sleep(1.0)
    terminal.press(ESCAPE, "2", keys.choice(["v", "f", "y", "p", "+", "["]), ESCAPE)


def soak(minutes: float) -> list[Reading]:
    readings: list[Reading] = []
    keys = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        here = Path(folder)
        run = Run(here / "runs" / _NAME)
        train = ("train", "--tui", "--name", _NAME, "--steps", "10000000")
        small = ("--model", "dit", "--set", "model.patch_size=7", "--set", "model.hidden_size=32")
        often = ("--set", "training.checkpoint_every=200", "--set", "training.preview_every=50")
        with workbench(here, *train, *small, *often, size=(120, 40)) as terminal:
            terminal.wait_for("images/s", 120)
            process = psutil.Process(terminal.process.pid)
            end = time.monotonic() + 60 * minutes
            told = -_TELL_EVERY
            for turn in itertools.count():
                if (now := time.monotonic()) >= end:
                    break
                readings.append(read(process, run))
                if now - told >= _TELL_EVERY:
                    told = now
                    print(f"{(end - now) / 60:4.0f} min left  {readings[-1]}", flush=True)
                wander(terminal, keys)
                attach(here, turn)
                time.sleep(_LOOK_EVERY)
            print(f"attached and detached {turn} times; {mishaps(here) or 'no mishaps'}")
            terminal.press("q", "y")
            print(f"ended with {terminal.process.wait(60)}, {run.status()}")
    return readings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    readings = soak(parser.parse_args().minutes)
    quarter = len(readings) // 4
    for name in ("memory", "files", "threads"):
        values = [getattr(reading, name) for reading in readings]
        before = statistics.median(values[quarter : 2 * quarter])
        after = statistics.median(values[3 * quarter :])
        print(f"{name}: {before:.0f} -> {after:.0f}, most {max(values):.0f}")


if __name__ == "__main__":
    main()
