"""A batch through the network and back: in one piece or several, compiled or not.

What fails for want of memory is done again in smaller pieces, what fails in the compiler without
it. The draws stay the same, so the result does too, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from engine.batches import Batch
from engine.config import RunConfig
from engine.device import autocast, is_out_of_memory, no_memory
from engine.diffusion import min_snr_weight, per_sample_loss, q_sample
from engine.rng import derive_seed
from engine.schedule import NoiseSchedule
from engine.timesteps import LossByTimestep


class Gradients:
    """The losses of a network and their gradients.

    Args:
        backward: adds the gradients of a loss to those that are there.
        say: told when the batches or the network are treated differently from now on.

    Attributes:
        network: what training calls: the model, or the model compiled.
        pieces: in how many a batch goes through the network.
        by_t: the losses of the batches added, by timestep.
    """

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        schedule: NoiseSchedule,
        dtype: torch.dtype,
        *,
        backward: Callable[[Tensor], None],
        say: Callable[[str], None],
    ) -> None:
        self.config, self.model, self.schedule, self.dtype = config, model, schedule, dtype
        self.device = schedule.betas.device
        self.pieces = config.training.gradient_accumulation_steps
        self._backward, self._say = backward, say
        self._compile = config.training.compile
        self.network = self._compiled()
        self.by_t = LossByTimestep(schedule.num_train_timesteps, self.device)
        self._latest = torch.empty(0, device=self.device)

    def losses(self, network: Callable[..., Tensor], batch: Batch) -> Tensor:
        """float32 (N,): the loss of each image."""
        x_t = q_sample(self.schedule, batch.x_start, batch.t, batch.noise)
        told = () if batch.labels is None else (batch.labels,)
        with autocast(self.device, self.dtype):
            output = network(x_t, batch.t, *told)
        return per_sample_loss(
            output,
            self.schedule,
            batch.x_start,
            batch.t,
            batch.noise,
            prediction_type=self.config.diffusion.prediction_type,
            loss=self.config.training.loss,
            snr_gamma=self.config.training.snr_gamma,
        )

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch or of a piece of one, ready for `backward`."""
        self.model.train()
        with self._dropout_of(batch):
            losses = self.losses(self.network, batch)
        self._latest = losses.detach()
        return losses.mean()

    def add(self, batch: Batch) -> Tensor:
        """The mean loss of a batch; its gradients are in the weights.

        Raises:
            DeviceError: the memory does not suffice for a single image.
        """
        while True:
            try:
                return self._add_pieces(batch)
            except Exception as error:
                if is_out_of_memory(error):
                    change = partial(self._use_smaller_pieces, len(batch))
                elif self._compile:
                    change = partial(self._do_not_compile, error)
                else:
                    raise
            # Out here the traceback is gone, and with it the memory of the failed attempt.
            self.model.zero_grad(set_to_none=True)
            change()

    def _add_pieces(self, batch: Batch) -> Tensor:
        total = torch.zeros((), device=self.device)
        parts = []
        for piece in batch.pieces(self.pieces):
            loss = self.loss(piece) * (len(piece) / len(batch))
            self._backward(loss)
            total += loss.detach()
            parts.append(self._latest)
        # Only now: a batch that failed half-way is done again.
        self.by_t.add(batch.t, self._unweighted(torch.cat(parts), batch.t))
        return total

    def _unweighted(self, losses: Tensor, t: Tensor) -> Tensor:
        gamma = self.config.training.snr_gamma
        if not gamma:
            return losses
        prediction = self.config.diffusion.prediction_type
        return losses / min_snr_weight(self.schedule, prediction, t, gamma).to(losses.dtype)

    def _use_smaller_pieces(self, batch_size: int) -> None:
        if self.pieces >= batch_size:
            raise no_memory(self.device, "train, even on one image at a time")
        self.pieces = min(2 * self.pieces, batch_size)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()
        self.network = self._compiled()
        self._say(
            f"out of memory: from now on a batch of {batch_size} goes through the network in "
            f"{self.pieces} pieces, with the same result"
        )

    def _compiled(self) -> Callable[..., Tensor]:
        if not self._compile:
            return self.model
        # CUDA graphs save launches, but a second piece would overwrite the gradients of the first.
        graphs = self.device.type == "cuda" and self.pieces == 1
        mode = "reduce-overhead" if graphs else "default"
        try:
            compiled: Callable[..., Tensor] = torch.compile(self.model, mode=mode)
        except Exception as error:
            self._do_not_compile(error)
            return self.model
        return compiled

    def _do_not_compile(self, error: Exception) -> None:
        self._compile = False
        self.network = self.model
        # Dynamo wraps what a backend raised.
        error = getattr(error, "inner_exception", error)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        self._say(f"torch.compile failed, training goes on without it: {reason}")

    @contextmanager
    def _dropout_of(self, batch: Batch) -> Iterator[None]:
        """Inside, torch's own generator, which dropout draws from, follows from (seed, step)."""
        if not self.config.model.dropout:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(derive_seed(self.config.seed, "dropout", batch.step, batch.first))
            yield
