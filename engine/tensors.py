"""Weights from a safetensors file of anybody's: of a network's own names, shapes and types, or not
read at all. A header may announce anything, and a config may describe a network of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.runs.outside import open_file

# Names in a message; a file may have thousands of wrong ones.
_LISTED = 3


def shapes_of(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """The state dict of a network that takes no memory: its tensors have a shape and no values."""
    with torch.device("meta"):
        return build().state_dict()


def read_fitting(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU.

    Args:
        wanted: what there has to be, by name; of each the shape and the type count.

    Raises:
        OSError: the file cannot be read.
        SafetensorError: it is not safetensors.
        ValueError: it holds other tensors; the text names the first of them.
    """
    from safetensors import safe_open

    open_file(path).close()  # the library would wait for a pipe
    with safe_open(path, "pt") as file:
        names = file.keys()
        found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        check_fit(found, {name: tuple(tensor.shape) for name, tensor in wanted.items()})
        tensors = {name: file.get_tensor(name) for name in wanted}
    for name, tensor in tensors.items():
        if tensor.dtype != wanted[name].dtype:
            raise ValueError(f"{name} is of {tensor.dtype}, not of {wanted[name].dtype}")
    return tensors


def check_fit(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError unless both have the same names, each of one shape."""
    for what, names in (
        ("missing", [name for name in wanted if name not in found]),
        ("too many", [name for name in found if name not in wanted]),
    ):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            raise ValueError(f"{what}: {', '.join(names[:_LISTED])}{more}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ValueError(f"{name} is {_text(found[name])}, not {_text(shape)}")


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
