"""`ddpm-tui train` and `resume`: the loop, its progress and Ctrl+C."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless.progress import Progress, progress
from ddpm_tui.report import figure

if TYPE_CHECKING:
    from engine.events import Event
    from engine.runs.folder import Run


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
                events.close()
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
            facts = {"event": "preview", "step": event.step, "path": str(event.path)}
            facts["weights"] = event.weights
            line = ""
        case PreviewFrame():
            bar.update(event.step, f"painting a preview, t = {event.reverse.t}")
            return
        case _:
            return
    if as_json:
        print(json.dumps(facts), flush=True)
    elif line:
        print(line, file=sys.stderr, flush=True)
