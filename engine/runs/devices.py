"""What the machine of a trainer does, in the run folder, for whoever looks from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from engine.errors import EngineError, RunError
from engine.runs import io
from engine.runs.folder import Run
from engine.telemetry import Telemetry, TelemetrySampler

DEVICES = "devices.json"
_EVERY = 2.0  # seconds
_MOST = 1e18  # of any figure; bytes are the largest of them


@contextmanager
def devices_told(run: Run) -> Iterator[None]:
    """Inside, a thread keeps devices.json up to date."""
    ended = threading.Event()

    def tell() -> None:
        from engine.device import torch_gpus  # a viewer of this module does without torch

        with TelemetrySampler(torch_gpus) as sampler:
            while not ended.wait(_EVERY):
                # A full disk is the trainer's to say.
                with suppress(EngineError):
                    telemetry = asdict(sampler.read())
                    io.write_json(run.path / DEVICES, telemetry, durable=False)

    thread = threading.Thread(target=tell, name=f"devices {run.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def read_devices(run: Run) -> Telemetry | None:
    """What devices.json says; None where there is none, or it says what cannot be."""
    from pydantic import TypeAdapter, ValidationError

    try:
        told = TypeAdapter(Telemetry).validate_python(io.read_json(run.path / DEVICES))
    except (RunError, ValidationError):
        return None
    parts = [vars(told.host), *(vars(gpu) for gpu in told.gpus)]
    numbers = [n for part in parts for n in part.values() if isinstance(n, int | float)]
    return told if all(0 <= number <= _MOST for number in numbers) else None
