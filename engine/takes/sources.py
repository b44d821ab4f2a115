"""What a take works on: the pictures it starts from, and the masks it paints by."""

from __future__ import annotations

import hashlib
import io as bytes_io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.data.dataset import load
from engine.data.pictures import NAMED_MASKS, load_mask, load_picture, named_mask
from engine.data.range import to_unit
from engine.errors import ConfigError, DataError, RunError
from engine.images import read_png
from engine.runs import io
from engine.runs.folder import Run
from engine.sampling import TrainedModel
from engine.takes.recipe import FromData, FromFile, FromNoise, Origin


@dataclass(frozen=True)
class Given:
    """What a take starts from.

    Attributes:
        images: float32 (N, C, H, W) in [−1, 1], on the run's device; (1, 0, 0, 0) for noise.
        labels: the class of each, None where nobody knows.
    """

    images: Tensor
    labels: tuple[int | None, ...]


def load_origin(trained: TrainedModel, origin: Origin, data_dir: Path | None = None) -> Given:
    """The pictures of an origin.

    Raises:
        ConfigError: there is no such held-out picture, or none of that number in the file.
        DataError, RunError: the data set or the file cannot be read, or has another size.
    """
    match origin:
        case FromNoise():
            return Given(torch.empty(1, 0, 0, 0), (None,))
        case FromData(indices):
            images, labels = _held_out(trained.config.data.dataset, indices, data_dir)
            return Given(to_unit(images).to(trained.device), labels)
        case FromFile(name, picture):
            image = _picture_of(find_file(trained.run, name), picture, trained.image_shape)
            return Given(to_unit(image)[None].to(trained.device), (None,))


def find_file(run: Run, name: str) -> Path:
    """A file that a recipe names: as it is, or else in the run's `samples`."""
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute():
        return path
    for folder in (run.samples_path, masks_path(run)):
        if (folder / path).exists():
            return folder / path
    return path


def masks_path(run: Run) -> Path:
    """Where masks that were painted on the screen are kept."""
    return run.samples_path / "masks"


def save_mask(run: Run, repaint: npt.NDArray[np.bool_]) -> str:
    """Keep a mask with the run, under a name that follows from what it shows.

    Args:
        repaint: (H, W), True where to paint.

    Returns:
        the name that `Inpaint.mask` takes.

    Raises:
        ConfigError: there is nothing to paint.
        RunError: the folder cannot be written.
    """
    from PIL import Image

    if not repaint.any():
        raise ConfigError("the mask is empty", "Mark at least one pixel that is to be repainted.")
    pixels = np.where(repaint, 255, 0).astype(np.uint8)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:12]
    path = masks_path(run) / f"mask-{digest}.png"
    if not path.exists():
        run.folder_for("samples", "masks")
        buffer = bytes_io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        io.write_atomic(path, buffer.getvalue())
    return path.name


def read_mask(run: Run, name: str, image_shape: tuple[int, int, int]) -> Tensor:
    """bool (H, W), True where to paint: a mask by its name, or a file.

    Raises:
        DataError: the file cannot be read, has another size, or nothing to paint.
    """
    _, height, width = image_shape
    if name in NAMED_MASKS:
        return named_mask(name, height, width)
    return load_mask(find_file(run, name), height, width)


# A take on the screen is performed anew from every turn, and verifying a data set takes 0.3 s.
@lru_cache(maxsize=4)
def _held_out(
    dataset: str, indices: tuple[int, ...], data_dir: Path | None
) -> tuple[Tensor, tuple[int, ...]]:
    """Held-out pictures, uint8 (N, C, H, W), and their labels."""
    data = load(dataset, data_dir=data_dir)
    for index in indices:
        _check_there(index, len(data.test_images), f"held-out picture of {data.name}")
    chosen = list(indices)
    return data.test_images[chosen], tuple(data.test_labels[chosen].tolist())


def _picture_of(path: Path, number: int, image_shape: tuple[int, int, int]) -> Tensor:
    """uint8 (C, H, W): a picture of one of our grids or of an .npy, or a file that is one picture.

    Raises:
        ConfigError: there are not so many pictures in it.
        DataError: it cannot be read, or its pictures are of another size.
    """
    if path.suffix == ".npy":
        images = _read_npy(path)
    else:
        try:
            images, _ = read_png(path)
        except RunError:
            images = load_picture(path, image_shape)[None].numpy()
    _check_there(number, len(images), f"picture in {path.name}")
    if images.shape[1:] != image_shape:
        raise DataError(
            f"{path} has pictures of {images.shape[1:]}, and this run's are {image_shape} "
            "(channels, height, width)",
            "Take pictures of a run with the same data set.",
        )
    return torch.from_numpy(np.array(images[number]))


def _read_npy(path: Path) -> npt.NDArray[np.uint8]:
    try:
        # Not np.load, which takes pickles and archives for arrays.
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        raise DataError(f"Cannot read the pictures {path}: {error}") from None
    if images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(
            f"{path} holds {images.dtype} {images.shape}, not pictures",
            "It has to be uint8 (N, C, H, W), as `ddpm-tui sample` writes it.",
        )
    pictures: npt.NDArray[np.uint8] = images
    return pictures


def _check_there(index: int, count: int, what: str) -> None:
    if index >= count:
        raise ConfigError(f"There is no {what} of number {index}", f"There are {count:,}, from 0.")
