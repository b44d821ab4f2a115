"""What evaluating keeps in the user's cache, so that it is computed only once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from engine.runs import io


def cached(kind: str, name: str) -> Path:
    """Where the tensors of that name are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("ddpm-tui") / kind / f"{name}.safetensors"


def fingerprint(*parts: Tensor) -> str:
    """The first digits of the SHA-256 of the content of tensors."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part.cpu().contiguous().numpy().data)
    return content.hexdigest()[:8]


def write_tensors(path: Path, values: Mapping[str, Tensor]) -> None:
    """Write tensors, whole or not at all.

    Raises:
        RunError: the cache cannot be written.
    """
    from safetensors.torch import save

    io.make_folder(path.parent, parents=True)
    io.write_atomic(path, save({key: value.cpu().contiguous() for key, value in values.items()}))
