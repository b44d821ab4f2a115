"""What the workbench costs and how soon it answers, on a pseudo-terminal, as a Markdown table.

    python -m scripts.measure_workbench                       # everything; about an hour
    python -m scripts.measure_workbench paint echo            # some of it
    python -m scripts.measure_workbench memory --minutes 30 --rows 1000000

Run it from the root of the repository on a machine that does nothing else. Every figure is printed
as soon as it is measured; what it means stands at its function.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.terminal.harness import BACKSPACE, ENTER, ESCAPE, Terminal, workbench

SIZE = (120, 40)
_CORES = str(os.cpu_count() or 1)
_SETTLE = 10.0  # seconds until what the start took is over


def say(what: str, value: str) -> None:
    print(f"| {what} | {value} |", flush=True)


def spread(seconds: Sequence[float]) -> str:
    """p50, p95, p99 and the largest, in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    parts = [
        f"p{percent} {ordered[min(percent * len(ordered) // 100, last)] * 1000:.0f}"
        for percent in (50, 95, 99)
    ]
    return f"{', '.join(parts)}, max {ordered[last] * 1000:.0f} ms (n = {len(ordered)})"


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="measure-") as path:
        yield Path(path)


# --- First paint -------------------------------------------------------------------------------


def paint(options: argparse.Namespace) -> None:
    """From the start of the process to the byte that completes the first screen."""
    times = []
    with folder() as here:
        for _ in range(options.repeats):
            began = time.perf_counter()
            with workbench(here, size=SIZE) as terminal:
                times.append(
                    terminal.wait_until(lambda screen: "Help" in screen, "a screen") - began
                )
    say("first paint", f"median {statistics.median(times) * 1000:.0f} ms (n = {len(times)})")


# --- Key echo and the event loop ---------------------------------------------------------------


def echo(options: argparse.Namespace) -> None:
    """From a key to the byte that paints its effect, while the default preset trains on all cores.

    A letter into the search of the help, and the key that changes the chart.
    """
    training = ("train", "--tui", "--steps", "1000000", "--name", "echo")
    with (
        folder() as here,
        workbench(here, *training, size=SIZE, OMP_NUM_THREADS=_CORES) as terminal,
    ):
        terminal.wait_for("images/s", 300)
        time.sleep(_SETTLE)
        say("key echo while training, chart key", spread(chart_echo(terminal, options.presses)))
        terminal.press("?")
        terminal.wait_for("type to search")
        say("key echo while training, typing", spread(typing_echo(terminal, options.presses)))


def chart_echo(terminal: Terminal, presses: int) -> list[float]:
    def title(screen: str) -> str:
        return next((row[:30] for row in screen.splitlines() if row.startswith("─")), "")

    times = []
    for _ in range(presses):
        before = title(terminal.text())
        times.append(terminal.echo("v", lambda screen, before=before: title(screen) != before))
        rest()
    return times


def typing_echo(terminal: Terminal, presses: int) -> list[float]:
    def is_typed(screen: str) -> bool:
        return re.search(r"│ z +│", screen) is not None

    times = []
    for press in range(presses):
        typed = press % 2 == 0
        key = "z" if typed else BACKSPACE
        times.append(terminal.echo(key, lambda screen, typed=typed: is_typed(screen) == typed))
        rest()
    return times


def rest() -> None:
    """People do not press in step with anything that the program does."""
    time.sleep(random.uniform(0.05, 0.2))


def lag(options: argparse.Namespace) -> None:
    """How late the event loop of the App comes to what is due, while the default preset trains."""
    from ddpm_tui.app import Workbench
    from engine.config import make_config
    from engine.runs.folder import create_run

    async def measure(runs: Path) -> list[float]:
        config = make_config(
            dataset_size=10_000,
            data={"dataset": "fashion-mnist-10k"},
            training={"steps": 1_000_000},
        )
        create_run(runs, config, name="lag", command=["ddpm-tui", "train"])
        app, late = Workbench(runs, train="lag"), []
        async with app.run_test(size=SIZE):
            await asyncio.sleep(_SETTLE)
            end = time.perf_counter() + options.seconds
            while time.perf_counter() < end:
                due = time.perf_counter() + 0.01
                await asyncio.sleep(0.01)
                late.append(time.perf_counter() - due)
        app.save_training()
        return late

    with folder() as here:
        say("event-loop lag while training", spread(asyncio.run(measure(here / "runs"))))


