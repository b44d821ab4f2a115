"""Evaluating a run: draw, evaluate, and leave the figures and the closest pairs in its folder."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import SamplingConfig
from engine.data.dataset import Dataset
from engine.errors import DataError
from engine.evaluate.evaluation import Evaluation, check_count, evaluate_pixels
from engine.evaluate.extractor import Extractor
from engine.evaluate.real import Progress, find_real
from engine.images import write_png
from engine.runs import io
from engine.runs.folder import Run
from engine.sample_files import sample_stem
from engine.sampling import TrainedModel, sample_pixels

SCHEMA_VERSION = 1
_COLUMNS = 8


@dataclass(frozen=True)
class EvaluationFiles:
    """What `evaluate_run` left on disk.

    Attributes:
        json: all figures, and how the pictures were drawn.
        png: the closest pairs; in every two rows a generated picture stands above the training
            picture nearest to it, the closest pair first.
    """

    json: Path
    png: Path


def evaluate_run(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    dataset: Dataset,
    extractor: Extractor,
    on_progress: Progress | None = None,
    *,
    out: Path | None = None,
) -> tuple[Evaluation, EvaluationFiles]:
    """Draw pictures from a run and evaluate them.

    Args:
        out: the folder of the figures; the run's `evaluations` when None.
        dataset: what the run was trained on; its training split is the reference.

    Raises:
        ConfigError: too few pictures.
        DataError: the run's pictures are of another size than the data set's.
        RunGoneError: the run is not there any more, and its figures were to go there.
        RunError: the run folder cannot be written.
    """
    check_count(sampling.num, extractor)
    trained.run.check_output("evaluations", out)
    if trained.image_shape != dataset.image_shape:
        raise DataError(
            f"{trained.run.name} draws pictures of {_size(trained.image_shape)}, "
            f"{dataset.name} has {_size(dataset.image_shape)}",
            "Put config.toml back as it was when the run was trained.",
        )

    def on_step(done: int, total: int) -> None:
        if on_progress:
            on_progress("timesteps", done, total)

    chunks = []
    for chunk in sample_pixels(trained, sampling, seed, on_step=on_step):
        chunks.append(chunk)
        if out is None:  # else all is drawn and measured, and can be kept nowhere
            trained.run.check_here()
    pixels = torch.cat([part for part, _ in chunks])
    asked = [labels for _, labels in chunks if labels is not None]
    # With guidance 0 the network was not told what was asked for.
    labels = torch.cat(asked) if asked and sampling.guidance_scale else None
    real = find_real(dataset, extractor, on_progress)
    evaluation = evaluate_pixels(
        pixels, labels, dataset, extractor, real=real, on_progress=on_progress
    )
    files = write_evaluation(
        trained.run, evaluation, pixels, dataset, sampling, seed=seed, step=trained.step, out=out
    )
    return evaluation, files


def evaluation_stem(sampling: SamplingConfig, seed: int, step: int, extractor: str) -> str:
    """The file name, without its ending: how the pictures were drawn, and what measured them."""
    return f"{sample_stem(sampling, seed, step)}-{extractor}"


def facts(
    run: Run, evaluation: Evaluation, sampling: SamplingConfig, *, seed: int, step: int
) -> dict[str, Any]:
    """Everything about an evaluation as plain values, as the JSON file has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "created": time.time(),
        "run": run.name,
        "step": step,
        "seed": seed,
        "sampling": sampling.model_dump(),
        "frechet_ratio": evaluation.frechet_ratio,
        **asdict(evaluation),
    }


def write_evaluation(
    run: Run,
    evaluation: Evaluation,
    pixels: Tensor,
    dataset: Dataset,
    sampling: SamplingConfig,
    *,
    seed: int,
    step: int,
    out: Path | None = None,
) -> EvaluationFiles:
    """Write the figures and the closest pairs.

    Args:
        out: the folder; the run's `evaluations` when None.
        pixels: the generated pictures, uint8 (N, C, H, W).

    Raises:
        RunError: the folder cannot be written.
    """
    folder = run.output_folder("evaluations", out)
    stem = evaluation_stem(sampling, seed, step, evaluation.extractor)
    files = EvaluationFiles(folder / f"{stem}.json", folder / f"{stem}-nearest.png")
    about = {"run": run.name, "step": step, "seed": seed, "rows": "generated, nearest training"}
    pairs = closest_pairs(evaluation, pixels, dataset.images)
    write_png(files.png, pairs.numpy(), about=about, columns=_COLUMNS)
    io.write_json(files.json, facts(run, evaluation, sampling, seed=seed, step=step))
    return files


def closest_pairs(evaluation: Evaluation, pixels: Tensor, training: Tensor) -> Tensor:
    """The closest pairs in rows of eight: generated pictures, below them their neighbours.

    Returns:
        uint8 (2 · pairs, C, H, W), on the CPU.
    """
    rows = []
    pairs = evaluation.memorisation.closest
    for start in range(0, len(pairs), _COLUMNS):
        row = pairs[start : start + _COLUMNS]
        rows.append(pixels[[pair.sample for pair in row]].cpu())
        rows.append(training[[pair.training for pair in row]].cpu())
    return torch.cat(rows)


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{height}×{width} with {channels} channel{'s' if channels > 1 else ''}"
