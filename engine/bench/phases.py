"""Where the time of our training step goes.

The pieces of the Trainer's step, called in its order. The device is waited for after each of them,
so a step takes a little longer here than in the training figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.bench.ours import OurLoop
from engine.bench.timing import now

# What each phase holds, in the order of a step.
PHASES = {
    "data": "gather the batch, draw t and noise",
    "forward": "q_sample, the network, the loss",
    "backward": "the gradients",
    "optimizer": "their norm, the update of the weights",
    "ema": "the average of the weights",
    "logging": "a row of metrics and the status on disk, every few steps, spread over all",
}


def time_phases(loop: OurLoop, steps: int) -> dict[str, float]:
    """Seconds a step for each phase, over the next `steps` steps; together they are the step."""
    trainer = loop.trainer
    seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        started = now(trainer.device)
        yield
        seconds[name] += now(trainer.device) - started

    for _ in range(steps):
        with phase("data"):
            batch = trainer.draw_batch(trainer.step)
        with phase("forward"):
            loss = trainer.loss(batch)
        with phase("backward"):
            trainer.backward(loss)
        with phase("optimizer"):
            trainer.update(loss)
        with phase("ema"):
            trainer.average()
        trainer.step += 1
        if trainer.step % trainer.config.training.log_every == 0:
            with phase("logging"):
                trainer.log()
    return {name: total / steps for name, total in seconds.items()}
