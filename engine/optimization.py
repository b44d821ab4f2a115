"""From gradients to weights: learning rate, clipping, the optimizer, the average of the weights.

A step whose loss or gradients are not finite changes nothing: not the weights, not the optimizer's
state, not the average. The device decides that by itself; the host waits for it in `tally` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.config import TrainingConfig
from engine.muon import Muon, hidden_matrices

# One-cycle: the share of the steps that rise, and the peak over the first learning rate and the
# first over the last (Smith & Topin 2019; the shares are torch's).
_RISE = 0.3
_PEAK_TO_FIRST = 25.0
_FIRST_TO_LAST = 1e4


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step, 0-based."""
    if config.lr_schedule == "onecycle":
        return one_cycle(config.lr, config.steps, step)
    if step < config.lr_warmup_steps:
        return config.lr * (step + 1) / config.lr_warmup_steps
    if config.lr_schedule == "constant":
        return config.lr
    progress = (step - config.lr_warmup_steps) / max(1, config.steps - config.lr_warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def one_cycle(peak: float, steps: int, step: int) -> float:
    """Half a cosine from peak/25 up to the peak, half a cosine down to nearly 0."""
    first = peak / _PEAK_TO_FIRST
    top, end = _RISE * steps - 1, steps - 1
    if step <= top:
        return _half_cosine(first, peak, step / top)
    return _half_cosine(peak, first / _FIRST_TO_LAST, (step - top) / (end - top))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def ema_decay(config: TrainingConfig, step: int) -> float:
    """The EMA's decay after a step, 1-based: young averages forget fast, up to `ema_decay`."""
    return min(config.ema_decay, (1 + step) / (10 + step))


@dataclass(frozen=True)
class Tally:
    """What the steps since the last tally gave.

    Attributes:
        loss: mean over the steps that were taken; None where all were skipped.
        grad_norm: of the last step, before clipping; None where it is not finite.
        steps: how many there were.
        skipped: those whose loss or gradients were not finite.
        skipped_in_a_row: how many of the very last were skipped, earlier tallies included.
        beside: the values of the tensor that was read back with them.
    """

    loss: float | None
    grad_norm: float | None
    steps: int
    skipped: int
    skipped_in_a_row: int
    beside: tuple[float, ...] = ()


class Optimization:
    """The optimizer of a network, and the average of its weights.

    Args:
        ema: a copy of the network that holds the average; the network itself where none is kept.
        dtype: of the products; with float16 the loss is scaled, so that small gradients survive.
    """

    def __init__(
        self, config: TrainingConfig, model: nn.Module, ema: nn.Module, dtype: torch.dtype
    ) -> None:
        self.config = config
        self._weights: list[Tensor] = list(model.parameters())
        self._averages: list[Tensor] = list(ema.parameters()) if ema is not model else []
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        if config.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                self.parameters, lr=config.lr, fused=True
            )
        elif config.optimizer == "muon":
            hidden = hidden_matrices(model)
            trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
            self.optimizer = Muon(
                [p for name, p in trained if name in hidden],
                [p for name, p in trained if name not in hidden],
                lr=config.lr,
                weight_decay=config.weight_decay,
            )
        else:
            self.optimizer = torch.optim.AdamW(
                self.parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
            )
        self._scaled = dtype is torch.float16
        self.reset()

    def reset(self) -> None:
        """As if no step had been taken."""
        self.optimizer.state.clear()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self._scaled)
        self._clear_tally()

    def _clear_tally(self) -> None:
        self._losses: list[Tensor] = []
        self._skips: list[Tensor] = []
        self._skip = torch.zeros((), device=self.device)
        self._in_a_row = torch.zeros((), device=self.device)
        self._grad_norm = torch.zeros((), device=self.device)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those that are there."""
        self.scaler.scale(loss).backward()

    def update(self, loss: Tensor, lr: float) -> None:
        """A step of the weights along their gradients, unless these or the loss are not finite."""
        if self._scaled:
            self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm or math.inf)
        self._skip = (~(torch.isfinite(norm) & torch.isfinite(loss))).float()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        # torch's fused optimizers read these as GradScaler sets them, and do nothing where
        # found_inf is 1. The product of skip and state would not do: 0 · NaN is NaN. The attributes
        # are GradScaler's own way in, which the stubs of Optimizer do not know.
        self.optimizer.grad_scale, self.optimizer.found_inf = None, self._skip  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._scaled:
            self.scaler.update()

        self._grad_norm = norm
        self._losses.append(loss.detach())
        self._skips.append(self._skip)
        self._in_a_row = (self._in_a_row + 1) * self._skip

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the average towards the weights, unless the last step was skipped.

        torch's foreach kernels, without AveragedModel, whose counter lives on the device and makes
        the host wait at every step.
        """
        if self._averages:
            moves = list(torch._foreach_sub(self._weights, self._averages))
            torch._foreach_mul_(moves, (1 - decay) * (1 - self._skip))
            torch._foreach_add_(self._averages, moves)

    def tally(self, beside: Tensor) -> Tally:
        """Read the figures of the last steps back, and `beside`; the only wait for the device."""
        skips = torch.stack(self._skips)
        taken = torch.stack(self._losses).masked_fill(skips.bool(), math.nan)
        figures = torch.stack([taken.nanmean(), self._grad_norm, skips.sum(), self._in_a_row])
        loss, norm, skipped, in_a_row, *others = torch.cat([figures, beside]).tolist()
        steps = len(self._losses)
        self._losses, self._skips = [], []
        return Tally(
            _finite(loss), _finite(norm), steps, int(skipped), int(in_a_row), tuple(others)
        )

    def untallied(self) -> dict[str, Tensor]:
        """The figures of the steps since the last tally, for a checkpoint: (steps,), and ()."""
        nothing = torch.empty(0, device=self.device)
        return {
            "losses": torch.stack(self._losses) if self._losses else nothing,
            "skips": torch.stack(self._skips) if self._skips else nothing,
            "skipped_in_a_row": self._in_a_row,
        }

    def load_untallied(self, figures: Mapping[str, Tensor]) -> None:
        """Tally the steps that `untallied` gave with those that follow."""
        self._losses = list(figures["losses"].to(self.device))
        self._skips = list(figures["skips"].to(self.device))
        self._in_a_row = figures["skipped_in_a_row"].to(self.device)

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's state by parameter and name, for a checkpoint."""
        state = self.optimizer.state_dict()["state"]
        return {f"{i}.{key}": value for i, entry in state.items() for key, value in entry.items()}

    def load(self, tensors: Mapping[str, Tensor], scaler: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `scaler.state_dict()` gave."""
        self.reset()
        # In the optimizer's own order, which its groups decide.
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split(".", 1)
            if value.ndim:
                # In the memory format of its parameter: the fused kernels walk both alike.
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        if scaler:
            self.scaler.load_state_dict(dict(scaler))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
