"""The files that drawing leaves: grid, film, and every picture where there are too many to show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from engine.config import SamplingConfig
from engine.data.range import to_uint8
from engine.images import Pixels, frame_indices, npy_writer, stretch, write_gif, write_png
from engine.runs import io
from engine.runs.folder import Run
from engine.sampling import TrainedModel

# A grid and a film of more would be too large to look at, and would be kept in memory meanwhile.
MAX_SHOWN = 256
# Readable characters of a prompt in a file name.
_SLUG = 40


@dataclass(frozen=True)
class SampleFiles:
    """What drawing left on disk.

    Attributes:
        png, gif: the grid and the reverse process of the first `MAX_SHOWN` pictures.
        npy: all pictures, uint8 (N, C, H, W), where there are more than that; else None.
    """

    png: Path
    gif: Path
    npy: Path | None = None


def sample_stem(sampling: SamplingConfig, seed: int, step: int, *, stretched: bool = False) -> str:
    """The file name, without its ending, that says how the pictures were made."""
    kinds = {"ddpm": sampling.variance_type, "ddim": f"eta{sampling.eta:g}"}
    words = [sampling.sampler, kinds.get(sampling.sampler), f"{sampling.num_inference_steps}steps"]
    if sampling.timestep_spacing != SamplingConfig.model_fields["timestep_spacing"].default:
        words.append(sampling.timestep_spacing)
    if sampling.thresholding:
        words.append(f"thresholding{sampling.dynamic_thresholding_ratio:g}")
    elif not sampling.clip_sample:
        words.append("noclip")
    if sampling.prompt.strip():
        words.append(_slug(sampling.prompt))
    if sampling.guidance_scale != 1:
        words.append(f"guidance{sampling.guidance_scale:g}")
    words += [f"{sampling.num}x", f"seed{seed}", f"step{step}"]
    return "-".join(word for word in (*words, "stretched" if stretched else None) if word)


def _slug(prompt: str) -> str:
    """A prompt as a part of a file name: what is safe of it to read, and a hash of the whole."""
    readable = re.sub(r"[^a-z0-9.]+", "-", prompt.casefold()).strip("-.")[:_SLUG].rstrip("-.")
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{readable}-{digest}" if readable else digest


def write_samples(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    *,
    out: Path | None = None,
    stretched: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> SampleFiles:
    """Draw pictures and write the grid as PNG and the reverse process as GIF of 100 frames.

    More than `MAX_SHOWN` go into one .npy as they are finished, so that memory does not grow with
    their number.

    Args:
        out: the folder; the run's `samples` when None.
        stretched: stretch each picture to its own range, as the article displays them.
        on_step: told (timesteps done, timesteps in all), each a network call, with heun two.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = out or trained.run.folder_for("samples")
    if sampling.num <= MAX_SHOWN:
        frames = _draw(trained, sampling, seed, stretched, on_step, None)
        return save_samples(
            trained.run, frames, sampling, seed, trained.step, out=out, stretched=stretched
        )
    _make(folder)
    stem = sample_stem(sampling, seed, trained.step, stretched=stretched)
    npy = folder / f"{stem}.npy"
    with npy_writer(npy, (sampling.num, *trained.image_shape)) as append:
        frames = _draw(trained, sampling, seed, stretched, on_step, append)
    files = save_samples(
        trained.run, frames, sampling, seed, trained.step, out=out, stretched=stretched
    )
    return SampleFiles(files.png, files.gif, npy)


def _draw(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    stretched: bool,
    on_step: Callable[[int, int], None] | None,
    append: Callable[[Pixels], None] | None,
) -> list[Pixels]:
    """The frames of the pictures that are shown; all finished pictures go to `append`."""
    wanted = frame_indices(sampling.num_inference_steps)
    frames: dict[int, list[Pixels]] = {index: [] for index in wanted}

    def pixels(x: Tensor) -> Pixels:
        return stretch(x.cpu().numpy()) if stretched else to_uint8(x).cpu().numpy()

    for indices, step in trained.draw_in_chunks(sampling, seed, on_step):
        if indices.start < MAX_SHOWN and step.index in frames:
            frames[step.index].append(pixels(step.prev_sample))
        if append and step.index == step.num_steps - 1:
            append(pixels(step.prev_sample))
    return [np.concatenate(parts)[:MAX_SHOWN] for parts in frames.values()]


def _make(folder: Path) -> None:
    io.make_folder(folder, parents=True)


def save_samples(
    run: Run,
    frames: Sequence[Pixels],
    sampling: SamplingConfig,
    seed: int,
    step: int,
    *,
    out: Path | None = None,
    stretched: bool = False,
) -> SampleFiles:
    """Write finished frames (each (N, C, H, W) uint8, the last one the result) as PNG and GIF."""
    folder = out or run.folder_for("samples")
    _make(folder)
    stem = sample_stem(sampling, seed, step, stretched=stretched)
    files = SampleFiles(folder / f"{stem}.png", folder / f"{stem}.gif")
    about: dict[str, Any] = {
        "run": run.name,
        "step": step,
        "seed": seed,
        "stretched": stretched,
        **sampling.model_dump(),
        "num": len(frames[-1]),  # in this picture
    }
    write_png(files.png, frames[-1], about=about)
    write_gif(files.gif, frames)
    return files
