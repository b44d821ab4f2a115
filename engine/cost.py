"""What a training would cost on this machine: parameters, memory, time. Before it begins.

    for cost in estimate(config):
        ...

The first cost has the sizes, the following ones also the speed, measured a training step at a
time on the real network and the real images. Whoever pulls decides how long; nothing is left
behind.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.config import RunConfig, validate
from engine.device import describe_device, wait_for
from engine.events import Started, Stepped
from engine.runs import io
from engine.runs.folder import create_run
from engine.train import Trainer

_WARM_UP_STEPS = 1
_NEVER = 100_000_000


@dataclass(frozen=True)
class Cost:
    """What a training would cost.

    Attributes:
        parameters: numbers in the network that are trained.
        weights: bytes of the weights, with the average of them where one is kept.
        optimizer: bytes of the gradients and of what the optimizer remembers.
        activations: bytes that a step keeps from its forward pass for its backward pass.
        data: bytes of the images.
        device: what would train, in words.
        on_gpu: whether these bytes are the GPU's or of the main memory.
        steps: of the training.
        batch_size: images a step.
        images_per_second: as measured; None before the first measured step.
    """

    parameters: int
    weights: int
    optimizer: int
    activations: int
    data: int
    device: str
    on_gpu: bool
    steps: int
    batch_size: int
    images_per_second: float | None = None

    @property
    def memory(self) -> int:
        """Bytes in all, without what torch itself takes."""
        return self.weights + self.optimizer + self.activations + self.data

    @property
    def seconds(self) -> float | None:
        """Of the whole training, without previews and checkpoints."""
        if not self.images_per_second:
            return None
        return self.steps * self.batch_size / self.images_per_second


def estimate(
    config: RunConfig, *, device: str = "auto", data_dir: Path | str | None = None
) -> Generator[Cost, None, None]:
    """The cost of training a config; each further step that is pulled makes the speed surer.

    The steps train a network of its own in a temporary folder, without torch.compile, whose
    compiling would take longer than anybody waits. The speed is the mean of all steps so far but
    the first, which allocate memory and choose kernels.

    Raises:
        EngineError: data, device or memory do not suffice; what training would say, too.
    """
    with io.temporary_folder("ddpm-tui-cost-") as folder:
        run = create_run(folder, _without_files(config), command=["ddpm-tui", "train"])
        trainer = Trainer(run, device=device, data_dir=data_dir)
        cost = sizes(trainer, config.training.steps)
        events = iter(trainer)
        try:
            yield cost
            steps, seconds, began = 0, 0.0, time.perf_counter()
            for event in events:
                if isinstance(event, Started):
                    began = time.perf_counter()
                if not isinstance(event, Stepped):
                    continue
                wait_for(trainer.device)
                steps += 1
                if steps > _WARM_UP_STEPS:
                    seconds += time.perf_counter() - began
                    images = (steps - _WARM_UP_STEPS) * config.data.batch_size
                    yield replace(cost, images_per_second=images / seconds)
                # Whoever pulls may have waited.
                began = time.perf_counter()
        finally:
            events.close()


def sizes(trainer: Trainer, steps: int) -> Cost:
    """The bytes that a training needs, counted on what it holds and on a pass of one image."""
    trained = trainer.parameters
    weights = _bytes_of(trainer.model)
    if trainer.ema is not trainer.model:
        weights += _bytes_of(trainer.ema)
    parameter_bytes = sum(p.numel() * p.element_size() for p in trained)
    training, batch_size = trainer.config.training, trainer.config.data.batch_size
    piece = -(-batch_size // training.gradient_accumulation_steps)
    images = (trainer.dataset.images, trainer.dataset.test_images)
    return Cost(
        parameters=sum(p.numel() for p in trained),
        weights=weights,
        optimizer=parameter_bytes + _remembered(trainer),
        activations=saved_for_backward(trainer, piece),
        data=sum(tensor.numel() * tensor.element_size() for tensor in images),
        device=describe_device(trainer.device),
        on_gpu=trainer.device.type != "cpu",
        steps=steps,
        batch_size=batch_size,
    )


def saved_for_backward(trainer: Trainer, images: int) -> int:
    """Bytes that autograd keeps in a step on so many images.

    Counted on one and on two: what the second adds is the share of an image, the rest (the
    weights in the precision of the products) is there once.
    """

    def kept(count: int) -> int:
        own = {
            tensor.untyped_storage().data_ptr()
            for tensor in (*trainer.model.parameters(), *trainer.model.buffers())
        }
        found: dict[int, int] = {}
        # Held until all is counted, so that no place is used twice.
        held: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
                held.append(tensor)
            return tensor

        images = next(trainer.draw_batch(0).pieces(-(-trainer.config.data.batch_size // count)))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            trainer.loss(images)
        return sum(found.values())

    one, two = kept(1), kept(2)
    return max(0, one + (two - one) * (images - 1))


def _remembered(trainer: Trainer) -> int:
    """Bytes that the optimizer remembers between steps: a momentum for Muon's matrices, for all
    else the two moments of Adam."""
    optimizer: Any = trainer.optimizer
    total = 0
    for group in optimizer.param_groups:
        moments = 1 if group.get("matrices") else 2
        total += moments * sum(p.numel() * p.element_size() for p in group["params"])
    return total


def _without_files(config: RunConfig) -> RunConfig:
    """The same training without previews and checkpoints."""
    values = config.model_dump()
    quiet = {"preview_every": 0, "checkpoint_every": _NEVER, "steps": _NEVER}
    quiet["compile"] = False
    return validate({**values, "training": {**values["training"], **quiet}})


def _bytes_of(module: nn.Module) -> int:
    tensors = (*module.parameters(), *module.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
