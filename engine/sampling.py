"""Drawing pictures from a trained run: the checkpoint, the noise of each picture, the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from engine.config import RunConfig, SamplingConfig, validate
from engine.data.range import to_uint8
from engine.device import resolve_device
from engine.errors import CheckpointError
from engine.images import Pixels, frame_indices, stretch, write_gif, write_png
from engine.models import build_model
from engine.reverse import Denoiser, ReverseStep, reverse_process
from engine.rng import sample_noise
from engine.runs.checkpoint import find_checkpoint
from engine.runs.folder import Run
from engine.samplers import SamplerOptions
from engine.schedule import NoiseSchedule, inference_timesteps

# Pictures that go through the network together; more only costs memory.
CHUNK = 64


def draw_samples(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    seed: int,
    indices: Sequence[int],
    image_shape: tuple[int, int, int],
) -> Iterator[ReverseStep]:
    """The reverse process for the pictures `indices` of a seed.

    Picture i starts from its own noise and meets its own noise at every t, whatever the other
    indices are: a batch size never changes it.
    """
    device = schedule.betas.device
    x_T = sample_noise(seed, "x_T", 0, indices, image_shape, device)
    timesteps = inference_timesteps(
        schedule.num_train_timesteps, sampling.num_inference_steps, sampling.timestep_spacing
    )
    return reverse_process(
        denoiser,
        schedule,
        x_T,
        timesteps,
        lambda t: sample_noise(seed, "reverse", t, indices, image_shape, device),
        sampler=sampling.sampler,
        options=SamplerOptions(sampling.variance_type, sampling.eta),
        clip_sample=sampling.clip_sample,
    )


@dataclass(frozen=True)
class TrainedModel:
    """The network of a checkpoint, ready to sample."""

    run: Run
    config: RunConfig
    model: nn.Module
    schedule: NoiseSchedule
    image_shape: tuple[int, int, int]
    step: int

    def draw(
        self, sampling: SamplingConfig, seed: int, indices: Sequence[int]
    ) -> Iterator[ReverseStep]:
        return draw_samples(self.model, self.schedule, sampling, seed, indices, self.image_shape)


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
        channels, height, width = found.state()["image_shape"]
        model = build_model(config, (channels, height, width))
        model.load_state_dict(load_file(found.weights_path))
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # torch names every tensor that does not fit, a line each; one says enough.
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"Checkpoint {found.path.name} does not fit {run.name}'s config: {reason}",
            "Was config.toml changed after the training?",
        ) from None
    diffusion = config.diffusion
    schedule = NoiseSchedule.create(
        diffusion.beta_schedule,
        diffusion.num_train_timesteps,
        diffusion.beta_start,
        diffusion.beta_end,
    )
    return TrainedModel(
        run,
        config,
        model.to(target).eval().requires_grad_(False),
        schedule.to(target),
        (channels, height, width),
        found.step,
    )


@dataclass(frozen=True)
class SampleFiles:
    """What `write_samples` left on disk."""

    png: Path
    gif: Path


def override_sampling(config: RunConfig, overrides: Mapping[str, Any]) -> SamplingConfig:
    """The run's `[sampling]` table with some fields replaced.

    Raises:
        ConfigError: a value is out of bounds, or there are more steps than timesteps.
    """
    values = {**config.model_dump(), "sampling": {**config.sampling.model_dump(), **overrides}}
    return validate(values).sampling


def sample_stem(sampling: SamplingConfig, seed: int, step: int, *, stretched: bool = False) -> str:
    """The file name, without its ending, that says how the pictures were made."""
    kind = sampling.variance_type if sampling.sampler == "ddpm" else f"eta{sampling.eta:g}"
    stem = (
        f"{sampling.sampler}-{kind}-{sampling.num_inference_steps}steps"
        f"-{sampling.num}x-seed{seed}-step{step}"
    )
    return stem + ("-stretched" if stretched else "")


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
