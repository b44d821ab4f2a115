"""Drawing pictures from a trained run: the checkpoint, the noise of each picture, the files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.conditioning import Guided, condition
from engine.config import RunConfig, SamplingConfig
from engine.config import override_sampling as override_sampling
from engine.data.range import to_uint8
from engine.device import autocast, memory_format, resolve_device, resolve_precision
from engine.errors import CheckpointError
from engine.images import Pixels, frame_indices, stretch, write_gif, write_png
from engine.interventions import Descend, Draw
from engine.models import build_model
from engine.reverse import (
    Denoiser,
    ReverseStep,
    clip_x0,
    dynamic_threshold,
    reverse_process,
)
from engine.rng import sample_noise
from engine.runs.checkpoint import find_checkpoint
from engine.runs.folder import Run
from engine.samplers import SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps

# Pictures that go through the network together; more only costs memory.
CHUNK = 64
# Readable characters of a prompt in a file name.
_SLUG = 40


def draw_samples(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    prediction_type: str,
    seed: int,
    indices: Sequence[int],
    image_shape: tuple[int, int, int],
) -> Iterator[ReverseStep]:
    """The reverse process for the pictures `indices` of a seed.

    Picture i starts from its own noise and meets its own noise at every t, whatever the other
    indices are: a batch size never changes it.
    """

    def draw(purpose: str, t: int) -> Tensor:
        return sample_noise(seed, purpose, t, indices, image_shape, schedule.betas.device)

    timesteps = inference_timesteps(
        schedule.num_train_timesteps, sampling.num_inference_steps, sampling.timestep_spacing
    )
    descend = make_descent(denoiser, schedule, sampling, prediction_type, draw)
    return descend(draw("x_T", 0), timesteps, 0)


def make_descent(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    prediction_type: str,
    draw: Draw,
) -> Descend:
    """The reverse process with all decided but where it starts and where it goes."""

    def descend(x_t: Tensor, timesteps: Sequence[int], round_number: int) -> Iterator[ReverseStep]:
        # Round 0 keeps the plain name: a picture is the same whether or not it is intervened on.
        purpose = f"reverse{round_number or ''}"
        return reverse_process(
            denoiser,
            schedule,
            x_t,
            timesteps,
            partial(draw, purpose),
            prediction_type=prediction_type,
            sampler=sampling.sampler,
            options=SamplerOptions(sampling.variance_type, sampling.eta),
            limit_x0=x0_limit(sampling),
        )

    return descend


def x0_limit(sampling: SamplingConfig) -> Callable[[Tensor], Tensor] | None:
    """How the predicted x_0 is kept in range."""
    if sampling.thresholding:
        return partial(dynamic_threshold, ratio=sampling.dynamic_thresholding_ratio)
    return clip_x0 if sampling.clip_sample else None


def make_denoiser(
    model: nn.Module,
    class_names: Sequence[str],
    sampling: SamplingConfig,
    indices: Sequence[int],
    device: torch.device,
    *,
    class_conditional: bool,
    dtype: torch.dtype = torch.float32,
) -> Denoiser:
    """The network as the reverse process calls it, asked for the prompt's classes.

    Args:
        dtype: of the network's products; everything between its calls stays float32.

    Raises:
        ConfigError: the prompt names no class of the data set.
    """
    network = partial(_call_in, model, dtype)
    if not class_conditional:
        return network
    names = tuple(class_names)
    wanted = torch.tensor(list(indices), dtype=torch.int64, device=device)
    asked = condition(sampling.prompt, names, wanted, sampling.guidance_scale)
    return Guided(network, len(names), asked)


def _call_in(model: nn.Module, dtype: torch.dtype, x_t: Tensor, *conditions: Tensor) -> Tensor:
    with autocast(x_t.device, dtype):
        output: Tensor = model(x_t, *conditions)
    return output


@dataclass(frozen=True)
class TrainedModel:
    """The network of a checkpoint, ready to sample.

    Attributes:
        dtype: of the network's products: that of the training, which the pictures do not suffer
            from (docs/default-network.md).
    """

    run: Run
    config: RunConfig
    model: nn.Module
    schedule: NoiseSchedule
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    step: int
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return self.schedule.betas.device

    def denoiser(self, sampling: SamplingConfig, indices: Sequence[int]) -> Denoiser:
        """What predicts for the pictures `indices`, with the prompt and guidance of `sampling`.

        Raises:
            ConfigError: the prompt names no class of the data set.
        """
        return make_denoiser(
            self.model,
            self.class_names,
            sampling,
            indices,
            self.device,
            class_conditional=self.config.model.class_conditional,
            dtype=self.dtype,
        )

    def draw(
        self, sampling: SamplingConfig, seed: int, indices: Sequence[int]
    ) -> Iterator[ReverseStep]:
        return draw_samples(
            self.denoiser(sampling, indices),
            self.schedule,
            sampling,
            self.config.diffusion.prediction_type,
            seed,
            indices,
            self.image_shape,
        )


def load_trained(run: Run, *, which: str = "best", device: str = "auto") -> TrainedModel:
    """Load the EMA weights of a checkpoint.

    Args:
        which: `best`, `last` or a step number.

    Raises:
        CheckpointError: there is no such checkpoint, it does not verify, or its weights do not
            fit the run's config.
        DeviceError: the device is not there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = run.config()
    target = resolve_device(device)
    found = find_checkpoint(run, which)
    try:
        state = found.state()
        channels, height, width = state["image_shape"]
        class_names = tuple(str(name) for name in state["class_names"])
        model = build_model(config, (channels, height, width), len(class_names))
        model.load_state_dict(load_file(found.weights_path))
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # torch names every tensor that does not fit, a line each; one says enough.
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"Checkpoint {found.path.name} does not fit {run.name}'s config: {reason}",
            "Was config.toml changed after the training?",
        ) from None
    dtype = resolve_precision(config.training.precision, target)
    wanted = memory_format(config.model.name, dtype, target)
    return TrainedModel(
        run,
        config,
        model.to(target).to(memory_format=wanted).eval().requires_grad_(False),
        NoiseSchedule.of(config.diffusion).to(target),
        (channels, height, width),
        class_names,
        found.step,
        dtype,
    )


