"""A run's network in front of noised images: told their classes, and limited as in sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from engine.denoising import Denoised, DenoisingError, denoise, denoising_errors
from engine.errors import DataError
from engine.forward import ForwardProcess
from engine.sampling import TrainedModel, x0_limit


class Probe:
    """What a trained network makes of some images, at any t of its own schedule.

    Args:
        trained: whose network.
        process: the images and their noise; the schedule is that of `trained`.
        class_names: of the labels of the images. A network that was told other classes in training
            is told none.
        told: whether to tell the network the class of each image.

    Raises:
        DataError: the network was trained on images of another shape.
    """

    def __init__(
        self,
        trained: TrainedModel,
        process: ForwardProcess,
        class_names: Sequence[str],
        *,
        told: bool = True,
    ) -> None:
        shape = tuple(process.x_start.shape[1:])
        if shape != trained.image_shape:
            theirs, ours = ("×".join(map(str, lengths)) for lengths in (trained.image_shape, shape))
            raise DataError(
                f"{trained.run.name} was trained on images of {theirs}, these are {ours}",
                "Take the data set that it was trained on.",
            )
        self.trained = trained
        self.process = replace(process, schedule=trained.schedule).to(trained.device)
        self.told = (
            told
            and trained.config.model.class_conditional
            and tuple(class_names) == trained.class_names
        )
        self._denoiser = trained.told(self.process.labels, 1.0 if self.told else 0.0)

    def at(self, t: int) -> Denoised:
        """Ask at one timestep."""
        return denoise(self._denoiser, self.process, t, **self._how())

    def errors(self, timesteps: Sequence[int], mean_image: Tensor) -> Iterator[DenoisingError]:
        """Ask at several timesteps, one a pull; see `denoising_errors`."""
        return denoising_errors(self._denoiser, self.process, timesteps, mean_image, **self._how())

    def _how(self) -> dict[str, Any]:
        config = self.trained.config
        return {
            "prediction_type": config.diffusion.prediction_type,
            "limit_x0": x0_limit(config.sampling),
        }
