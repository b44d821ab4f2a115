"""Finding out what there is to say of a run or of a preset; slow, for a thread."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.config import RunConfig, make_config
from engine.data import SOURCES, default_dataset
from engine.errors import CheckpointError, DataError, EngineError
from engine.runs import io
from engine.runs.checkpoint import Checkpoint, best_checkpoint, list_checkpoints
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.anatomy import Anatomy
    from engine.layer_timing import Timing
    from engine.steps import StepWeights

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """What is looked at: a run, or a preset as it would be trained.

    Attributes:
        run: None for a preset.
    """

    config: RunConfig
    run: Run | None = None

    @property
    def title(self) -> str:
        return self.run.name if self.run else f"the preset {self.config.preset}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its images."""
        source = SOURCES[self.config.data.dataset]
        return (1, source.height, source.width)

    @property
    def num_classes(self) -> int:
        return len(SOURCES[self.config.data.dataset].class_names)


@dataclass(frozen=True, eq=False)
class Maths:
    """What follows from the config alone.

    Attributes:
        betas, alphas_cumprod, snr, posterior_variance: float64 (T,).
        embedding: float32 (T, dim), what the network is told of t.
        other_embedding: the same of the article, or of the default where this is the article's.
        varying, other_varying: columns of the two that change over t by more than 1 %.
        steps: of the reverse process.
        weights: float64 (T,), of an error in x̂_0 in the loss.
    """

    betas: Floats
    alphas_cumprod: Floats
    snr: Floats
    posterior_variance: Floats
    embedding: Floats
    other_embedding: Floats
    varying: int
    other_varying: int
    steps: tuple[StepWeights, ...]
    weights: Floats

    @property
    def timesteps(self) -> int:
        return len(self.betas)


@dataclass(frozen=True, eq=False)
class Folder:
    """What lies in a run's folder.

    Attributes:
        environment: env.json; empty where it cannot be read.
        sizes: (name, files, bytes) of each entry.
        checkpoints: (checkpoint, held-out loss or None), oldest first.
        best: the step of the best one.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[tuple[str, int, int], ...] = ()
    checkpoints: tuple[tuple[Checkpoint, float | None], ...] = ()
    best: int | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """What is known of a subject by now; None is not known yet.

    Attributes:
        brightness: how much its network's output changes when x becomes 2x + 1.
        weights_of: where the weights of that network are from.
        article_brightness: the same of the article's network, with fresh weights.
        recognised: timestep -> the share of images whose class can be told from x_t; empty where
            the images are not here.
    """

    subject: Subject
    folder: Folder | None = None
    maths: Maths | None = None
    anatomy: Anatomy | None = None
    brightness: float | None = None
    weights_of: str = ""
    article_brightness: float | None = None
    recognised: dict[int, float] | None = None
    timing: Timing | None = None


def preset_subject(name: str, data_dir: Path | None = None) -> Subject:
    """A preset, on the data set that it would be trained on here.

    Raises:
        ConfigError: there is no such preset.
    """
    dataset = default_dataset(data_dir)
    size = SOURCES[dataset].train_count
    return Subject(make_config(name, dataset_size=size, data={"dataset": dataset}))


def run_subject(run: Run) -> Subject:
    """A run with its config.

    Raises:
        EngineError: it cannot be read.
    """
    return Subject(run.config(), run)


def investigate(
    subject: Subject, known: Study | None = None, data_dir: Path | None = None
) -> Generator[Study, None, None]:
    """A study that knows more each time; whoever pulls may stop.

    Args:
        known: an earlier study, whose figures stay true as long as the config is the same.
        data_dir: where to look for the images first.

    Raises:
        EngineError: the network of the config cannot be built.
    """
    study = Study(subject)
    if known is not None and known.subject == subject:
        study = known
    study = replace(study, folder=look_into(subject.run) if subject.run else Folder())
    yield study
    if study.maths is None:
        study = replace(study, maths=work_out(subject.config))
        yield study
    if study.anatomy is None:
        from engine.anatomy import dissect

        anatomy = dissect(subject.config, subject.image_shape, subject.num_classes)
        study = replace(study, anatomy=anatomy)
        yield study
    if study.article_brightness is None or study.weights_of != _weights_of(study.folder):
        study = _with_brightness(study)
        yield study
    if study.recognised is None:
        yield replace(study, recognised=_recognised(subject.config, data_dir))


def _with_brightness(study: Study) -> Study:
    """With what becomes of brightness in this network and in the article's."""
    from engine.anatomy import heard_of_brightness
    from engine.models import build_model
    from engine.models.article import IMAGE_SHAPE, ArticleUNet
    from engine.sampling import load_trained

    subject = study.subject
    weights_of = _weights_of(study.folder)
    try:
        if subject.run is not None and weights_of:
            model = load_trained(subject.run, which="last", device="cpu").model
        else:
            model = build_model(subject.config, subject.image_shape, subject.num_classes)
        brightness = heard_of_brightness(model.eval(), subject.image_shape)
    except CheckpointError:
        brightness = None
    return replace(
        study,
        brightness=brightness,
        weights_of=weights_of,
        article_brightness=heard_of_brightness(ArticleUNet(), IMAGE_SHAPE),
    )


