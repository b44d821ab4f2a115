"""What `ddpm-tui evaluate` left in a run folder, for viewers: the figures, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import Run


@dataclass(frozen=True)
class Score:
    """An evaluation of the weights of a step.

    Attributes:
        frechet: the Fréchet distance to the training split.
        floor: that of as many held-out real pictures; None where there were too few.
        n: pictures that were drawn.
        sampling: how, for a person.
    """

    step: int
    frechet: float
    floor: float | None
    n: int
    sampling: str


def list_scores(run: Run) -> tuple[Score, ...]:
    """The evaluations of a run by step; files that are none are passed over.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    folder = run.path / "evaluations"
    if not folder.is_dir():
        return ()
    scores = []
    for path in sorted(folder.glob("*.json")):
        try:
            score = _score(io.read_json(path))
        except (RunError, KeyError, TypeError, ValueError):
            continue
        if math.isfinite(score.frechet):
            scores.append(score)
    return tuple(sorted(scores, key=lambda score: (score.step, score.n)))


def _score(values: dict[str, Any]) -> Score:
    generated, floor, sampling = values["generated"], values["floor"], values["sampling"]
    return Score(
        int(values["step"]),
        float(generated["frechet"]),
        None if floor is None else float(floor["frechet"]),
        int(generated["n"]),
        f"{sampling['sampler']}, {sampling['num_inference_steps']} steps",
    )
