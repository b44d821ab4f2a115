"""What a training has learned so far, and how it goes into a checkpoint and comes out of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from engine.errors import last_line
from engine.optimization import Optimization
from engine.runs.checkpoint import Checkpoint
from engine.timesteps import LossByTimestep


class Learned:
    """The weights, their average, the optimizer's state, and the losses that no row tells yet.

    Args:
        ema: the average of the weights; the model itself where none is kept.
        by_t: the losses of the steps since the last row.
    """

    def __init__(
        self, model: nn.Module, ema: nn.Module, optimization: Optimization, by_t: LossByTimestep
    ) -> None:
        self.model, self.ema, self.optimization, self.by_t = model, ema, optimization, by_t

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """All of it, by the names of the files of a checkpoint. Not copied."""
        tensors = {"model": self.model.state_dict(), "optimizer": self.optimization.tensors()}
        if self.ema is not self.model:
            tensors["ema"] = self.ema.state_dict()
        figures = {**self.optimization.untallied(), "loss_by_t": self.by_t.state()}
        return {**tensors, "figures": figures}

    def is_finite(self) -> bool:
        """Whether it is worth keeping. The losses since the last row may be anything."""
        kept = (group for name, group in self.tensors().items() if name != "figures")
        return all(bool(value.isfinite().all()) for group in kept for value in group.values())

    def load(self, checkpoint: Checkpoint, scaler: Mapping[str, Any]) -> None:
        """What a checkpoint holds.

        Args:
            scaler: the state of the scaler of the loss.

        Raises:
            ValueError: it is of another network; then the weights may be neither's.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.model.load_state_dict(load_file(checkpoint.path / "model.safetensors"))
            if self.ema is not self.model:
                self.ema.load_state_dict(load_file(checkpoint.path / "ema.safetensors"))
            self.optimization.load(load_file(checkpoint.path / "optimizer.safetensors"), scaler)
            figures = checkpoint.path / "figures.safetensors"
            if figures.exists():  # older versions had none
                untold = load_file(figures)
                self.by_t.load(untold.pop("loss_by_t"))
                self.optimization.load_untallied(untold)
            else:
                self.by_t.clear()
        except (SafetensorError, RuntimeError, OSError, LookupError, ValueError) as error:
            raise ValueError(last_line(error)) from error

    def forget(self, weights: Mapping[str, Tensor]) -> None:
        """Nothing was learned: the network has the weights with which it began."""
        self.model.load_state_dict(weights)
        self.ema.load_state_dict(weights)
        self.optimization.reset()
        self.by_t.clear()
