"""Our loops as a user runs them: the real Trainer on a real run folder, the real sampler.

Previews and checkpoints are off while the time is taken; they cost what their intervals say, and
the article has none. Logging to disk is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from engine.bench.timing import now
from engine.config import RunConfig, make_config
from engine.events import Event, Stepped
from engine.runs.folder import create_run
from engine.sampling import CHUNK, TrainedModel, load_trained
from engine.train import Trainer

# Longer than any benchmark, so that nothing of the end of a training is measured.
_STEPS = 10_000_000


def standard_configs(dataset: str, dataset_size: int) -> Mapping[str, RunConfig]:
    """The networks that are measured, each with its preset's own batch size and precision.

    The article's also in the precision that the hardware is made for, which its own loop does not
    know of and ours chooses with `--precision auto`.
    """

    def config(preset: str, **training: str) -> RunConfig:
        fixed = {"steps": _STEPS, "checkpoint_every": _STEPS, "preview_every": 0}
        return make_config(
            preset,
            dataset_size=dataset_size,
            data={"dataset": dataset},
            training={**fixed, **training},
        )

    return {
        "article": config("article"),
        "article, auto": config("article", precision="auto"),
        "default": config("default"),
    }


class OurLoop:
    """A Trainer that is pulled a few steps at a time. Close it before its folder goes."""

    def __init__(
        self, config: RunConfig, runs_dir: Path, device: torch.device, data_dir: Path | None
    ) -> None:
        self.run = create_run(runs_dir, config, command=["ddpm-tui", "bench"])
        self.trainer = Trainer(self.run, device=str(device), data_dir=data_dir)
        self.events = iter(self.trainer)

    def steps(self, count: int) -> Iterator[Event]:
        """The events of the next steps, up to the last one's Stepped."""
        for event in self.events:
            yield event
            if isinstance(event, Stepped):
                count -= 1
                if count == 0:
                    return

    def __call__(self, count: int) -> int:
        """Train on, wait for the device; the images that went through."""
        for _ in self.steps(count):
            pass
        now(self.trainer.device)
        return count * self.trainer.config.data.batch_size

    def trained(self) -> TrainedModel:
        """The network of this moment, by way of a checkpoint, as `ddpm-tui sample` loads it."""
        self.trainer.checkpoint()
        return load_trained(self.run, which="last", device=str(self.trainer.device))

    def close(self) -> None:
        self.events.close()


def our_sampling(trained: TrainedModel, num: int) -> Callable[[], Iterator[object]]:
    """Draws `num` pictures as the run's config says; yields after every step.

    The chunks, which `sample` draws one after the other, go side by side here, so that any few
    steps cost what they do in the whole.
    """
    chunks = [range(start, min(start + CHUNK, num)) for start in range(0, num, CHUNK)]

    def draw() -> Iterator[object]:
        draws = [trained.draw(trained.config.sampling, 0, chunk) for chunk in chunks]
        yield from zip(*draws, strict=True)

    return draw
