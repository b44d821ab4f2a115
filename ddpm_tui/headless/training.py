"""`ddpm-tui train` and `resume`: the loop and its progress."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless.progress import Progress, progress
from ddpm_tui.headless.signals import Signals
from ddpm_tui.report import figure
from ddpm_tui.sanitize import clean
from ddpm_tui.streams import failure
from engine.errors import EngineError
from engine.runs.requests import Requests

if TYPE_CHECKING:
    from engine.events import Event
    from engine.runs.folder import Run


def train(
    run: Run,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Train a run to its end, or until it is asked to stop.

    Args:
        quiet: say nothing but the name of the run; train.log has what is worth knowing.

    Returns:
        The exit code: 0 when it is finished, else one of `ddpm_tui.exit_codes`; then a checkpoint
        is saved.
    """
    print(json.dumps({"event": "run", "name": run.name}) if as_json else run.name, flush=True)
    if not (as_json or quiet):
        print("loading torch and the data", file=sys.stderr, flush=True)
    requests = Requests(run)
    with Signals(run, requests, quiet=quiet) as signals:
        from engine.events import Finished
        from engine.obeying import obeying
        from engine.train import Trainer

        trainer = Trainer(run, device=device, data_dir=data_dir)
        finished = noted = False
        with progress(run.name, trainer.config.training.steps, quiet=as_json or quiet) as bar:
            for event in obeying(trainer, requests):
                if not quiet:
                    _report(event, bar, as_json)
                noted = noted or _note_lost_output(run)
                finished = isinstance(event, Finished)
        if not finished:
            if not quiet:
                print(f"stopped; go on with: ddpm-tui resume {run.name}", file=sys.stderr)
            return signals.exit_code
        if not (as_json or quiet):
            status = run.status()
            print(
                f"finished: {status.step:,} steps in {status.elapsed / 60:.1f} "
                f"minutes, loss {figure(status.loss)}, "
                f"held-out loss {figure(status.eval_loss)}\n"
                f"next: ddpm-tui sample {run.name}"
            )
        return 0


def _note_lost_output(run: Run) -> bool:
    """Whether train.log says now that output is lost."""
    if (what := failure()) is None:
        return False
    try:
        run.log(f"{what}; the training goes on")
    except EngineError:
        return False  # where the same disk is full, once it has room
    return True


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
        print(clean(line), file=sys.stderr, flush=True)
