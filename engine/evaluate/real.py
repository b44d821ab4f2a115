"""The real side of every comparison, described once for a data set and an extractor.

Describing 70,000 pictures takes a minute or two, and nothing in it changes from one evaluation to
the next; so `find_real` keeps it in the user's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.data.dataset import Dataset
from engine.errors import RunError
from engine.evaluate.cache import cached, fingerprint, write_tensors
from engine.evaluate.extractor import Extractor
from engine.evaluate.frechet import Moments, moments
from engine.evaluate.memorisation import nearest
from engine.evaluate.pixels import PixelStatistics, pixel_statistics
from engine.rng import generator

# A change of what is kept, or of how it is computed, is a new version.
VERSION = 1

# Told what is being done, how much of it is done, and how much there is of it.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Described:
    """What the figures need of N pictures; the pictures themselves are not needed again.

    Attributes:
        features: float32 (N, D).
        labels: the labels they came with, int64 (N,), or None.
        predicted: the extractor's, int64 (N,), or None where it knows no classes of this data set.
        pixels: statistics of their pixels.
    """

    features: Tensor
    labels: Tensor | None
    predicted: Tensor | None
    pixels: PixelStatistics

    def __len__(self) -> int:
        return len(self.features)

    def take(self, indices: Tensor) -> Described:
        return Described(
            self.features[indices],
            None if self.labels is None else self.labels[indices],
            None if self.predicted is None else self.predicted[indices],
            self.pixels.take(indices),
        )

    def first(self, count: int) -> Described:
        return self if count >= len(self) else self.take(torch.arange(count))


@dataclass(frozen=True, eq=False)
class Real:
    """The real side of every comparison, for one data set and one extractor; costs a minute or two.

    Attributes:
        reference: the training split.
        moments: of its features.
        held_out: the held-out split, in a fixed random order.
        held_out_nearest: distances of the held-out pictures to their nearest training pictures.
    """

    dataset: Dataset
    extractor: Extractor
    reference: Described
    moments: Moments
    held_out: Described
    held_out_nearest: Tensor


def describe(
    pixels: Tensor,
    labels: Tensor | None,
    extractor: Extractor,
    what: str = "pictures",
    on_progress: Progress | None = None,
) -> Described:
    """Features and pixel statistics of pictures.

    Args:
        pixels: uint8 (N, C, H, W), N ≥ 1.
        labels: int64 (N,), or None.
        what: what they are, for the progress.
    """
    features, predicted = [], []
    done = 0
    for part in torch.split(pixels, 1000):
        found, classes = extractor(part)
        features.append(found)
        predicted.append(classes)
        done += len(part)
        if on_progress:
            on_progress(f"features of {what}", done, len(pixels))
    return Described(
        torch.cat(features),
        None if labels is None else labels.cpu(),
        None if predicted[0] is None else torch.cat([p for p in predicted if p is not None]),
        pixel_statistics(pixels),
    )


def prepare(dataset: Dataset, extractor: Extractor, on_progress: Progress | None = None) -> Real:
    """Describe the real pictures."""

    def described(pixels: Tensor, labels: Tensor, what: str) -> Described:
        return describe(pixels, labels, extractor, what, on_progress)

    def on_step(done: int, total: int) -> None:
        if on_progress:
            on_progress("nearest pictures of the held-out ones", done, total)

    reference = described(dataset.images, dataset.labels, "the training split")
    held_out = described(dataset.test_images, dataset.test_labels, "the held-out pictures")
    order = torch.randperm(len(held_out), generator=generator(0, "held-out", 0))
    distances, _ = nearest(dataset.test_images, dataset.images, on_step)
    return Real(
        dataset,
        extractor,
        reference,
        moments(reference.features),
        held_out.take(order),
        distances,
    )


def find_real(dataset: Dataset, extractor: Extractor, on_progress: Progress | None = None) -> Real:
    """The real side, as an earlier evaluation kept it, else described now and kept.

    A file that is damaged is made anew; without room for one, it is made every time.
    """
    path = kept_real(dataset, extractor)
    found = _read(path, dataset, extractor)
    if found is None:
        found = prepare(dataset, extractor, on_progress)
        _write(path, found)
    return found


def kept_real(dataset: Dataset, extractor: Extractor) -> Path:
    """Where the real side is kept: another place for other pictures or another extractor."""
    splits = (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels)
    return cached("real", f"{dataset.name}-{fingerprint(*splits)}-{extractor.name}-v{VERSION}")


def _write(path: Path, real: Real) -> None:
    values = {"held_out_nearest": real.held_out_nearest}
    for side, described in (("reference", real.reference), ("held_out", real.held_out)):
        pixels = described.pixels
        parts = {
            "features": described.features,
            "labels": described.labels,
            "predicted": described.predicted,
            # They were computed in float32: nothing is lost.
            "brightness": pixels.brightness.float(),
            "contrast": pixels.contrast.float(),
            "spectrum": pixels.spectrum.float(),
        }
        values |= {f"{side}.{key}": part for key, part in parts.items() if part is not None}
    try:
        write_tensors(path, values)
    except RunError:
        return  # the figures are there all the same


def _read(path: Path, dataset: Dataset, extractor: Extractor) -> Real | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values = load_file(path)
        reference, held_out = (_described(values, side) for side in ("reference", "held_out"))
        return Real(
            dataset,
            extractor,
            reference,
            moments(reference.features),
            held_out,
            values["held_out_nearest"],
        )
    except (OSError, SafetensorError, KeyError):
        return None


def _described(values: dict[str, Tensor], side: str) -> Described:
    brightness, contrast, spectrum = (
        values[f"{side}.{key}"].double() for key in ("brightness", "contrast", "spectrum")
    )
    return Described(
        values[f"{side}.features"],
        values.get(f"{side}.labels"),
        values.get(f"{side}.predicted"),
        PixelStatistics(brightness, contrast, spectrum),
    )
