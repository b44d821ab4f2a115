"""What a training says while it runs. Events only say "look now"; the run folder has the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.reverse import ReverseStep


@dataclass(frozen=True)
class Started:
    """Everything is loaded; `step` is 0, or where a resume goes on."""

    step: int
    total_steps: int
    device: str
    dataset: str
    parameters: int


@dataclass(frozen=True)
class Stepped:
    """A training step was enqueued; costs nothing and gives whoever pulls a chance to act."""

    step: int


@dataclass(frozen=True)
class Logged:
    """A row went into metrics.jsonl. loss is the mean since the last row."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    images_per_second: float
    elapsed: float


@dataclass(frozen=True)
class PreviewFrame:
    """A step of the reverse process that paints the preview grid."""

    step: int
    reverse: ReverseStep


@dataclass(frozen=True)
class PreviewSaved:
    """A finished preview grid."""

    step: int
    path: Path


@dataclass(frozen=True)
class CheckpointSaved:
    """A published checkpoint. eval_loss is that of the EMA weights on held-out images."""

    step: int
    path: Path
    eval_loss: float


@dataclass(frozen=True)
class Finished:
    """The last step is done and saved."""

    step: int


Event = Started | Stepped | Logged | PreviewFrame | PreviewSaved | CheckpointSaved | Finished