def sample_pixels(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Finished pictures in chunks, so that memory does not grow with their number.

    Args:
        on_step: told (network calls done, network calls in all).

    Yields:
        uint8 (n, C, H, W) on the CPU, and the labels asked for, int64 (n,), or None where the
        network knows no classes or the prompt mixes several.
    """
    chunks = [range(i, min(i + CHUNK, sampling.num)) for i in range(0, sampling.num, CHUNK)]
    total = len(chunks) * sampling.num_inference_steps
    for number, indices in enumerate(chunks):
        denoiser = trained.denoiser(sampling, indices)
        step = None
        for step in trained.draw(sampling, seed, indices):
            if on_step:
                on_step(number * step.num_steps + step.index + 1, total)
        assert step is not None
        labels = None
        if isinstance(denoiser, Guided) and len(denoiser.asked.parts) == 1:
            labels = denoiser.asked.parts[0][0].cpu()
        yield to_uint8(step.prev_sample).cpu(), labels


@dataclass(frozen=True)
class SampleFiles:
    """What `write_samples` left on disk."""

    png: Path
    gif: Path


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

    Args:
        out: the folder; the run's `samples` when None.
        stretched: stretch each picture to its own range, as the article displays them.
        on_step: told (network calls done, network calls in all).

    Raises:
        RunError: the folder cannot be written.
    """
    num_steps = sampling.num_inference_steps
    wanted = frame_indices(num_steps)
    chunks = [range(i, min(i + CHUNK, sampling.num)) for i in range(0, sampling.num, CHUNK)]
    frames: list[list[Pixels]] = [[] for _ in wanted]

    def pixels(x: Tensor) -> Pixels:
        return stretch(x.cpu().numpy()) if stretched else to_uint8(x).cpu().numpy()

    for number, indices in enumerate(chunks):
        frame = 0
        for step in trained.draw(sampling, seed, indices):
            if step.index == wanted[frame]:
                frames[frame].append(pixels(step.prev_sample))
                frame += 1
            if on_step:
                on_step(number * num_steps + step.index + 1, len(chunks) * num_steps)

    stacked = [np.concatenate(parts) for parts in frames]
    return save_samples(
        trained.run, stacked, sampling, seed, trained.step, out=out, stretched=stretched
    )


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
    from engine.runs import io

    folder = out or run.samples_path
    with io.explained("create", folder):
        folder.mkdir(parents=True, exist_ok=True)
    stem = sample_stem(sampling, seed, step, stretched=stretched)
    files = SampleFiles(folder / f"{stem}.png", folder / f"{stem}.gif")
    about: dict[str, Any] = {
        "run": run.name,
        "step": step,
        "seed": seed,
        "stretched": stretched,
        **sampling.model_dump(),
    }
    write_png(files.png, frames[-1], about=about)
    write_gif(files.gif, frames)
    return files
