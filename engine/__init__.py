"""The engine: diffusion, training and run folders. It never imports the terminal.

    from engine import Trainer, create_run, make_config

    run = create_run(Path("runs"), make_config("default", dataset_size=10_000))
    for event in Trainer(run):
        print(event)

The names below load their modules when they are first used, so `import engine` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.config import RunConfig, make_config
    from engine.data.dataset import load
    from engine.diffusion import q_sample
    from engine.errors import EngineError
    from engine.forward import ForwardProcess
    from engine.models import build_model
    from engine.reverse import ReverseStep, reverse_process
    from engine.runs.folder import Run, create_run, list_runs, open_run
    from engine.sampling import load_trained
    from engine.schedule import NoiseSchedule
    from engine.train import Trainer

__all__ = [
    "EngineError",
    "ForwardProcess",
    "NoiseSchedule",
    "ReverseStep",
    "Run",
    "RunConfig",
    "Trainer",
    "build_model",
    "create_run",
    "list_runs",
    "load",
    "load_trained",
    "make_config",
    "open_run",
    "q_sample",
    "reverse_process",
]

_MODULE_OF = {
    "EngineError": "errors",
    "ForwardProcess": "forward",
    "NoiseSchedule": "schedule",
    "ReverseStep": "reverse",
    "Run": "runs.folder",
    "RunConfig": "config",
    "Trainer": "train",
    "build_model": "models",
    "create_run": "runs.folder",
    "list_runs": "runs.folder",
    "load": "data.dataset",
    "load_trained": "sampling",
    "make_config": "config",
    "open_run": "runs.folder",
    "q_sample": "diffusion",
    "reverse_process": "reverse",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
