"""Training: a generator of events, readable top to bottom.

    for event in Trainer(run):
        ...

Whoever pulls decides: pausing is not pulling, stopping is closing. Between two pulls `checkpoint`
and `preview` may be called.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from engine.config import RunConfig, TrainingConfig
from engine.data.dataset import Dataset, load
from engine.data.range import to_uint8, to_unit
from engine.device import describe_device, resolve_device, resolve_precision
from engine.diffusion import training_loss
from engine.errors import CheckpointError, RunError
from engine.events import (
    CheckpointSaved,
    Event,
    Finished,
    Logged,
    PreviewFrame,
    PreviewSaved,
    Started,
    Stepped,
)
from engine.images import write_png
from engine.models import build_model
from engine.rng import generator
from engine.runs import checkpoint as checkpoints
from engine.runs.folder import Run, Status
from engine.runs.metrics import append_row, drop_rows_after
from engine.sampling import draw_samples
from engine.schedule import NoiseSchedule

_EVAL_IMAGES = 512
_EVAL_BATCH = 128
# A preview that is due is left out while previews take more than this share of the time.
_PREVIEW_SHARE = 0.1
_LOSS_SMOOTHING = 0.9


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step, 0-based: linear warm-up, then constant or half a cosine to 0."""
    if step < config.lr_warmup_steps:
        return config.lr * (step + 1) / config.lr_warmup_steps
    if config.lr_schedule == "constant":
        return config.lr
    progress = (step - config.lr_warmup_steps) / max(1, config.steps - config.lr_warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def ema_decay(config: TrainingConfig, step: int) -> float:
    """The EMA's decay after a step, 1-based: young averages forget fast, up to `ema_decay`."""
    return min(config.ema_decay, (1 + step) / (10 + step))


class Trainer:
    """Trains one run, from its newest checkpoint that verifies, or from the start.

    Args:
        run: the run folder; its config decides everything.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        data_dir: a folder to look for the data set in first.

    Raises:
        EngineError: data, device, config or checkpoint cannot be used; nothing is changed on disk.
    """

    def __init__(
        self, run: Run, *, device: str = "auto", data_dir: Path | str | None = None
    ) -> None:
        self.run = run
        self.config: RunConfig = run.config()
        self.device = resolve_device(device)
        self.dtype = resolve_precision(self.config.training.precision, self.device)
        self.dataset: Dataset = load(
            self.config.data.dataset, data_dir=data_dir, device=self.device
        )
        diffusion = self.config.diffusion
        self.schedule = NoiseSchedule.create(
            diffusion.beta_schedule,
            diffusion.num_train_timesteps,
            diffusion.beta_start,
            diffusion.beta_end,
        ).to(self.device)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self.model = build_model(self.config, self.dataset.image_shape)
        self.model.to(self.device)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = self._make_optimizer()
        use_ema = self.config.training.ema_decay > 0
        self.ema = copy.deepcopy(self.model).requires_grad_(False) if use_ema else self.model

        self.step = 0
        self.elapsed = 0.0
        self._pulled_at = time.perf_counter()
        self._train_seconds = 0.0
        self._logged_at = 0
        self._losses: list[Tensor] = []
        self._grad_norm = torch.zeros((), device=self.device)
        self._permutation: tuple[int, Tensor] = (-1, torch.empty(0))
        self._status = Status(
            state="running",
            total_steps=self.config.training.steps,
            device=describe_device(self.device),
        )
        self._restore()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        config = self.config.training
        if config.optimizer == "adam":
            return torch.optim.Adam(self.parameters, lr=config.lr, fused=True)
        return torch.optim.AdamW(
            self.parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def __iter__(self) -> Iterator[Event]:
        """Train to the end. Owns the run while it lasts.

        Raises:
            RunError: another process trains this run, the folder cannot be written, or the loss
                is no longer finite.
        """
        with self.run.lock():
            self._pulled_at = time.perf_counter()
            try:
                for event in self._train():
                    self.elapsed += time.perf_counter() - self._pulled_at
                    yield event
                    self._pulled_at = time.perf_counter()
            except GeneratorExit:
                self._write_status(state="stopped", reason="stopped by the user")
                raise
            except BaseException as error:
                self._write_status(state="failed", reason=str(error) or type(error).__name__)
                raise

    def _train(self) -> Iterator[Event]:
        config = self.config.training
        parameters = sum(p.numel() for p in self.model.parameters())
        self.run.log(f"training from step {self.step} to {config.steps} on {self._status.device}")
        drop_rows_after(self.run.metrics_path, self.step)
        self._write_status(state="running", reason="")
        yield Started(self.step, config.steps, self._status.device, self.dataset.origin, parameters)
        if self.step == 0 and config.preview_every:
            yield from self.preview()

        self._logged_at = self.step
        preview_ended, preview_cost = time.perf_counter(), 0.0
        while self.step < config.steps:
            started = time.perf_counter()
            self._training_step()
            self.step += 1
            done = self.step == config.steps
            self._train_seconds += time.perf_counter() - started
            # On disk before anybody can stop here, so that no row is left out of a resumed run.
            logged = self._log() if done or self.step % config.log_every == 0 else None
            yield Stepped(self.step)
            if logged is not None:
                yield logged

            now = time.perf_counter()
            affordable = preview_cost <= _PREVIEW_SHARE * (now - preview_ended)
            due = config.preview_every and self.step % config.preview_every == 0
            if config.preview_every and (done or (due and affordable)):
                yield from self.preview()
                preview_ended = time.perf_counter()
                preview_cost = preview_ended - now

            if done or self.step % config.checkpoint_every == 0:
                yield self.checkpoint()

        self.run.log(f"finished at step {self.step}")
        self._write_status(state="finished")
        yield Finished(self.step)

    def _training_step(self) -> None:
        """One step on a batch; every draw follows from (seed, step). No host synchronisation."""
        config, seed = self.config.training, self.config.seed
        x_start = self.dataset.batch(self._batch_indices(self.step))
        draws = generator(seed, "train", self.step, self.device)
        t = torch.randint(
            self.schedule.num_train_timesteps, (len(x_start),), generator=draws, device=self.device
        )
        noise = torch.randn(x_start.shape, generator=draws, device=self.device)

        self.model.train()
        with self._autocast():
            loss = training_loss(self.model, self.schedule, x_start, t, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        self._grad_norm = nn.utils.clip_grad_norm_(
            self.parameters, config.max_grad_norm or math.inf
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._losses.append(loss.detach())

        if self.ema is not self.model:
            # torch's foreach kernel, without AveragedModel, whose counter lives on the device and
            # makes the host wait at every step.
            decay = ema_decay(config, self.step + 1)
            average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            average(list(self.ema.parameters()), list(self.model.parameters()), None)

    def _batch_indices(self, step: int) -> Tensor:
        """The images of a step: a stream of permutations, one an epoch, cut into batches."""
        size, batch_size = len(self.dataset), self.config.data.batch_size
        position, parts, missing = step * batch_size, [], batch_size
        while missing:
            epoch, offset = divmod(position, size)
            if self._permutation[0] != epoch:
                draws = generator(self.config.seed, "epoch", epoch)
                self._permutation = (
                    epoch,
                    torch.randperm(size, generator=draws).to(self.device),
                )
            part = self._permutation[1][offset : offset + missing]
            parts.append(part)
            position, missing = position + len(part), missing - len(part)
        return torch.cat(parts)

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32
        )

    def _log(self) -> Logged:
        """Read the losses back (the only wait for the device), append a row, update the status."""
        started = time.perf_counter()
        loss = float(torch.stack(self._losses).mean())
        grad_norm = float(self._grad_norm)
        self._train_seconds += time.perf_counter() - started
        images = (self.step - self._logged_at) * self.config.data.batch_size
        logged = Logged(
            step=self.step,
            loss=loss,
            lr=learning_rate(self.config.training, self.step - 1),
            grad_norm=grad_norm,
            images_per_second=images / max(self._train_seconds, 1e-9),
            elapsed=self.elapsed + time.perf_counter() - self._pulled_at,
        )
        self._losses, self._train_seconds, self._logged_at = [], 0.0, self.step
        append_row(self.run.metrics_path, asdict(logged))
        if not math.isfinite(loss):
            raise self._diverged()
        previous = self._status.loss
        smoothed = (
            loss if previous is None else _LOSS_SMOOTHING * previous + (1 - _LOSS_SMOOTHING) * loss
        )
        self._write_status(loss=smoothed, images_per_second=logged.images_per_second)
        return logged

    def _diverged(self) -> RunError:
        return RunError(
            f"The loss is not finite at step {self.step}",
            "Try a lower learning rate (--lr) or precision fp32; the last checkpoint is kept.",
        )

    def _write_status(self, **changes: object) -> None:
        self._status = replace(
            self._status,
            step=self.step,
            elapsed=self.elapsed,
            **changes,  # type: ignore[arg-type]
        )
        self.run.write_status(self._status)

    def pause(self) -> None:
        """Tell viewers that nobody pulls at present; `unpause` takes it back."""
        self._write_status(state="paused")

    def unpause(self) -> None:
        self._write_status(state="running")

    def preview(self) -> Iterator[Event]:
        """Paint the preview grid with the EMA weights, from the same noise every time.

        Yields every step of the reverse process, then the path of the finished grid.
        """
        preview = self.config.preview
        shape = self.dataset.image_shape
        self.ema.eval()

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            with self._autocast():
                eps: Tensor = self.ema(x_t, t)
                return eps

        reverse = None
        for reverse in draw_samples(
            denoise, self.schedule, preview, self.config.seed, range(preview.num), shape
        ):
            yield PreviewFrame(self.step, reverse)
        assert reverse is not None
        path = self.run.samples_path / f"step-{self.step:08d}.png"
        about = {"step": self.step, "seed": self.config.seed, **preview.model_dump()}
        write_png(path, to_uint8(reverse.prev_sample).cpu().numpy(), about=about)
        yield PreviewSaved(self.step, path)

    @torch.no_grad()
    def evaluate(self) -> float:
        """The loss of the EMA weights on held-out images, with the same draws every time.

        The noise of the training loss hides which of two checkpoints is better; this does not.
        """
        images = self.dataset.test_images[:_EVAL_IMAGES]
        draws = generator(self.config.seed, "evaluate", 0, self.device)
        total = self.schedule.num_train_timesteps
        # Every region of t equally often: less variance than drawing t.
        t = torch.arange(len(images), device=self.device) * total // len(images)
        noise = torch.randn(images.shape, generator=draws, device=self.device)
        self.ema.eval()
        losses = []
        with self._autocast():
            for chunk in range(0, len(images), _EVAL_BATCH):
                part = slice(chunk, chunk + _EVAL_BATCH)
                loss = training_loss(
                    self.ema, self.schedule, to_unit(images[part]), t[part], noise[part]
                )
                losses.append(loss * len(t[part]))
        return float(torch.stack(losses).sum()) / len(images)

    def checkpoint(self) -> CheckpointSaved:
        """Publish a checkpoint of this step and remove those that are no longer wanted.

        Raises:
            RunError: the folder cannot be written, or the loss is no longer finite: a resume from
                here could only fail again.
        """
        eval_loss = self.evaluate()
        if not math.isfinite(eval_loss):
            raise self._diverged()
        tensors = {"model": self.model.state_dict(), "optimizer": self._optimizer_tensors()}
        if self.ema is not self.model:
            tensors["ema"] = self.ema.state_dict()
        state = {
            "step": self.step,
            "eval_loss": eval_loss,
            "loss": self._status.loss,
            "elapsed": self.elapsed,
            "image_shape": self.dataset.image_shape,
            "class_names": self.dataset.class_names,
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }
        saved = checkpoints.save_checkpoint(self.run, self.step, tensors, state)
        checkpoints.prune_checkpoints(self.run, self.config.training.keep_checkpoints)
        self.run.log(f"checkpoint at step {self.step}, eval loss {eval_loss:.4f}")
        self._write_status(eval_loss=eval_loss)
        return CheckpointSaved(self.step, saved.path, eval_loss)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        state = self.optimizer.state_dict()["state"]
        return {f"{i}.{key}": value for i, entry in state.items() for key, value in entry.items()}

    def _restore(self) -> None:
        """Go on from the newest checkpoint that verifies, and say so when one did not."""
        found, problems = checkpoints.newest_verified(self.run)
        for problem in problems:
            self.run.log(f"{problem}; going back to an earlier one")
        if found is None:
            return
        from safetensors.torch import load_file

        try:
            self.model.load_state_dict(load_file(found.path / "model.safetensors"))
            if self.ema is not self.model:
                self.ema.load_state_dict(load_file(found.path / "ema.safetensors"))
        except (RuntimeError, OSError) as error:
            # torch names every tensor that does not fit, a line each; one says enough.
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(
                f"Checkpoint {found.path.name} does not fit {self.run.name}'s config: {reason}",
                "Was config.toml changed after the training?",
            ) from None
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(found.path / "optimizer.safetensors").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        saved = found.state()
        self.step, self.elapsed = found.step, float(saved["elapsed"])
        self._status = replace(
            self._status, loss=saved.get("loss"), eval_loss=saved.get("eval_loss")
        )
