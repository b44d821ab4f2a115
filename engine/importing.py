"""The article's saved weights as a run: sampled from, measured and looked at like any other."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import RunConfig, make_config
from engine.data import sources
from engine.errors import ConfigError, DataError
from engine.models.article import IMAGE_SHAPE, ArticleUNet
from engine.runs import io
from engine.runs.checkpoint import save_checkpoint
from engine.runs.folder import Run, create_run
from engine.state_dict import read_state_dict
from engine.tensors import check_fit, shapes_of

# The article trains on it, and calls its file after it.
DATASET = "fashion-mnist"
# The network is an attribute of the article's MyDDPM, which it saves.
_PREFIX = "network."
_TABLE = "time_embed.weight"


def import_article(
    path: Path, runs_dir: Path, *, name: str | None = None, dataset: str = DATASET
) -> Run:
    """Make a run of the preset `article` with the weights of a file, finished at step 0.

    Args:
        path: what `torch.save(ddpm.state_dict(), path)` wrote, or the same of its network alone.
        name: of the run; a number if None.
        dataset: what it was trained on, which the file does not tell.

    Raises:
        DataError: the file holds anything but the article's weights.
        ConfigError: the name is not a run name, or the data set is unknown.
        RunError: the run cannot be written.
    """
    source = sources.get(dataset)
    saved, data = read_state_dict(path)
    found = {name.removeprefix(_PREFIX): tensor for name, tensor in saved.items()}
    config = _config(path, dataset, source.train_count, _timesteps(found))
    weights = _articles(path, found, config.diffusion.num_train_timesteps)
    run = create_run(runs_dir, config, name=name)
    state: dict[str, Any] = {
        "step": 0,
        "eval_loss": None,
        "loss": None,
        "elapsed": 0.0,
        "image_shape": IMAGE_SHAPE,
        "class_names": source.class_names,
        "parameters": sum(value.numel() for value in weights.values()),
        "rollbacks": 0,
        "scaler": {},
    }
    try:
        save_checkpoint(run, 0, {"model": weights}, state)
    except BaseException:
        io.remove(run.path)  # a run without weights is of no use
        raise
    run.log(f"imported from {path.name!r}, SHA-256 {hashlib.sha256(data).hexdigest()}")
    run.write_status(replace(run.status(), state="finished", reason=f"imported from {path.name}"))
    return run


def _timesteps(found: dict[str, Tensor]) -> int:
    """How many timesteps there are, which only the table of their embeddings tells."""
    table = found.get(_TABLE)
    return len(table) if table is not None and table.dim() == 2 else 1000


def _articles(path: Path, found: dict[str, Tensor], timesteps: int) -> dict[str, Tensor]:
    """The tensors in the order of `ArticleUNet`, float32 and finite.

    Raises:
        DataError: they are of another network, or no weights.
    """
    wanted = shapes_of(ArticleUNet)
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    shapes[_TABLE] = (timesteps, *shapes[_TABLE][1:])
    try:
        # By shape first: a small file can say that it holds a tensor of any size.
        check_fit({name: tuple(tensor.shape) for name, tensor in found.items()}, shapes)
        for name, tensor in found.items():
            if not tensor.is_floating_point():
                raise ValueError(f"{name} is of {tensor.dtype}, not of numbers with a point")
            if not bool(torch.isfinite(tensor.float()).all()):
                raise ValueError(f"{name} has values that are not finite")
    except ValueError as error:
        raise DataError(
            f"{path} does not hold the article's network: {error}",
            "Import what its MyDDPM, or its MyUNet, has as state_dict().",
        ) from None
    return {name: found[name].float().contiguous() for name in shapes}


def _config(path: Path, dataset: str, train_count: int, timesteps: int) -> RunConfig:
    try:
        return make_config(
            "article",
            dataset_size=train_count,
            data={"dataset": dataset},
            diffusion={"num_train_timesteps": timesteps},
        )
    except ConfigError as error:
        raise DataError(f"{path} has embeddings of {timesteps} timesteps: {error}") from None
