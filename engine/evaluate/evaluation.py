"""All figures of a set of pictures, each beside its floor: what real pictures get.

The reference is the whole training split. The floor is the same figure, from the same function, of
as many held-out real pictures: no model can be told from real pictures below it, and a value far
below it means copies. Where the held-out split is smaller than the number of generated pictures,
as many generated ones as there are held-out ones stand beside the floor; nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.dataset import Dataset
from engine.errors import ConfigError
from engine.evaluate.extractor import Extractor
from engine.evaluate.frechet import Moments, frechet_distance, moments
from engine.evaluate.kernel import KernelDistance, kernel_distance
from engine.evaluate.memorisation import Memorisation, memorisation, nearest
from engine.evaluate.pixels import PixelDistances, pixel_distances
from engine.evaluate.precision_recall import precision_recall
from engine.evaluate.real import Described, Progress, Real, describe, prepare
from engine.rng import generator

# Fewer than this, and the bias of the Fréchet distance is larger than most differences.
FEW = 2048
# Kynkäänniemi et al. used 50,000; their figures hardly move from 10,000 on, the time grows as N².
MAX_PRECISION_RECALL = 10_000


@dataclass(frozen=True)
class Figures:
    """How far n pictures are from the reference.

    Attributes:
        n: the number of pictures.
        frechet: squared Fréchet distance of the features; grows as n falls.
        kernel: kernel distance of the features, with its 95 % interval.
        precision: share of the pictures that look real.
        recall: share of real pictures that the n pictures cover.
        precision_recall_n: pictures of each side in precision and recall.
        pixels: what the features do not see.
    """

    n: int
    frechet: float
    kernel: KernelDistance
    precision: float
    recall: float
    precision_recall_n: int
    pixels: PixelDistances


@dataclass(frozen=True)
class ClassFigure:
    """The Fréchet distance within one class; the floor is of as many held-out pictures of it.

    Attributes:
        generated_n: how many of the generated pictures are of the class; a model that leaves out a
            class shows here.
        n: how many of them, and of the held-out ones, the figures are of: as many as both have.
        reference_n: reference pictures of the class.
        frechet, floor: None where n is below 2.
    """

    name: str
    generated_n: int
    n: int
    reference_n: int
    frechet: float | None
    floor: float | None


@dataclass(frozen=True)
class Evaluation:
    """What is known of a set of generated pictures.

    Attributes:
        extractor: its name; figures of different extractors cannot be compared.
        dataset: the name of the data set.
        reference_n: pictures of the reference, the whole training split.
        generated: the figures of all generated pictures.
        floor: the same of held-out pictures; None where fewer are held out than features.
        at_floor: the figures of the first `floor.n` generated pictures, to set beside the floor;
            the same as `generated` where there are enough held-out pictures.
        class_source: where the class of a generated picture comes from: "asked for", or "predicted"
            by the extractor (for real pictures as well, then).
        classes: the Fréchet distance of each class.
        memorisation: the nearest training pictures.
        accuracy: share of the generated pictures to which the extractor gives the label that was
            asked for; None where none was.
        floor_accuracy: share of held-out pictures to which it gives their label.
        warnings: what has to be said beside the figures, a sentence each.
    """

    extractor: str
    dataset: str
    reference_n: int
    generated: Figures
    floor: Figures | None
    at_floor: Figures | None
    class_source: str
    classes: tuple[ClassFigure, ...]
    memorisation: Memorisation
    accuracy: float | None
    floor_accuracy: float | None
    warnings: tuple[str, ...]

    @property
    def frechet_ratio(self) -> float | None:
        """The headline: the Fréchet distance over its floor at the same n; 1 is as good as real."""
        if self.floor is None or self.at_floor is None:
            return None
        return self.at_floor.frechet / self.floor.frechet


def check_count(num: int, extractor: Extractor) -> str:
    """Are there enough pictures for figures?

    Returns:
        A sentence to say beside the figures; empty when there are enough.

    Raises:
        ConfigError: there are fewer pictures than features, so that no covariance can be estimated.
    """
    if num < extractor.dim:
        raise ConfigError(
            f"{num:,} pictures are too few to evaluate: {extractor.name} has {extractor.dim:,} "
            "features, and their covariance needs at least as many pictures",
            "Raise --num; 10,000 is usual.",
        )
    if num < FEW:
        return (
            f"{num:,} pictures are few: below {FEW:,} the Fréchet distance depends more on their "
            "number than on the model; compare it with its floor alone."
        )
    return ""


def figures(pictures: Described, reference: Described, reference_moments: Moments) -> Figures:
    """The figures of pictures against a reference; for generated and held-out ones alike."""
    count = min(len(pictures), len(reference), MAX_PRECISION_RECALL)
    order = torch.randperm(len(reference), generator=generator(0, "precision and recall", 0))
    precision, recall = precision_recall(
        pictures.features[:count], reference.features[order[:count]]
    )
    return Figures(
        n=len(pictures),
        frechet=frechet_distance(moments(pictures.features), reference_moments),
        kernel=kernel_distance(pictures.features, reference.features),
        precision=precision,
        recall=recall,
        precision_recall_n=count,
        pixels=pixel_distances(pictures.pixels, reference.pixels),
    )


def floor_pictures(held_out: Described, generated: Described) -> Described:
    """As many held-out pictures as generated ones, and of each class as many.

    Pictures that were asked for class by class have exact shares of the classes, and a random draw
    of real ones has not: its Fréchet distance would be larger for that alone, at n = 2,048 of
    Fashion-MNIST twice as large. Where no class was asked for, or too few are held out of one, the
    first ones of the random order are taken.
    """
    first = held_out.first(len(generated))
    if generated.labels is None or held_out.labels is None:
        return first
    wanted = torch.bincount(generated.labels)
    chosen = [
        torch.nonzero(held_out.labels == label).flatten()[:count]
        for label, count in enumerate(wanted.tolist())
    ]
    indices = torch.cat(chosen)
    return held_out.take(indices) if len(indices) == len(generated) else first


def class_figures(generated: Described, real: Real) -> tuple[ClassFigure, ...]:
    """The Fréchet distance of each class, at one n for the value and its floor."""
    asked = generated.labels is not None

    def classes(pictures: Described) -> Tensor | None:
        return pictures.labels if asked else pictures.predicted

    sides = [classes(side) for side in (generated, real.held_out, real.reference)]
    if any(side is None for side in sides):
        return ()
    found = []
    for label, name in enumerate(real.dataset.class_names):
        ours, held_out, reference = (
            torch.nonzero(side == label).flatten() for side in sides if side is not None
        )
        n = min(len(ours), len(held_out))
        value = floor = None
        if n >= 2 and len(reference) >= 2:
            target = moments(real.reference.features[reference])
            value = frechet_distance(moments(generated.features[ours[:n]]), target)
            floor = frechet_distance(moments(real.held_out.features[held_out[:n]]), target)
        found.append(ClassFigure(name, len(ours), n, len(reference), value, floor))
    return tuple(found)


def evaluate_pixels(
    pixels: Tensor,
    labels: Tensor | None,
    dataset: Dataset,
    extractor: Extractor,
    *,
    real: Real | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Evaluate pictures, wherever they come from.

    Args:
        pixels: uint8 (N, C, H, W), N ≥ the extractor's number of features.
        labels: the labels they were asked for, int64 (N,), or None.
        dataset: the real pictures; its training split is the reference.
        real: what `find_real` knows of the same data set and extractor; made anew when None.

    Raises:
        ConfigError: too few pictures.
        ValueError: the pictures are of another shape than the data set's, or `real` belongs to
            another extractor.
    """
    warning = check_count(len(pixels), extractor)
    if tuple(pixels.shape[1:]) != dataset.image_shape or pixels.dtype is not torch.uint8:
        raise ValueError(
            f"pictures are {pixels.dtype} {tuple(pixels.shape[1:])}, "
            f"{dataset.name}'s are uint8 {dataset.image_shape}"
        )
    real = real or prepare(dataset, extractor, on_progress)
    if real.extractor.name != extractor.name or real.dataset is not dataset:
        raise ValueError("the real pictures were prepared for another data set or extractor")

    def report(what: str, done: int = 0, total: int = 0) -> None:
        if on_progress:
            on_progress(what, done, total)

    generated = describe(pixels, labels, extractor, "the generated pictures", on_progress)
    report("distances")
    everything = figures(generated, real.reference, real.moments)
    n = min(len(generated), len(real.held_out))
    floor = at_floor = None
    warnings = [warning] if warning else []
    if n < extractor.dim:
        warnings.append(
            f"There is no floor: {dataset.name} holds out {n:,} pictures, fewer than the "
            f"{extractor.dim:,} features."
        )
    else:
        report("distances of the held-out pictures")
        floor = figures(
            floor_pictures(real.held_out, generated.first(n)), real.reference, real.moments
        )
        at_floor = everything
        if n < len(generated):
            report("distances at the number of held-out pictures")
            at_floor = figures(generated.first(n), real.reference, real.moments)
            warnings.append(
                f"{dataset.name} holds out {n:,} pictures, so floors and ratios are those of the "
                f"first {n:,} generated pictures; the values of all {len(generated):,} have none."
            )
    distances, indices = nearest(
        pixels, dataset.images, lambda done, total: report("nearest training pictures", done, total)
    )
    report("distances of each class")
    classes = class_figures(generated, real)
    if any(2 <= entry.n < extractor.dim for entry in classes):
        warnings.append(
            f"The Fréchet distance of a class with fewer than {extractor.dim:,} pictures is mostly "
            "bias; only its ratio to the floor says something."
        )
    return Evaluation(
        extractor=extractor.name,
        dataset=dataset.name,
        reference_n=len(real.reference),
        generated=everything,
        floor=floor,
        at_floor=at_floor,
        class_source="predicted" if labels is None else "asked for",
        classes=classes,
        memorisation=memorisation(distances, indices, real.held_out_nearest),
        accuracy=_accuracy(generated),
        floor_accuracy=_accuracy(real.held_out),
        warnings=tuple(warnings),
    )


def _accuracy(pictures: Described) -> float | None:
    if pictures.labels is None or pictures.predicted is None:
        return None
    return float((pictures.predicted == pictures.labels).cpu().double().mean())
