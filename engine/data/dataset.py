"""A data set as uint8 tensors on the device.

Everything is uploaded once and stays there as bytes: 60,000 pictures of 28×28 take 47 MB. A batch
is then a gather and a map to [−1, 1] on the device, with no loader processes and no copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from engine.data import sources
from engine.data.range import to_unit
from engine.data.verify import read_verified


# Two data sets are the same object or they are not: comparing tensors field by field means nothing.
@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set on a device.

    Attributes:
        name: its name, as in `sources.SOURCES`.
        origin: where its files were found, for a person: a folder, or "built in".
        class_names: the name of each label.
        images: training pictures, uint8 (N, C, H, W) in [0, 255].
        labels: their labels, int64 (N,), in [0, len(class_names)).
        test_images: held-out pictures, uint8 (M, C, H, W); never trained on.
        test_labels: their labels, int64 (M,).
    """

    name: str
    origin: str
    class_names: tuple[str, ...]
    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    test_images: Tensor = field(repr=False)
    test_labels: Tensor = field(repr=False)

    def __len__(self) -> int:
        """The number of training pictures."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every picture."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.images.device

    def batch(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Gather training pictures and normalise them, on the device.

        Args:
            indices: (B,), each in [0, N), on any device.

        Returns:
            float32 (B, C, H, W) in [−1, 1].

        Raises:
            IndexError: an index is out of range (on a GPU it is an assertion on the device).
        """
        indices = torch.as_tensor(indices, dtype=torch.int64).to(self.device, non_blocking=True)
        return to_unit(self.images[indices])


def load(
    name: str, *, data_dir: Path | str | None = None, device: torch.device | str = "cpu"
) -> Dataset:
    """Find a data set on this machine, verify its files and put it on a device.

    Nothing is downloaded; that is `download.download`, and only when a person asks for it.

    Args:
        name: one of `sources.SOURCES`.
        data_dir: a folder to search first.
        device: where the tensors go.

    Raises:
        ConfigError: no data set has that name.
        DataError: the data set is not on this machine, or a file of it is truncated or altered.
    """
    source = sources.get(name)
    located = sources.find(name, data_dir)

    def on_device(file: str) -> Tensor:
        return torch.from_numpy(read_verified(source, file, located.files[file])).to(device)

    return Dataset(
        name=name,
        origin=located.origin,
        class_names=source.class_names,
        images=on_device(sources.TRAIN_IMAGES).unsqueeze(1),
        labels=on_device(sources.TRAIN_LABELS).long(),
        test_images=on_device(sources.TEST_IMAGES).unsqueeze(1),
        test_labels=on_device(sources.TEST_LABELS).long(),
    )
