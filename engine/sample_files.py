"""The files that drawing leaves: grid, film, and every picture where there are too many to show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.config import SamplingConfig
from engine.data.range import to_uint8
from engine.errors import NoRoomError, RunGoneError
from engine.images import Pixels, frame_indices, stretch, write_gif, write_png
from engine.runs.folder import Run
from engine.sample_shards import Shards, copy_whole, open_shards, write_labels
from engine.sampling import TrainedModel, chunks_of

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
        labels: beside it the classes that they were drawn of, int64 (N,), where each was of one.
    """

    png: Path
    gif: Path
    npy: Path | None = None
    labels: Path | None = None


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
    on_resume: Callable[[int], None] | None = None,
) -> SampleFiles:
    """Draw pictures and write the grid as PNG and the reverse process as GIF of 100 frames.

    More than `MAX_SHOWN` are kept in pieces as they are finished, see `engine.sample_shards`, and
    then go into one .npy, with their labels beside it: memory does not grow with their number, and
    after a kill the same call goes on.

    Args:
        out: the folder; the run's `samples` when None.
        stretched: stretch each picture to its own range, as the article displays them.
        on_step: told (timesteps done, timesteps in all), each a network call, with heun two.
        on_resume: given the number of pictures that are there already, where some are.

    Raises:
        RunError: the folder cannot be written, or another process is drawing the same.
    """
    trained.run.check_output("samples", out)
    if sampling.num <= MAX_SHOWN:
        frames = _draw(trained, sampling, seed, stretched, on_step, None)
        return save_samples(
            trained.run, frames, sampling, seed, trained.step, out=out, stretched=stretched
        )
    folder = trained.run.output_folder("samples", out)
    stem = sample_stem(sampling, seed, trained.step, stretched=stretched)
    png, gif, npy, beside = (
        folder / f"{stem}{end}" for end in (".png", ".gif", ".npy", ".labels.npy")
    )
    labels = _labels(trained, sampling)
    arguments = _arguments(trained, sampling, seed, stretched)
    with open_shards(
        *(folder, stem, arguments, sampling.num, trained.image_shape),
        shown=[png.name, gif.name],
    ) as shards:
        shards.check_room()
        if shards.done and on_resume:
            on_resume(shards.done)
        try:
            _draw_missing(trained, sampling, seed, stretched, on_step, shards)
            shards.merge(npy)
            if labels is not None:
                write_labels(beside, labels)
            for path in (png, gif):
                copy_whole(shards.folder / path.name, path)
        except NoRoomError as error:
            if not shards.done:
                raise
            raise NoRoomError(
                error.message,
                f"Free some space and give the same command again: {shards.done:,} of "
                f"{sampling.num:,} pictures are kept, and it goes on from there.",
                reason=error.reason,
            ) from None
        except RunGoneError as error:
            if not shards.done or error.now is None:
                raise
            raise RunGoneError(
                error.message,
                f"{error.hint}. {shards.done:,} of {sampling.num:,} pictures are kept in it, and "
                "`sample` goes on from there.",
                name=error.name,
                now=error.now,
            ) from None
    return SampleFiles(png, gif, npy, beside if labels is not None else None)


def _draw_missing(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    stretched: bool,
    on_step: Callable[[int, int], None] | None,
    shards: Shards,
) -> None:
    """Draw the pieces that are not there."""
    done = len(chunks_of(range(shards.done)))
    chunks = done + sum(len(chunks_of(indices)) for indices in shards.missing)
    for indices in list(shards.missing):
        finished: list[Pixels] = []
        here = len(chunks_of(indices))

        def step_of_all(step: int, total: int, before: int = done, here: int = here) -> None:
            if on_step:
                each = total // here
                on_step(before * each + step, chunks * each)

        frames = _draw(trained, sampling, seed, stretched, step_of_all, finished.append, indices)
        if not indices.start:
            save_samples(
                *(trained.run, frames, sampling, seed, trained.step),
                out=shards.folder,
                stretched=stretched,
            )
        shards.add(indices, np.concatenate(finished))
        done += here


def _arguments(
    trained: TrainedModel, sampling: SamplingConfig, seed: int, stretched: bool
) -> dict[str, Any]:
    """All that decides the pictures, to the bit."""
    weights = hashlib.sha256()
    for name, tensor in sorted(trained.model.state_dict().items()):
        weights.update(name.encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    diffusion = trained.config.diffusion.model_dump(mode="json")
    return {
        "step": trained.step,
        "weights": weights.hexdigest(),
        "model": trained.config.model.model_dump(mode="json"),
        "diffusion": diffusion,
        "sampling": sampling.model_dump(mode="json"),
        "seed": seed,
        "stretched": stretched,
        "class_names": list(trained.class_names),
        "image_shape": list(trained.image_shape),
        # The last bits of a sum differ from one of these to the other.
        "device": trained.device.type,
        "dtype": str(trained.dtype),
        "exact": trained.exact,
        "chunk": chunks_of(range(sampling.num))[0].stop,
        "torch": str(torch.__version__),
    }


def _labels(trained: TrainedModel, sampling: SamplingConfig) -> npt.NDArray[np.int64] | None:
    """The classes of all pictures; None where the network was not given one class for each."""
    labels = trained.labels(sampling, range(sampling.num)) if sampling.guidance_scale else None
    return None if labels is None else labels.numpy().astype(np.int64)


def _draw(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    stretched: bool,
    on_step: Callable[[int, int], None] | None,
    append: Callable[[Pixels], None] | None,
    pictures: range | None = None,
) -> list[Pixels]:
    """The frames of the pictures that are shown; all finished pictures go to `append`."""
    wanted = frame_indices(sampling.num_inference_steps)
    frames: dict[int, list[Pixels]] = {index: [] for index in wanted}

    def pixels(x: Tensor) -> Pixels:
        return stretch(x.cpu().numpy()) if stretched else to_uint8(x).cpu().numpy()

    for indices, step in trained.draw_in_chunks(sampling, seed, on_step, pictures):
        if indices.start < MAX_SHOWN and step.index in frames:
            frames[step.index].append(pixels(step.prev_sample))
        if append and step.index == step.num_steps - 1:
            append(pixels(step.prev_sample))
    return [np.concatenate(parts)[:MAX_SHOWN] for parts in frames.values() if parts]


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
    folder = run.output_folder("samples", out)
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
