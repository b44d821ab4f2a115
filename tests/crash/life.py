"""The life of a run, from its making to its export, told deed by deed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import engine.train
from engine.config import RunConfig, SamplingConfig, make_config
from engine.evaluate.evaluation import Evaluation, Figures
from engine.evaluate.kernel import KernelDistance
from engine.evaluate.memorisation import Memorisation, Pair
from engine.evaluate.pixels import PixelDistances
from engine.evaluate.results import write_evaluation
from engine.events import CheckpointSaved, Event, Stepped, Waiting
from engine.export import FILES, export_run
from engine.runs import keeping
from engine.runs.checkpoint import find_checkpoint, list_checkpoints
from engine.runs.folder import Run, create_run, list_runs
from engine.sample_files import save_samples
from engine.sampling import load_trained
from engine.takes.favourites import add_favourite, list_favourites, remove_favourite
from engine.takes.files import ENDING, read_recipe, save_take
from engine.takes.recipe import Recipe, Renoise
from engine.takes.sources import save_mask
from engine.takes.versus import lay_lanes, perform_lanes
from engine.train import Trainer

STEPS = 5


def small_config(**training: int) -> RunConfig:
    """Trains in milliseconds a step; without more settings a checkpoint every two."""
    return make_config(
        dataset_size=10_000,
        data={"batch_size": 1},
        diffusion={"num_train_timesteps": 8},
        model={
            "name": "dit",
            "class_conditional": False,
            "patch_size": 14,
            "hidden_size": 8,
            "attention_head_dim": 4,
            "num_layers": 1,
        },
        training={
            "steps": STEPS,
            "optimizer": "adamw",
            "precision": "fp32",
            "log_every": 1,
            "checkpoint_every": 2,
            "keep_checkpoints": 1,
            "preview_every": 4,
            "preview_raw": False,
            **training,
        },
        preview={"num": 1, "sampler": "ddim", "num_inference_steps": 1},
    )


_FIGURES = Figures(
    2, 1.0, KernelDistance(1.0, 0.5, 1.5, 1, 2), 0.5, 0.5, 2, PixelDistances(*[0.1] * 7)
)
EVALUATION = Evaluation(
    extractor="fashion-mnist-v1",
    dataset="fashion-mnist-10k",
    reference_n=10_000,
    generated=_FIGURES,
    floor=None,
    at_floor=None,
    class_source="predicted",
    classes=(),
    memorisation=Memorisation(1.0, 1.0, 0.1, 0.0, 0.0, (Pair(0, 0, 1.0),)),
    accuracy=None,
    floor_accuracy=None,
    warnings=(),
)


@dataclass(frozen=True)
class Promise:
    """What has been said to be done, and must be there whatever happens next."""

    made: bool = False
    checkpoint: int = 0
    tags: tuple[str, ...] = ()
    favourites: int = 0
    taken: bool = False
    measured: bool = False
    exported: bool = False


@dataclass
class Life:
    """A run and what is done to it.

    Attributes:
        events: those of its trainings.
        promise: what has been done so far.
    """

    runs_dir: Path
    config: RunConfig = field(default_factory=small_config)
    on_wait: Callable[[], object] = lambda: None
    on_promise: Callable[[Promise], object] = lambda _: None
    events: list[Event] = field(default_factory=list)
    promise: Promise = Promise()

    run: Run = field(init=False)
    trashed: keeping.Trashed = field(init=False)

    def deeds(self) -> list[Callable[[], None]]:
        """In order; one that failed can be done again."""
        return [
            self.make,
            self.train_a_while,
            self.train_to_the_end,
            self.tag,
            self.rename,
            self.like,
            self.draw,
            self.take,
            self.measure,
            self.delete,
            self.restore,
            self.export,
        ]

    def _promise(self, **done: Any) -> None:
        self.promise = replace(self.promise, **done)
        self.on_promise(self.promise)

    def make(self) -> None:
        self.run = create_run(self.runs_dir, self.config, command=["ddpm-tui", "train"])
        self._promise(made=True)

    def train_a_while(self) -> None:
        """Paused and stopped between two checkpoints."""
        trainer = Trainer(self.run, device="cpu")
        with closing(iter(trainer)) as events:
            for event in events:
                self._heard(event)
                if isinstance(event, Stepped) and event.step == 1:
                    trainer.pause()
                    trainer.unpause()
                if isinstance(event, Stepped) and event.step >= 3:
                    return

    def train_to_the_end(self) -> None:
        for event in Trainer(self.run, device="cpu"):
            self._heard(event)

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, CheckpointSaved):
            self._promise(checkpoint=event.step)
        if isinstance(event, Waiting):
            self.on_wait()

    def look(self) -> None:
        """Find the run, as a person does after an error: a dying disk may leave it either name."""
        if self.promise.made and not self.run.path.exists():
            self.run = next(iter(list_runs(self.runs_dir)), self.run)

    def tag(self) -> None:
        keeping.change_tags(self.run, add=["kept"])
        self._promise(tags=("kept",))

    def rename(self) -> None:
        if self.run.name != "renamed":
            self.run = keeping.rename(self.run, "renamed")

    def like(self) -> None:
        """Two pictures, of which one is forgotten again, and a mask."""
        recipe = Recipe(self.run.name, STEPS, SamplingConfig(num=2, num_inference_steps=4))
        first = add_favourite(self.run, recipe, 0, np.zeros((1, 4, 4), np.uint8))
        add_favourite(self.run, recipe, 1)
        remove_favourite(self.run, first)
        save_mask(self.run, np.eye(4, dtype=bool))
        self._promise(favourites=1)

    def draw(self) -> None:
        frames = [np.full((1, 1, 4, 4), value, np.uint8) for value in (10, 200)]
        step = list_checkpoints(self.run)[-1].step
        save_samples(self.run, frames, SamplingConfig(num=1, num_inference_steps=4), 0, step)

    def take(self) -> None:
        """A take with every step of its way."""
        model = load_trained(self.run, which="last", device="cpu")
        sampling = SamplingConfig(num=2, num_inference_steps=4)
        recipe = Recipe(self.run.name, model.step, sampling, turns=(Renoise(2, 6),))
        lanes = lay_lanes(model.schedule, recipe)
        steps = perform_lanes([model], lanes)
        save_take(self.run, recipe, lanes, steps, trajectory=True)
        self._promise(taken=True)

    def measure(self) -> None:
        """What an evaluation writes; its figures are not of this run."""
        pictures = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
        step = list_checkpoints(self.run)[-1].step
        sampling = SamplingConfig(num=2, num_inference_steps=4)
        dataset = engine.train.load("fashion-mnist-10k")
        write_evaluation(self.run, EVALUATION, pictures, dataset, sampling, seed=0, step=step)
        self._promise(measured=True)

    def delete(self) -> None:
        self.trashed = keeping.delete(self.run)

    def restore(self) -> None:
        self.run = keeping.restore(self.trashed)

    def export(self) -> None:
        export_run(self.run, find_checkpoint(self.run, "last"))
        self._promise(exported=True)


def favourites_of(run: Run) -> int:
    return len(list_favourites(run))


def is_taken(run: Run) -> bool:
    """Whether there is a take that is whole: its recipe, its picture that tells it, its way."""
    for path in (run.path / "samples").glob(f"*{ENDING}"):
        stem = path.name.removesuffix(ENDING)
        recipe = read_recipe(path)
        assert read_recipe(path.with_name(f"{stem}.png")) == recipe
        with np.load(path.with_name(f"{stem}.npz")) as way:
            return all(len(way[name]) for name in way.files)
    return False


def is_exported(run: Run) -> bool:
    return any(
        {file.name for file in folder.iterdir()} == FILES for folder in run.exports_path.iterdir()
    )


def weights(run: Run) -> dict[str, str]:
    """All that the last checkpoint says of the network, to the bit: the hashes of its tensors."""
    last = list_checkpoints(run)[-1]
    files = sorted(last.path.glob("*.safetensors"))
    assert len(files) >= 3
    return {
        f"{last.step} {file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