def stations(timesteps: int) -> list[int]:
    """Eleven timesteps, from the first to the last, a tenth of the way apart."""
    return sorted({round(tenth / 10 * (timesteps - 1)) for tenth in range(11)})


def _recognised(config: RunConfig, data_dir: Path | None) -> dict[int, float]:
    from engine.data import load
    from engine.recognition import recognised
    from engine.schedule import NoiseSchedule

    try:
        dataset = load(config.data.dataset, data_dir=data_dir)
    except DataError:
        return {}
    schedule = NoiseSchedule.of(config.diffusion)
    return recognised(dataset, schedule, stations(schedule.num_train_timesteps))


def _weights_of(folder: Folder | None) -> str:
    if folder is None or not folder.checkpoints:
        return ""
    return f"step {folder.checkpoints[-1][0].step:,}"


def work_out(config: RunConfig) -> Maths:
    """The numbers of a config: schedule, embedding, steps, weights of the loss."""
    import torch

    from engine.diffusion import min_snr_weight
    from engine.models.dit import FREQUENCIES
    from engine.models.embedding import (
        article_timestep_embedding,
        timestep_embedding,
        varying_columns,
    )
    from engine.schedule import NoiseSchedule
    from engine.steps import step_weights

    schedule = NoiseSchedule.of(config.diffusion)
    total, every_t = schedule.num_train_timesteps, torch.arange(schedule.num_train_timesteps)
    width = FREQUENCIES if config.model.name == "dit" else config.model.block_out_channels[0]
    tables = [timestep_embedding(every_t, width), article_timestep_embedding(total, 100)]
    if config.model.name == "article":
        tables.reverse()
    prediction, gamma = config.diffusion.prediction_type, config.training.snr_gamma
    snr = schedule.snr
    weights = {"epsilon": snr, "sample": torch.ones_like(snr), "v_prediction": snr + 1}[prediction]
    if gamma:
        weights = weights * min_snr_weight(schedule, prediction, every_t, gamma)
    return Maths(
        betas=schedule.betas.numpy(),
        alphas_cumprod=schedule.alphas_cumprod.numpy(),
        snr=snr.numpy(),
        posterior_variance=schedule.posterior_variance.numpy(),
        embedding=tables[0].double().numpy(),
        other_embedding=tables[1].double().numpy(),
        varying=varying_columns(tables[0]),
        other_varying=varying_columns(tables[1]),
        steps=tuple(step_weights(schedule, config.sampling)),
        weights=weights.numpy(),
    )


def look_into(run: Run) -> Folder:
    """The files of a run; what cannot be read is left out."""
    try:
        environment = io.read_json(run.path / "env.json")
    except EngineError:
        environment = {}
    checkpoints = list_checkpoints(run)
    best = best_checkpoint(checkpoints)
    return Folder(
        environment,
        tuple(_sizes(run.path)),
        tuple((checkpoint, _held_out(checkpoint)) for checkpoint in checkpoints),
        best.step if best else None,
    )


def _held_out(checkpoint: Checkpoint) -> float | None:
    try:
        value = checkpoint.state().get("eval_loss")
    except EngineError:
        return None
    return float(value) if isinstance(value, int | float) else None


def _sizes(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, number of files and bytes of each entry; a training may remove some meanwhile."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for entry in entries:
        paths = [entry] if entry.is_file() else list(entry.rglob("*"))
        sizes = [size for path in paths if (size := _size(path)) is not None]
        yield entry.name + ("/" if entry.is_dir() else ""), len(sizes), sum(sizes)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
