"""What `ddpm-tui evaluate` left in a run folder, for viewers: the figures, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import Run
from engine.runs.outside import is_a, is_number


@dataclass(frozen=True)
class Score:
    """An evaluation of the weights of a step.

    Attributes:
        frechet: the Fréchet distance to the training split.
        floor: that of as many held-out real pictures; None where there were too few.
        n: pictures that were drawn.
        sampling: how, for a person.
        kernel, precision, recall: the other figures; None where the file has none.
        kernel_floor, precision_floor, recall_floor: those of as many held-out real pictures.
        dataset, extractor: what they were measured on and by; others do not compare.
    """

    step: int
    frechet: float
    floor: float | None
    n: int
    sampling: str
    kernel: float | None = None
    kernel_floor: float | None = None
    precision: float | None = None
    precision_floor: float | None = None
    recall: float | None = None
    recall_floor: float | None = None
    dataset: str = ""
    extractor: str = ""


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
        except (RunError, KeyError, TypeError, ValueError, AttributeError):
            continue
        scores.append(score)
    return tuple(sorted(scores, key=lambda score: (score.step, score.n)))


def _score(values: dict[str, Any]) -> Score:
    generated, floor, sampling = values["generated"], values["floor"], values["sampling"]
    held_out = floor or {}
    for figures, key, kind in (
        (values, "step", int),
        (generated, "n", int),
        (generated, "frechet", (int, float)),
    ):
        if not is_a(figures[key], kind):
            raise ValueError(f"{key} is {figures[key]!r}")
    return Score(
        values["step"],
        float(generated["frechet"]),
        _finite(floor, "frechet"),
        generated["n"],
        f"{sampling['sampler']}, {sampling['num_inference_steps']} steps",
        kernel=_finite(generated.get("kernel"), "mean"),
        kernel_floor=_finite(held_out.get("kernel"), "mean"),
        precision=_finite(generated, "precision"),
        precision_floor=_finite(held_out, "precision"),
        recall=_finite(generated, "recall"),
        recall_floor=_finite(held_out, "recall"),
        dataset=str(values.get("dataset", "")),
        extractor=str(values.get("extractor", "")),
    )


def _finite(figures: Any, key: str) -> float | None:
    """A figure, if there is one."""
    value = figures.get(key) if isinstance(figures, dict) else None
    return float(value) if is_number(value) else None
