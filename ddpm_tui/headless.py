"""The verbs that run the engine without a screen: progress bars on a terminal, plain lines else.

What a script reads goes to stdout; progress goes to stderr.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.report import figure
from ddpm_tui.sanitize import clean

if TYPE_CHECKING:
    from engine.events import Event
    from engine.runs.folder import Run

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


class Interrupt:
    """Ctrl+C once asks the loop to stop at a good place; twice stops at once."""

    def __init__(self) -> None:
        self.requested = False

    def _handle(self, _signum: int, _frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> Interrupt:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)


def train(
    run: Run, *, device: str = "auto", data_dir: Path | None = None, as_json: bool = False
) -> bool:
    """Train a run to its end.

    Returns:
        Whether it finished; False when Ctrl+C stopped it, after saving a checkpoint.
    """
    started = time.monotonic()
    print(json.dumps({"event": "run", "name": run.name}) if as_json else run.name, flush=True)
    if not as_json:
        print("loading torch and the data", file=sys.stderr, flush=True)
    from engine.train import Trainer

    trainer = Trainer(run, device=device, data_dir=data_dir)
    total = trainer.config.training.steps
    with Interrupt() as interrupt, progress(run.name, total, quiet=as_json) as bar:
        events = iter(trainer)
        for event in events:
            _report(event, bar, as_json)
            if interrupt.requested:
                saved = trainer.checkpoint()
                _report(saved, bar, as_json)
                events.close()  # type: ignore[attr-defined]
                break
        else:
            if not as_json:
                status = run.status()
                print(
                    f"finished: {status.step:,} steps in {(time.monotonic() - started) / 60:.1f} "
                    f"minutes, loss {figure(status.loss)}, "
                    f"held-out loss {figure(status.eval_loss)}\n"
                    f"next: ddpm-tui sample {run.name}"
                )
            return True
    print(f"stopped; go on with: ddpm-tui resume {run.name}", file=sys.stderr)
    return False


def _report(event: Event, bar: Progress, as_json: bool) -> None:
    from engine.events import CheckpointSaved, Logged, Notice, PreviewFrame, PreviewSaved, Started

    match event:
        case Started():
            facts: dict[str, Any] = {
                "event": "started",
                "step": event.step,
                "total_steps": event.total_steps,
                "device": event.device,
                "data": event.dataset,
                "parameters": event.parameters,
            }
            line = (
                f"{event.parameters:,} parameters on {event.device}, data: {event.dataset}, "
                f"from step {event.step:,} to {event.total_steps:,}"
            )
        case Logged():
            note = f"loss {figure(event.loss)}  {event.images_per_second:,.0f} images/s"
            bar.update(event.step, note)
            facts = {"event": "log", **vars(event)}
            line = ""
        case Notice():
            facts = {"event": "notice", "step": event.step, "message": event.message}
            line = f"step {event.step:,}: {event.message}"
        case CheckpointSaved():
            facts = {"event": "checkpoint", "step": event.step, "path": str(event.path)}
            facts["eval_loss"] = event.eval_loss
            line = f"checkpoint at step {event.step:,}, held-out loss {event.eval_loss:.4f}"
        case PreviewSaved():
            facts, line = {"event": "preview", "step": event.step, "path": str(event.path)}, ""
        case PreviewFrame():
            bar.update(event.step, f"painting a preview, t = {event.reverse.t}")
            return
        case _:
            return
    if as_json:
        print(json.dumps(facts), flush=True)
    elif line:
        print(line, file=sys.stderr, flush=True)


def sample(
    run: Run,
    overrides: dict[str, Any],
    *,
    seed: int = 0,
    which: str = "best",
    stretched: bool = False,
    out: Path | None = None,
    device: str = "auto",
    as_json: bool = False,
    quiet: bool = False,
) -> None:
    """Draw pictures from a run, and say where they are.

    Args:
        overrides: fields of the run's `[sampling]` table.
        quiet: print no result; a progress bar is shown all the same.
    """
    from engine.config import override_sampling
    from engine.sample_files import MAX_SHOWN, write_samples
    from engine.sampling import load_trained

    trained = load_trained(run, which=which, device=device)
    sampling = override_sampling(trained.config, overrides)
    with progress(f"sampling {run.name}", sampling.num_inference_steps, quiet=as_json) as bar:
        files = write_samples(
            trained,
            sampling,
            seed,
            out=out,
            stretched=stretched,
            on_step=lambda done, total: bar.update(done, "timesteps", total),
        )
    if quiet:
        return
    if as_json:
        facts = {"run": run.name, "step": trained.step, "seed": seed, **sampling.model_dump()}
        facts |= {"png": str(files.png), "gif": str(files.gif)}
        print(json.dumps({**facts, "npy": str(files.npy)} if files.npy else facts))
        return
    what = "1 picture" if sampling.num == 1 else f"{sampling.num:,} pictures"
    if sampling.prompt:
        what += f" of {clean(sampling.prompt)}"
    if sampling.guidance_scale != 1:
        what += f", guidance {sampling.guidance_scale:g},"
    print(f"{what} from {run.name} at step {trained.step:,}, seed {seed}")
    print(f"picture  {files.png}\ngif      {files.gif}")
    if files.npy:
        print(f"all      {files.npy}  (the others show the first {MAX_SHOWN})")


def download(name: str) -> None:
    """Download a data set into the user's cache, with a bar for each file."""
    from engine.data import download as downloading

    with progress(f"downloading {name}", 0) as bar:
        located = downloading.download(
            name, progress=lambda done, total, file: bar.update(done, file, total)
        )
    print(f"{name} is in {located.origin}")
