"""The sample grid of a training, painted from the same noise every time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from engine.config import RunConfig
from engine.data.dataset import Dataset
from engine.data.range import to_uint8
from engine.events import Event, PreviewFrame, PreviewSaved, Weights
from engine.images import write_png
from engine.runs.folder import Run
from engine.runs.previews import preview_path
from engine.sampling import draw_samples, make_denoiser
from engine.schedule import NoiseSchedule


class PreviewPainter:
    """Paints what the `[preview]` table of a run's config asks for.

    Args:
        dtype: of the products inside of the network.
    """

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        dataset: Dataset,
        schedule: NoiseSchedule,
        dtype: torch.dtype,
    ) -> None:
        self._run, self._config, self._dataset = run, config, dataset
        self._schedule, self._dtype = schedule, dtype

    def paint(self, model: nn.Module, weights: Weights, step: int) -> Iterator[Event]:
        """Every step of the reverse process, then the path of the finished grid.

        Args:
            weights: whose the model has.

        Raises:
            NoRoomError: the disk has none for the picture.
            RunError: it cannot be written for another reason.
        """
        preview, seed = self._config.preview, self._config.seed
        pictures = range(preview.num)
        model.eval()
        denoiser = make_denoiser(
            model,
            self._dataset.class_names,
            preview,
            pictures,
            self._dataset.device,
            class_conditional=self._config.model.class_conditional,
            dtype=self._dtype,
        )
        reverse = None
        for reverse in draw_samples(
            denoiser,
            self._schedule,
            preview,
            self._config.diffusion.prediction_type,
            seed,
            pictures,
            self._dataset.image_shape,
        ):
            yield PreviewFrame(step, reverse, weights)
        assert reverse is not None
        path = preview_path(self._run, step, weights)
        about = {"step": step, "seed": seed, "weights": weights, **preview.model_dump()}
        write_png(path, to_uint8(reverse.prev_sample).cpu().numpy(), about=about)
        yield PreviewSaved(step, path, weights)
