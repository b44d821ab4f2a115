"""Training: a generator of events, readable top to bottom.

    for event in Trainer(run):
        ...

Whoever pulls decides: pausing is not pulling, stopping is closing. Between two pulls `checkpoint`
and `preview` may be called.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.batches import Batch, Batches
from engine.config import RunConfig
from engine.data.dataset import Dataset, load
from engine.device import (
    describe_device,
    is_out_of_memory,
    memory_explained,
    memory_format,
    no_memory,
    resolve_device,
    resolve_precision,
)
from engine.errors import CheckpointError, NoRoomError, RunError, RunGoneError
from engine.events import (
    CheckpointSaved,
    Event,
    Finished,
    Logged,
    Notice,
    Started,
    Stepped,
    Waiting,
)
from engine.gradients import Gradients
from engine.learned import Learned
from engine.models import build_model
from engine.optimization import Optimization, ema_decay, learning_rate
from engine.painting import PreviewPainter
from engine.room import Room
from engine.running_time import RunningTime
from engine.runs import checkpoint as checkpoints
from engine.runs.folder import Run, Status
from engine.runs.lock import LockLostError, Ownership
from engine.runs.metrics import append_row, drop_rows_after
from engine.runs.sweeping import sweep
from engine.sampling import start_note
from engine.schedule import NoiseSchedule
from engine.timesteps import means

_EVAL_IMAGES = 512
_EVAL_BATCH = 128
# A preview that is due is left out while previews take more than this share of the time.
_PREVIEW_SHARE = 0.1
_LOSS_SMOOTHING = 0.9
# More skipped steps in a row than fp16 needs to find its scale (2^16 halved down to 1) mean that
# the weights are lost. Then: back to the last checkpoint, a bounded number of times.
_MAX_SKIPPED_IN_A_ROW = 20
_MAX_ROLLBACKS = 3

T = TypeVar("T")


class WeightsLostError(RunError):
    """The weights are not finite, or give a loss that is not."""


class Trainer:
    """Trains one run, from its newest checkpoint that verifies, or from the start.

    Args:
        run: the run folder; its config decides everything.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        data_dir: a folder to look for the data set in first.

    Attributes:
        stopped_by: who closes it, for the status.

    Raises:
        EngineError: data, device, config or checkpoint cannot be used; nothing is changed on disk.
    """

    def __init__(
        self, run: Run, *, device: str = "auto", data_dir: Path | str | None = None
    ) -> None:
        self.run = run
        self._created = run.info().get("created")
        self.config: RunConfig = run.config()
        self.device = resolve_device(device)
        self.dtype = resolve_precision(self.config.training.precision, self.device)
        training = self.config.training
        with memory_explained(self.device, "hold the images and the network"):
            self.dataset: Dataset = load(
                self.config.data.dataset, data_dir=data_dir, device=self.device
            )
            self.schedule = NoiseSchedule.of(self.config.diffusion).to(self.device)
            self.model = self._build_model()
            self.ema = self.model
            if training.ema_decay > 0:
                self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.step = 0
        self.elapsed = 0.0
        self.rollbacks = 0
        self.stopped_by = "the user"
        self._skipped_in_a_row = 0
        self._running = RunningTime()
        self._pulled_at = self._running.now()
        self._train_seconds = 0.0
        self._logged_at = 0
        self._notices: list[Notice] = []
        self._unwritten: list[Logged] = []
        self._room = Room(self._room_changed)
        self._owned: Ownership | None = None
        self.batches = Batches(self.config, self.dataset)
        self.optimization = Optimization(training, self.model, self.ema, self.dtype)
        self.optimizer = self.optimization.optimizer
        self.parameters = self.optimization.parameters
        self.gradients = Gradients(
            self.config,
            self.model,
            self.schedule,
            self.dtype,
            backward=self.optimization.backward,
            say=self._notice,
        )
        self._learned = Learned(self.model, self.ema, self.optimization, self.gradients.by_t)
        self._painter = PreviewPainter(run, self.config, self.dataset, self.schedule, self.dtype)
        self._status = Status(
            state="running", total_steps=training.steps, device=describe_device(self.device)
        )
        self._restore()
        self._restored_at = self.step

    def _build_model(self) -> nn.Module:
        """The network with the weights that the seed gives it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = build_model(
                self.config, self.dataset.image_shape, len(self.dataset.class_names)
            )
        wanted = memory_format(self.config.model.name, self.dtype, self.device)
        model.to(self.device)
        return model.to(memory_format=wanted)

    def __iter__(self) -> Generator[Event, None, None]:
        """Train to the end. Owns the run while it lasts. On a full disk it waits for room.

        Raises:
            RunError: another process trains this run or has taken it over, the folder cannot be
                written, or the loss is not finite again and again.
            DeviceError: the memory of the device does not suffice for a single image.
        """
        with self.run.lock() as self._owned, self._running:
            self._check_same_run()
            self._pulled_at = self._running.now()
            try:
                self._catch_up()
                if self._owned.note:
                    self._notice(self._owned.note)
                for event in self._train():
                    if not isinstance(event, Waiting):  # that is no time of training
                        self.elapsed += self._running.now() - self._pulled_at
                    yield event
                    self._pulled_at = self._running.now()
            except LockLostError:
                raise  # without a last word: the folder is another's
            except RunGoneError as error:
                if error.now is None:
                    raise  # there is nothing left to write into
                raise self._moved(error, error.now) from None
            except GeneratorExit:
                self._last_word("stopped", f"stopped by {self.stopped_by}")
                raise
            except BaseException as error:
                if is_out_of_memory(error):
                    error = no_memory(self.device, "train and to draw previews")
                self._last_word("failed", str(error) or type(error).__name__)
                raise error

    def _last_word(self, state: str, reason: str) -> None:
        # What ends the training may be the disk itself; then the error says more than this one.
        with suppress(RunError):
            self._write_status(replace(self._status, state=state, reason=reason))

    def _moved(self, error: RunGoneError, now: Path) -> RunGoneError:
        """Leave a checkpoint in the folder that was moved away; it is owned there, too.

        Returns:
            The error, with what became of the steps that were trained.
        """
        self.run, self._owned = Run(now), None
        step, kept = self.step, "The steps since the last checkpoint are lost"
        with suppress(RunError):
            self.checkpoint()
            kept = f"Step {step:,} was saved there"
        self._last_word("stopped", f"its folder was moved while it was trained. {error.message}")
        return RunGoneError(f"{error.message}. {kept}", error.hint, name=error.name, now=now)

    def _check_owned(self) -> None:
        """Before every write that others would miss or take for theirs."""
        if self._owned is not None:
            self._owned.check()

    def _check_same_run(self) -> None:
        """The run may have been deleted, and its name given away, before it was owned."""
        if self.run.info().get("created") != self._created:
            raise RunError(
                f"{self.run.name} is another run by now", "Look at it, and train it if you want to."
            )

    def _catch_up(self) -> None:
        """What can only be done by the owner, and was too early when the checkpoint was read."""
        sweep(self.run)
        # Meanwhile another process may have saved one, or the sweep put one back.
        if self.step == self._restored_at:
            newest, _ = checkpoints.newest_verified(self.run)
            if newest is not None and newest.step > self.step:
                self._load(newest)
        for damaged, aside in checkpoints.set_aside_damaged(self.run, after=self.step):
            self._notice(f"{damaged.path.name} was set aside as {aside.name}")

    def _train(self) -> Iterator[Event]:
        config = self.config.training
        parameters = sum(p.numel() for p in self.model.parameters())
        self._log(f"training from step {self.step} to {config.steps} on {self._status.device}")
        yield from self._with_room(partial(drop_rows_after, self.run.metrics_path, self.step))
        self._write_status(replace(self._status, state="running", reason=""))
        yield Started(self.step, config.steps, self._status.device, self.dataset.origin, parameters)
        if config.preview_every and (note := start_note(self.schedule, self.config.preview)):
            self._notice(f"previews: {note}; use preview.timestep_spacing=trailing")
        yield from self._take_notices()
        if self.step == 0 and config.preview_every:
            yield from self.preview()

        self._logged_at = self.step
        preview_ended, preview_cost = self._clock(), 0.0
        while self.step < config.steps:
            started = self._running.now()
            self._training_step()
            self.step += 1
            done = self.step == config.steps
            self._train_seconds += self._running.now() - started
            # On disk before anybody can stop here, so that no row is left out of a resumed run.
            logged = self.log() if done or self.step % config.log_every == 0 else None
            yield from self._with_room(self._write_rows)
            yield Stepped(self.step)
            yield from self._take_notices()
            if logged is not None:
                yield logged
                if self._skipped_in_a_row >= _MAX_SKIPPED_IN_A_ROW:
                    yield from self._go_back()
                    continue

            now = self._clock()
            affordable = preview_cost <= _PREVIEW_SHARE * (now - preview_ended)
            due = config.preview_every and self.step % config.preview_every == 0
            if config.preview_every and (done or (due and affordable)):
                yield from self.preview()
                preview_ended = self._clock()
                preview_cost = preview_ended - now

            if done or self.step % config.checkpoint_every == 0:
                try:
                    eval_loss = self._worth_keeping()
                except WeightsLostError:
                    yield from self._go_back()
                else:
                    yield (yield from self._with_room(partial(self._save, eval_loss)))

        self._log(f"finished at step {self.step}")
        self._write_status(replace(self._status, state="finished"))
        yield Finished(self.step)

    def _clock(self) -> float:
        """Seconds of training so far; time in which nobody pulls does not count."""
        return self.elapsed + self._running.now() - self._pulled_at

    # --- One step ------------------------------------------------------------------------------
    #
    # Whoever measures may call draw_batch, loss, backward, update, average and log in this order.

    def _training_step(self) -> None:
        """One step on a batch; every draw follows from (seed, step). No host synchronisation."""
        batch = self.draw_batch(self.step)
        loss = self.gradients.add(batch)
        self.update(loss)
        self.average()

    def draw_batch(self, step: int) -> Batch:
        """The images of a step, with their timesteps, noise and labels."""
        return self.batches.draw(step)

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch, or of a piece of one."""
        return self.gradients.loss(batch)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those that are there."""
        self.optimization.backward(loss)

    def update(self, loss: Tensor) -> None:
        """Clip the gradients, move the weights along them, clear them; skip what is not finite."""
        self.optimization.update(loss, self._lr(self.step))

    def average(self) -> None:
        """Move the EMA towards the new weights."""
        self.optimization.average(ema_decay(self.config.training, self.step + 1))

    def _lr(self, step: int) -> float:
        return learning_rate(self.config.training, step) * 0.5**self.rollbacks

    # --- What is said --------------------------------------------------------------------------

    def log(self) -> Logged:
        """Read the losses back (the only wait for the device), append a row, update the status.

        A row that the disk has no room for is kept, and goes in front of the next.
        """
        self._check_owned()
        started = self._running.now()
        tally = self.optimization.tally(self.gradients.by_t.take())
        self._train_seconds += self._running.now() - started
        images = (self.step - self._logged_at) * self.config.data.batch_size
        logged = Logged(
            step=self.step,
            loss=tally.loss,
            lr=self._lr(self.step - 1),
            grad_norm=tally.grad_norm,
            images_per_second=images / max(self._train_seconds, 1e-9),
            elapsed=self._clock(),
            skipped=tally.skipped,
            loss_by_t=means(tally.beside),
        )
        self._skipped_in_a_row = tally.skipped_in_a_row
        self._train_seconds, self._logged_at = 0.0, self.step
        self._unwritten.append(logged)
        with suppress(NoRoomError):
            self._write_rows()
        if tally.skipped:
            self._notice(
                f"skipped {tally.skipped} of {tally.steps} steps: loss or gradients not finite"
            )
        smoothed = self._status.loss
        if tally.loss is not None:
            kept = 0.0 if smoothed is None else _LOSS_SMOOTHING
            smoothed = kept * (smoothed or 0.0) + (1 - kept) * tally.loss
        self._write_status(
            replace(self._status, loss=smoothed, images_per_second=logged.images_per_second)
        )
        return logged

    def _write_rows(self) -> None:
        while self._unwritten:
            append_row(self.run.metrics_path, asdict(self._unwritten[0]))
            del self._unwritten[0]

    def _log(self, message: str) -> None:
        # On a full disk, what goes into the log is the first to be left out.
        with suppress(NoRoomError):
            self.run.log(message)

    def _notice(self, message: str) -> None:
        self._log(message)
        self._notices.append(Notice(self.step, message))

    def _take_notices(self) -> Iterator[Notice]:
        while self._notices:
            yield self._notices.pop(0)

    def _write_status(self, status: Status) -> None:
        self._check_owned()
        self._status = replace(status, step=self.step, elapsed=self.elapsed)
        with suppress(NoRoomError):
            self.run.write_status(self._status)

    def pause(self) -> None:
        """Tell viewers that nobody pulls at present; `unpause` takes it back."""
        self._write_status(replace(self._status, state="paused"))

    def unpause(self) -> None:
        self._room.try_again()
        self._write_running()

    def _write_running(self) -> None:
        """That it runs, or why it waits."""
        missing = self._room.missing
        state = "paused" if missing else "running"
        self._write_status(replace(self._status, state=state, reason=missing))

    def _with_room(self, write: Callable[[], T]) -> Generator[Event, None, T]:
        """What `write` returns; while the disk has no room for it, nothing is trained."""
        return (yield from self._room.wait_for(write, self.step))

    def _room_changed(self, missing: str) -> Iterator[Event]:
        self._notice(missing or "there is room again: the training goes on")
        self._write_running()
        yield from self._take_notices()

    # --- What is measured and kept -------------------------------------------------------------

    def preview(self) -> Iterator[Event]:
        """Paint the preview grid, from the same noise every time: with the EMA weights, and with
        the raw ones too where the config asks for it and there is an EMA to compare.

        Yields every step of the reverse process, then the path of the finished grid; for each.
        """
        painted = [self._painter.paint(self.ema, "ema", self.step)]
        if self.config.training.preview_raw and self.ema is not self.model:
            painted.append(self._painter.paint(self.model, "raw", self.step))
        for events in painted:
            try:
                yield from events
            except NoRoomError as error:
                # A picture is the first to be given up: the training goes on without it.
                self._notice(f"a preview was left out. {error.message}")
                yield from self._take_notices()

    @torch.no_grad()
    def evaluate(self) -> float:
        """The loss of the EMA weights on held-out images, with the same draws every time.

        The noise of the training loss hides which of two checkpoints is better; this does not.
        """
        whole = self.batches.held_out(_EVAL_IMAGES, self.step)
        self.ema.eval()
        # No more at a time than training found room for.
        piece = min(_EVAL_BATCH, max(1, self.config.data.batch_size // self.gradients.pieces))
        pieces = whole.pieces(-(-len(whole) // piece))
        return float(torch.cat([self.gradients.losses(self.ema, part) for part in pieces]).mean())

    def checkpoint(self) -> CheckpointSaved:
        """Publish a checkpoint of this step and remove those that are no longer wanted.

        Raises:
            NoRoomError: the disk is full; the last checkpoint is kept.
            RunError: the folder cannot be written.
            WeightsLostError: there is nothing finite to keep; a resume from here could only fail.
        """
        return self._save(self._worth_keeping())

    def _worth_keeping(self) -> float:
        """The held-out loss, if the weights can be gone on from; else raises WeightsLostError."""
        eval_loss = self.evaluate()
        if not (math.isfinite(eval_loss) and self._learned.is_finite()):
            raise WeightsLostError(
                f"The weights are not finite at step {self.step:,} and were not saved",
                f"The last checkpoint is kept; go on from it: ddpm-tui resume {self.run.name}",
            )
        return eval_loss

    def _save(self, eval_loss: float) -> CheckpointSaved:
        self._check_owned()
        self._write_rows()
        state = {
            "step": self.step,
            "eval_loss": eval_loss,
            "loss": self._status.loss,
            "elapsed": self.elapsed,
            "image_shape": self.dataset.image_shape,
            "class_names": self.dataset.class_names,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "rollbacks": self.rollbacks,
            "scaler": self.optimization.scaler.state_dict(),
        }
        saved = checkpoints.save_checkpoint(self.run, self.step, self._learned.tensors(), state)
        checkpoints.prune_checkpoints(self.run, self.config.training.keep_checkpoints, saved)
        self._log(f"checkpoint at step {self.step}, held-out loss {eval_loss:.4f}")
        self._write_status(replace(self._status, eval_loss=eval_loss))
        return CheckpointSaved(self.step, saved.path, eval_loss)

    def try_checkpoint(self) -> Iterator[Event]:
        """Publish a checkpoint for whoever asks; on a full disk, say that there is none."""
        try:
            saved = self.checkpoint()
        except NoRoomError as error:
            self._notice(f"no checkpoint was saved at step {self.step:,}. {error.message}")
            yield from self._take_notices()
        else:
            yield saved

    def _restore(self) -> None:
        """Go on from the newest checkpoint that verifies, and say so when one did not.

        Without any, a training that has begun starts anew.
        """
        found, problems = checkpoints.newest_verified(self.run)
        if found is not None:
            for problem in problems:
                self._notice(f"{problem}; going back to an earlier one")
            self._load(found)
        elif problems and not self.step:
            # To start anew would overwrite what there is to save of this run.
            raise CheckpointError(
                f"No checkpoint of {self.run.name} can be used. {problems[0]}",
                f"Start a new run, or remove {self.run.checkpoints_path} to begin this one anew.",
            )
        elif self.step:
            self._learned.forget(self._build_model().state_dict())
            self.step = 0
            self._status = replace(self._status, loss=None, eval_loss=None)

    def _load(self, found: checkpoints.Checkpoint) -> None:
        saved = found.state()
        try:
            self._learned.load(found, saved.get("scaler") or {})
        except ValueError as error:
            raise CheckpointError(
                f"Checkpoint {found.path.name} does not fit {self.run.name}'s config: {error}",
                "Put config.toml back as it was when the run was trained.",
            ) from None
        self.step, self.elapsed = found.step, float(saved["elapsed"])
        self.rollbacks = int(saved.get("rollbacks", 0))
        self._status = replace(
            self._status, loss=saved.get("loss"), eval_loss=saved.get("eval_loss")
        )

    def _go_back(self) -> Iterator[Event]:
        """Train on from the last good checkpoint, or from the start, at half the learning rate.

        The checkpoint is written anew, so that a resume keeps the lowered rate.

        Raises:
            RunError: going back has not helped.
        """
        lost_at, rollbacks, elapsed = self.step, self.rollbacks + 1, self.elapsed
        if rollbacks > _MAX_ROLLBACKS:
            raise RunError(
                f"The loss is not finite at step {lost_at:,}, after going back "
                f"{_MAX_ROLLBACKS} times to a learning rate of {self._lr(lost_at - 1):.2g}",
                "Train anew with a lower --lr or precision fp32; the last checkpoint is kept.",
            )
        self._restore()
        self.rollbacks, self.elapsed = rollbacks, elapsed
        self._train_seconds, self._logged_at = 0.0, self.step
        self._unwritten.clear()
        yield from self._with_room(partial(drop_rows_after, self.run.metrics_path, self.step))
        self._notice(
            f"the loss is not finite at step {lost_at:,}: back to step {self.step:,}, at "
            f"{0.5**rollbacks:g} of the learning rate"
        )
        saved = yield from self._with_room(partial(self._save, self._worth_keeping()))
        yield from self._take_notices()
        yield saved