# --- Memory ------------------------------------------------------------------------------------


def memory(options: argparse.Namespace) -> None:
    """Resident memory with a run in the Train view whose metrics have so many rows and grow."""
    from engine.config import make_config
    from engine.runs.folder import Status, create_run

    with folder() as here:
        steps = options.rows * 10 + 1_000_000
        config = make_config(
            dataset_size=10_000, data={"dataset": "fashion-mnist-10k"}, training={"steps": steps}
        )
        run = create_run(here / "runs", config, name="long", command=["ddpm-tui", "train"])
        with run.lock(), run.metrics_path.open("w") as metrics:
            metrics.writelines(metrics_row(row) for row in range(options.rows))
            metrics.flush()
            run.write_status(Status("running", step=options.rows * 10, total_steps=steps))
            with workbench(here, size=SIZE) as terminal:
                terminal.wait_for("long")
                terminal.press(ENTER)
                read = terminal.wait_until(lambda screen: "smoothed" in screen, "the chart", 600)
                sizes, row = [], options.rows
                end = read + options.minutes * 60
                while time.perf_counter() < end:
                    for _ in range(10):
                        metrics.write(metrics_row(row))
                        row += 1
                    metrics.flush()
                    run.write_status(Status("running", step=row * 10, total_steps=steps))
                    sizes.append(terminal.load().memory / 1e6)
                    time.sleep(1.0)
        settled = sizes[min(60, len(sizes) // 3) :]
        say(
            f"memory with {options.rows:,} rows, over {options.minutes:g} minutes",
            f"{settled[0]:.0f} MB after the start, {settled[-1]:.0f} MB at the end, "
            f"at most {max(sizes):.0f} MB",
        )


def metrics_row(row: int) -> str:
    loss = 0.03 + 1 / (1 + row / 100) + 0.01 * (row % 7)
    by_t = ",".join(f"{loss * (1.5 - bucket / 16):.4g}" for bucket in range(16))
    return (
        f'{{"step":{(row + 1) * 10},"loss":{loss:.6f},"lr":0.0003,"grad_norm":0.4,'
        f'"images_per_second":{200 + row % 9},"elapsed":{row},"skipped":0,"loss_by_t":[{by_t}]}}\n'
    )


# --- What the open workbench costs the training ------------------------------------------------


def slowdown(options: argparse.Namespace) -> None:
    """Images a second with the workbench open against headless, by turns."""
    rates: dict[str, list[float]] = {"headless": [], "workbench": []}
    with folder() as here:
        for turn in range(options.rounds):
            for kind, measured in rates.items():
                measured.append(train_once(here, kind, f"{kind}{turn}", options.steps))
    medians = {kind: statistics.median(measured) for kind, measured in rates.items()}
    for kind, measured in rates.items():
        every = ", ".join(f"{rate:.1f}" for rate in measured)
        say(f"images/s, {kind}", f"median {medians[kind]:.1f} ({every})")
    say("workbench / headless", f"{medians['workbench'] / medians['headless']:.3f}")


def train_once(here: Path, kind: str, name: str, steps: int) -> float:
    """Median images a second of the rows after the first third."""
    training = ("train", "--steps", str(steps), "--name", name, "--dataset", "fashion-mnist-10k")
    if kind == "headless":
        subprocess.run(
            [sys.executable, "-m", "ddpm_tui", *training], cwd=here, check=True,
            capture_output=True, env={**os.environ, "OMP_NUM_THREADS": _CORES},
        )  # fmt: skip
    else:
        with workbench(here, *training, "--tui", size=SIZE, OMP_NUM_THREADS=_CORES) as terminal:
            # The emulator is asked rarely: what it takes of the cores would count as ours.
            status = here / "runs" / name / "status.json"
            while not (status.is_file() and '"finished"' in status.read_text()):
                time.sleep(2)
            terminal.press("q")
            terminal.process.wait(60)
    lines = (here / "runs" / name / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["images_per_second"] for line in lines]
    return statistics.median(rates[len(rates) // 3 :])


# --- Many runs ---------------------------------------------------------------------------------


def runs(options: argparse.Namespace) -> None:
    """The list of so many runs: until it is there, one page on, a filter that leaves one.

    The first start has to read every folder, the others have the index that it leaves.
    """
    with folder() as here:
        make_many(here / "runs", options.runs)
        with listed(here, options.runs, "the first start"):
            time.sleep(_SETTLE / 2)  # the index is written after the list is shown
        for _ in range(options.repeats - 1):
            with listed(here, options.runs, "with its index"):
                pass
        with listed(here, options.runs, "with its index") as terminal:
            time.sleep(_SETTLE / 2)
            terminal.press("\x1b[6~")  # to the end of the first page
            time.sleep(_SETTLE / 2)
            pages = []
            for _ in range(min(20, max(options.runs // 60, 1))):
                before = names(terminal.text())
                pages.append(
                    terminal.echo("\x1b[6~", lambda screen, before=before: names(screen) != before)
                )
                rest()
            say(f"{options.runs:,} runs, a page down", spread(pages))
            try:
                terminal.echo("/", lambda screen: "ilter" in screen, 5)
                wanted = f"many{options.runs // 2:05}"
                terminal.write(wanted[:-1].encode())
                last = terminal.echo(wanted[-1], lambda screen: names(screen) == {wanted}, 20)
                say(f"{options.runs:,} runs, filtered to one", f"{last * 1000:.0f} ms")
            except AssertionError as error:
                say(f"{options.runs:,} runs, filtered to one", "no filter came")
                print(error, file=sys.stderr)
            terminal.press(ESCAPE)


@contextmanager
def listed(here: Path, count: int, start: str) -> Iterator[Terminal]:
    """A workbench that has listed its runs; says when, from the start of the process."""
    began = time.perf_counter()
    with workbench(here, size=SIZE) as terminal:
        newest, all_of_them = f"many{count - 1:05}", f"{count:,} runs"
        first = terminal.wait_until(lambda screen: newest in screen, "the list", 120) - began
        every = terminal.wait_until(lambda screen: all_of_them in screen, "all", 300) - began
        say(f"{count:,} runs, {start}", f"the newest {first:.2f} s, all {every:.2f} s")
        yield terminal


def names(screen: str) -> set[str]:
    """The runs of a list; what was typed stands beside a ▊ or after a slash."""
    return set(re.findall(r"^ ?[^\w/▊]*(many\d{5})\b", screen, re.MULTILINE))


def make_many(runs_dir: Path, count: int) -> None:
    from engine.config import make_config, to_toml
    from engine.runs.folder import SCHEMA_VERSION, Status

    config = to_toml(make_config(dataset_size=10_000, data={"dataset": "fashion-mnist-10k"}))
    now = time.time()
    for number in range(count):
        path, then = runs_dir / f"many{number:05}", now - (count - number) * 60
        path.mkdir(parents=True)
        status = Status("finished", step=500, total_steps=500, loss=0.03, updated=then)
        (path / "config.toml").write_text(config)
        (path / "status.json").write_text(json.dumps(asdict(status)))
        (path / "metrics.jsonl").write_text("".join(metrics_row(row) for row in range(50)))
        described = {"schema_version": SCHEMA_VERSION, "name": path.name, "created": then,
                     "tags": [], "parent": None}  # fmt: skip
        (path / "run.json").write_text(json.dumps(described))
        os.utime(path / "run.json", (then, then))


MEASURES: dict[str, Callable[[argparse.Namespace], None]] = {
    "paint": paint,
    "echo": echo,
    "lag": lag,
    "runs": runs,
    "slowdown": slowdown,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=[[], *MEASURES], help="default: everything")
    parser.add_argument("--repeats", type=int, default=5, help="paint: starts")
    parser.add_argument("--presses", type=int, default=200, help="echo: presses of each kind")
    parser.add_argument("--seconds", type=float, default=60.0, help="lag: for how long")
    parser.add_argument("--runs", type=int, default=10_000, help="runs: how many")
    parser.add_argument("--rounds", type=int, default=3, help="slowdown: turns of either")
    parser.add_argument("--steps", type=int, default=300, help="slowdown: training steps")
    parser.add_argument("--minutes", type=float, default=30.0, help="memory: for how long")
    parser.add_argument("--rows", type=int, default=1_000_000, help="memory: rows to begin with")
    options = parser.parse_args()
    print("| what | measured |\n| --- | --- |")
    for what in options.what or MEASURES:
        MEASURES[what](options)


if __name__ == "__main__":
    main()
