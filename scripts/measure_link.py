"""What the workbench sends over a link, on real pseudo-terminals. Run it on a quiet machine.

    python scripts/measure_link.py runs --seconds 30

Prints, as Markdown: bytes and milliseconds of a 64 × 64 preview frame in truecolor and in 256
colours; bytes of a frame that did not change; what each view sends when it is opened and per second
when nothing happens; and, with a training going on, what is sent over a link of 100 kB/s, how soon
keys are answered, and images/s of the training against those over a link without limit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ddpm_tui.views.train.curves import SHOWN  # noqa: E402
from tests.terminal.throttle import Link, Wire, wired  # noqa: E402

# An SSH server takes up to 2 MB at once, whatever the network does.
SLOW = Link(rate=100_000, buffer=2_000_000, delay=0.03)
FAST = Link()
SIZE = (120, 40)
VIEWS = {"Runs": "1", "Train": "2", "Sample": "3", "Forward": "4", "Inspect": "5"}
# Keys, and what they bring to the screen that nothing else does: the titles of the chart.
TITLES = {1: b"gradient norm", 2: b"learning rate", 4: b"skipped steps"}

_BATCH = 64


def frames(count: int) -> None:
    print("| 64 × 64 frame of noise | bytes | ms from the key to the last byte | unchanged |")
    print("|---|---|---|---|")
    app = ROOT / "tests/terminal/streaming_app.py"
    for mode in ("truecolor", "256"):
        with tempfile.TemporaryDirectory() as folder:
            # Without a limit that would hold a frame back.
            program = [app, "100000", Path(folder) / "report.json", mode]
            with wired(program, FAST, size=(64, 34)) as wire:
                wire.arrival(b"frame 5")
                wire.press("\x1b[18~")  # F7
                wire.settle()
                answers = [wire.answer("\x1b[20~") for _ in range(count)]  # F9
                wire.press("\x1b[17~")  # F6
                same = wire.sent(1)
        size = statistics.median(count for count, _ in answers)
        took = 1000 * statistics.median(seconds for _, seconds in answers)
        print(f"| {mode} | {size:,.0f} | {took:.1f} | {same} |", flush=True)


@contextmanager
def workbench(runs: Path, link: Link, *arguments: str) -> Iterator[Wire]:
    program = ["-m", "ddpm_tui", "--runs-dir", str(runs), "--color", "truecolor", *arguments]
    with wired(program, link, size=SIZE, PYTHONPATH=str(ROOT)) as wire:
        yield wire


def views(runs: Path, seconds: float) -> None:
    print(f"\n| view, {SIZE[0]} × {SIZE[1]}, truecolor | bytes to open it | idle bytes/s |")
    print("|---|---|---|")
    with workbench(runs, FAST) as wire:
        wire.settle(3, 120)
        wire.press("\r")  # the first run becomes the current one
        wire.settle(2)
        for name, key in VIEWS.items():
            wire.press("1" if key != "1" else "2")
            wire.settle(2)
            before = wire.count()
            wire.press(key)
            wire.settle(4)  # Inspect measures the network first
            opened = wire.count() - before
            print(f"| {name} | {opened:,} | {wire.sent(seconds) / seconds:.0f} |", flush=True)
        for name, key in {"Help": "?", "Help closed": "\x1b"}.items():
            before = wire.count()
            wire.press(key)
            wire.settle(2)
            opened = wire.count() - before
            print(f"| {name} | {opened:,} | {wire.sent(seconds) / seconds:.0f} |", flush=True)


def training(link: Link, model: str, seconds: float) -> tuple[float, float, list[float]]:
    """Train with the workbench open, with samples painted all the time.

    Returns:
        images/s, bytes/s and seconds until keys were answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        new = (
            "train",
            "--tui",
            "--name",
            "run",
            "--dataset",
            "fashion-mnist-10k",
            "--model",
            model,
        )
        steps = ("--steps", "1000000", "--batch-size", str(_BATCH))
        often = ("--set", "training.preview_every=20")
        with workbench(runs, link, *new, *steps, *often) as wire:
            wire.arrival(b"images/s", seconds=300)
            time.sleep(5)
            status = runs / "run/status.json"
            step, start = json.loads(status.read_text())["step"], time.monotonic()
            before = wire.count()
            echoes, presses = [], 0
            while time.monotonic() < start + seconds:
                presses = presses % len(SHOWN) + 1
                if presses in TITLES:
                    echoes.append(wire.echo("v", TITLES[presses]))
                else:
                    wire.press("v")
                time.sleep(0.5)
            took = time.monotonic() - start
            sent = wire.count() - before
            steps_done = json.loads(status.read_text())["step"] - step
    return steps_done * _BATCH / took, sent / took, echoes


def trainings(model: str, seconds: float, rounds: int) -> None:
    print("\n| link | images/s | sent kB/s | key echo p50, ms | p95, ms |")
    print("|---|---|---|---|---|")
    links = {"without limit": FAST, "100 kB/s, 60 ms round trip": SLOW}
    measured: dict[str, list[tuple[float, float, list[float]]]] = {name: [] for name in links}
    for _ in range(rounds):
        for name, link in links.items():
            measured[name].append(training(link, model, seconds))
    for name, results in measured.items():
        images = statistics.median(result[0] for result in results)
        sent = statistics.median(result[1] for result in results) / 1000
        echoes = sorted(1000 * echo for result in results for echo in result[2])
        p95 = echoes[min(int(0.95 * len(echoes)), len(echoes) - 1)]
        figures = f"{images:.1f} | {sent:.0f} | {statistics.median(echoes):.0f} | {p95:.0f}"
        print(f"| {name} | {figures} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", type=Path, help="folder with a trained run; a copy is opened")
    parser.add_argument("--frames", type=int, default=20, help="frames of each kind")
    parser.add_argument("--seconds", type=float, default=20, help="of each training")
    parser.add_argument("--idle", type=float, default=10, help="seconds of silence per view")
    parser.add_argument("--model", default="unet", help="what is trained: unet, dit or article")
    parser.add_argument("--rounds", type=int, default=3, help="trainings over each link")
    given = parser.parse_args()
    frames(given.frames)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(shutil.copytree(given.runs, Path(folder) / "runs"))
        views(runs, given.idle)
    trainings(given.model, given.seconds, given.rounds)


if __name__ == "__main__":
    main()
