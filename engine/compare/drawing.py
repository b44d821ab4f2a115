"""Pictures of several runs from the same seeds, a run after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.config import SamplingConfig, override_sampling
from engine.data.range import to_uint8
from engine.images import Pixels
from engine.runs.folder import Run
from engine.sampling import load_trained

# Enough to see what a model does, few enough for eight of them on a CPU.
PICTURES = 16


@dataclass(frozen=True, eq=False)
class Drawn:
    """The pictures of a run after some steps of the reverse process.

    Attributes:
        step: of the checkpoint.
        done, of: steps of the reverse process.
        pixels: uint8 (N, C, H, W); finished when `done` is `of`.
    """

    run: Run
    step: int
    seed: int
    sampling: SamplingConfig
    done: int
    of: int
    pixels: Pixels


def draw_run(
    run: Run,
    seed: int,
    *,
    like: SamplingConfig | None = None,
    which: str = "best",
    num: int = PICTURES,
    device: str = "auto",
) -> Iterator[Drawn]:
    """Draw the pictures 0 … num − 1 of a seed from a run.

    Runs of one image size start from the same noise: it follows from the seed and the index.

    Args:
        like: how to draw; the run's own way when None.
        which: `best`, `last` or a step number.

    Yields:
        Every step of the reverse process.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not verify.
        ConfigError: the run cannot be drawn from in that way, with fewer timesteps for instance.
        DeviceError: the device is not there, or has too little memory.
    """
    config = run.config()
    way = (like or config.sampling).model_dump(exclude={"num"})
    sampling = override_sampling(config, {**way, "num": num})
    trained = load_trained(run, which=which, device=device)
    steps = trained.draw(sampling, seed, range(num))
    while True:
        # Not around the yield: whoever pulls may do something else in between.
        with torch.inference_mode():
            step = next(steps, None)
            if step is None:
                return
            pixels = to_uint8(step.prev_sample).cpu().numpy()
        yield Drawn(run, trained.step, seed, sampling, step.index + 1, step.num_steps, pixels)
