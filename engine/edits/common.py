"""What the edits share: the pictures they are given, and the noise and the questions of each."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from engine.config import SamplingConfig
from engine.interventions import Descend, Draw
from engine.reverse import Denoiser, ReverseStep
from engine.rng import sample_noise
from engine.sampling import TrainedModel, make_descent
from engine.sheet import Sheet
from engine.takes.path import check_room


@dataclass(frozen=True)
class Given:
    """Real pictures to work on.

    Attributes:
        name: where they are from, for a file name.
        images: float32 (N, C, H, W) in [−1, 1], on the run's device.
        titles: what each is, for a person.
        labels: their classes, int64 (N,); None where nobody knows.
    """

    name: str
    images: Tensor
    titles: tuple[str, ...]
    labels: Tensor | None = None

    def copies(self, num: int) -> Given:
        """Each picture `num` times, the copies of one together."""
        labels = None if self.labels is None else self.labels.repeat_interleave(num)
        return replace(self, images=self.images.repeat_interleave(num, dim=0), labels=labels)


Edit = Generator[ReverseStep, None, Sheet]


def draws_of(trained: TrainedModel, seed: int, indices: Sequence[int]) -> Draw:
    """The draws of the pictures `indices` of a seed, as `draw_samples` makes them."""
    check_room(len(indices))
    return lambda purpose, t: sample_noise(
        seed, purpose, t, indices, trained.image_shape, trained.device
    )


def repeated(draw: Draw, copies: int) -> Draw:
    """The same draws for each of several variants of a batch, one variant after the other."""
    return lambda purpose, t: draw(purpose, t).repeat(copies, 1, 1, 1)


def descent_of(
    trained: TrainedModel, sampling: SamplingConfig, denoiser: Denoiser, draw: Draw
) -> Descend:
    """The reverse process of the run, with the noise of `draw`."""
    prediction_type = trained.config.diffusion.prediction_type
    return make_descent(denoiser, trained.schedule, sampling, prediction_type, draw)


def asked_of(
    trained: TrainedModel, sampling: SamplingConfig, given: Given, indices: Sequence[int]
) -> Denoiser:
    """What the prompt asks for; without one, each picture's own class where it is known."""
    # Without a prompt picture i is of class i mod the number of classes: a class as i is itself.
    return trained.denoiser(sampling, indices if given.labels is None else given.labels.tolist())


def in_rows(images: Tensor, columns: int) -> Tensor:
    """(rows·columns, C, H, W) -> (rows, columns, C, H, W)."""
    return images.reshape(-1, columns, *images.shape[1:])
