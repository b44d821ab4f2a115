"""The images of the Forward view: a data set's held-out images with the noise that they get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import DiffusionConfig
from engine.data import available

if TYPE_CHECKING:
    from torch import Tensor

    from engine.forward import ForwardProcess
    from engine.schedule import NoiseSchedule

SHOWN = 20  # images that can be looked at: two of each class
_MEASURED = 40  # images that the errors of a network are means of; those shown are among them
_SEED = 0  # of their noise


@dataclass(frozen=True, eq=False)
class Loaded:
    """A data set's images with the noise that they get, whatever the schedule.

    Attributes:
        dataset: its name.
        class_names: of each image that is shown.
        all_names: of every label.
        mean_image: (C, H, W) in [−1, 1], of the training images.
    """

    dataset: str
    class_names: tuple[str, ...]
    all_names: tuple[str, ...]
    mean_image: Tensor
    _process: ForwardProcess

    def measured(self, schedule: NoiseSchedule) -> ForwardProcess:
        """All images; the schedule is all that differs from one call to the next."""
        return replace(self._process, schedule=schedule)

    def shown(self, schedule: NoiseSchedule) -> ForwardProcess:
        """Those that can be looked at."""
        return self.measured(schedule).first(SHOWN)


def load_images(name: str, data_dir: Path | None) -> Loaded:
    """Load a data set and draw the noise of its images; slow, for a thread.

    Raises:
        DataError: the data set is not there or damaged.
    """
    from engine.data import load
    from engine.denoising import mean_image
    from engine.forward import ForwardProcess
    from engine.schedule import NoiseSchedule

    dataset = load(name, data_dir=data_dir)
    process = ForwardProcess.of(dataset, NoiseSchedule.of(DiffusionConfig()), _MEASURED, _SEED)
    labels = process.labels[:SHOWN].tolist()
    names = tuple(dataset.class_names[label] for label in labels)
    return Loaded(name, names, dataset.class_names, mean_image(dataset), process)


def next_dataset(after: str, data_dir: Path | None) -> str:
    """The next data set found on this machine; the same when it is the only one."""
    names = [entry.name for entry in available(data_dir) if entry.found]
    at = names.index(after) if after in names else -1
    return names[(at + 1) % len(names)]
