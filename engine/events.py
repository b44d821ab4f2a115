"""What a training says while it runs. Events only say "look now"; the run folder has the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.reverse import ReverseStep

Weights = Literal["ema", "raw"]


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
    """A row went into metrics.jsonl.

    Attributes:
        loss: the mean since the last row, over the steps that were taken; None where all were
            skipped.
        grad_norm: of the last step, before clipping; None where it is not finite.
        skipped: steps since the last row whose loss or gradients were not finite.
        loss_by_t: the mean error of the prediction since the last row in even stretches of
            0 … T − 1, the least noisy first, before any weight; None where no t was drawn.
    """

    step: int
    loss: float | None
    lr: float
    grad_norm: float | None
    images_per_second: float
    elapsed: float
    skipped: int = 0
    loss_by_t: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something that a person should know, such as a step back; also a line of train.log."""

    step: int
    message: str


@dataclass(frozen=True)
class PreviewFrame:
    """A step of the reverse process that paints the preview grid, with the EMA or raw weights."""

    step: int
    reverse: ReverseStep
    weights: Weights = "ema"


@dataclass(frozen=True)
class PreviewSaved:
    """A finished preview grid."""

    step: int
    path: Path
    weights: Weights = "ema"


@dataclass(frozen=True)
class CheckpointSaved:
    """A published checkpoint. eval_loss is that of the EMA weights on held-out images."""

    step: int
    path: Path
    eval_loss: float


@dataclass(frozen=True)
class Waiting:
    """The disk is full, and nothing is trained; gives whoever pulls a chance to act."""

    step: int
    reason: str


@dataclass(frozen=True)
class Finished:
    """The last step is done and saved."""

    step: int


Event = (
    Started
    | Stepped
    | Logged
    | Notice
    | PreviewFrame
    | PreviewSaved
    | CheckpointSaved
    | Waiting
    | Finished
)
