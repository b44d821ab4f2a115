"""Checkpoints: safetensors and JSON in a folder that is published whole, with a manifest.

No pickle anywhere: a checkpoint from a stranger cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError, RunError, RunGoneError
from engine.runs import io, publishing
from engine.runs.folder import Run
from engine.runs.outside import is_number, open_file

if TYPE_CHECKING:
    from torch import Tensor

_STEP_FOLDER = re.compile(r"step-(\d{8,12})", re.ASCII)
MANIFEST = "MANIFEST.json"
# What a manifest may name: no path.
_FILE = re.compile(r"[a-z_]+\.(safetensors|json)", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder and the step it was taken at.

    Attributes:
        passed_over: what was wrong with those that would have been taken before it, for a person.
    """

    path: Path
    step: int
    passed_over: tuple[str, ...] = field(default=(), compare=False)

    @property
    def weights_path(self) -> Path:
        """The weights to sample with: the EMA, or the trained ones where there is no EMA."""
        ema = self.path / "ema.safetensors"
        return ema if ema.exists() else self.path / "model.safetensors"

    def state(self) -> dict[str, Any]:
        """state.json: step, eval_loss, elapsed, image_shape, class_names, parameters."""
        return io.read_json(self.path / "state.json")

    def verify(self, *, for_sampling: bool = False) -> None:
        """Compare the files with the manifest.

        Args:
            for_sampling: only the weights to sample with and the state, not what a resume needs.

        Raises:
            RunGoneError: the run that it is of is not there any more.
            CheckpointError: a file is missing, unreadable or altered.
        """
        try:
            manifest = io.read_json(self.path / MANIFEST)["sha256"]
            # By the manifest: where the EMA is missing, weights_path takes the trained weights.
            weights = "ema.safetensors" if "ema.safetensors" in manifest else "model.safetensors"
            names = [weights, "state.json"] if for_sampling else [*manifest]
            for name in names:
                expected = manifest[name]
                if not _FILE.fullmatch(name):
                    raise CheckpointError(
                        f"Checkpoint {self.path.name} does not verify: "
                        f"{name!r:.80} is no file of a checkpoint",
                        "Use an earlier one: --checkpoint, or remove the folder.",
                    )
                if _sha256(self.path / name) != expected:
                    raise CheckpointError(
                        f"Checkpoint {self.path.name} does not verify: {name} was altered",
                        "Use an earlier one: --checkpoint, or remove the folder.",
                    )
        except (RunError, OSError, KeyError, AttributeError, TypeError) as error:
            if isinstance(error, CheckpointError | RunGoneError):
                raise
            raise CheckpointError(
                f"Checkpoint {self.path.name} does not verify: {error}",
                "Use an earlier one: --checkpoint, or remove the folder.",
            ) from None


def _sha256(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_checkpoints(run: Run) -> list[Checkpoint]:
    """The checkpoints of a run, oldest first; by name alone, not verified."""
    try:
        paths = list(run.checkpoints_path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        Checkpoint(path, int(match[1]))
        for path in paths
        if (match := _STEP_FOLDER.fullmatch(path.name))
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def best_checkpoint(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest loss of the EMA weights on held-out images."""
    return next(iter(_best_first(checkpoints)), None)


def _best_first(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Those whose loss is known; of equals the later first."""
    scored = []
    for checkpoint in checkpoints:
        try:
            eval_loss = checkpoint.state().get("eval_loss")
        except RunError:
            continue
        if is_number(eval_loss):
            scored.append((eval_loss, -checkpoint.step, checkpoint))
    return [checkpoint for *_, checkpoint in sorted(scored, key=lambda item: item[:2])]


def find_checkpoint(run: Run, which: str = "best") -> Checkpoint:
    """A checkpoint to sample from, verified: `best`, `last`, or a step number.

    Where the best or the last does not verify, the next one does; `passed_over` says so.

    Raises:
        RunGoneError: the run is not there any more.
        CheckpointError: there is none, or it does not verify.
    """
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        run.check_here()
        raise CheckpointError(
            f"{run.name} has no checkpoint yet",
            f"Train it first: ddpm-tui resume {run.name}",
        )
    if which in ("best", "last"):
        wanted = _best_first(checkpoints) if which == "best" else []
        wanted += [each for each in reversed(checkpoints) if each not in wanted]
    else:
        step = int(which) if re.fullmatch(r"\d{1,12}", which, re.ASCII) else None
        wanted = [each for each in checkpoints if each.step == step]
        if not wanted:
            steps = ", ".join(str(c.step) for c in checkpoints)
            raise CheckpointError(
                f"{run.name} has no checkpoint {which!r}", f"There are: best, last, {steps}."
            )
    errors: list[CheckpointError] = []
    for checkpoint in wanted:
        try:
            checkpoint.verify(for_sampling=True)
        except CheckpointError as error:
            errors.append(error)
        else:
            instead = f"step {checkpoint.step:,} is used instead"
            return replace(
                checkpoint, passed_over=tuple(f"{error.message}: {instead}" for error in errors)
            )
    run.check_here()
    raise errors[0]


def newest_verified(run: Run) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose manifest verifies, and what was wrong with newer ones."""
    problems = []
    for checkpoint in reversed(list_checkpoints(run)):
        try:
            checkpoint.verify()
        except CheckpointError as error:
            problems.append(error.message)
        else:
            return checkpoint, problems
    return None, problems


def set_aside_damaged(run: Run, after: int) -> list[tuple[Checkpoint, Path]]:
    """Rename the checkpoints after a step that do not verify, so that nobody takes them for one.

    For whoever holds the lock of the run. Nothing is removed: something may be saved of them. What
    cannot be renamed stays where it is.

    Returns:
        each with the path that it has now.
    """
    moved = []
    for checkpoint in list_checkpoints(run):
        if checkpoint.step <= after:
            continue
        try:
            checkpoint.verify()
        except CheckpointError:
            with suppress(RunError):
                moved.append((checkpoint, _set_aside(checkpoint.path)))
    return moved


def _set_aside(path: Path) -> Path:
    for number in count(1):
        aside = path.with_name(f"{path.name}.damaged{f'-{number}' if number > 1 else ''}")
        if publishing.claim(path, aside):
            return aside
    raise AssertionError


def save_checkpoint(
    run: Run, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Checkpoint:
    """Write `<name>.safetensors` for each entry of `tensors`, state.json and the manifest.

    Raises:
        RunError: the folder cannot be written; then nothing is left of the attempt.
    """
    if run.metrics_path.exists():
        # A resume keeps the rows up to here, so they have to be on the disk before it can.
        io.sync(run.metrics_path)
        io.sync(run.path)
    target = run.checkpoints_path / f"step-{step:08d}"
    with publishing.published_folder(target) as folder:
        hashes: dict[str, str] = {}

        def write(name: str, data: bytes) -> None:
            # Of what is in memory: read back, it would come out of the system's cache anyway.
            hashes[name] = hashlib.sha256(data).hexdigest()
            io.write_synced(folder / name, data)

        for name, values in tensors.items():
            write(f"{name}.safetensors", _serialised(values))
        write("state.json", json.dumps(dict(state), indent=2).encode() + b"\n")
        manifest = {"step": step, "written": time.time(), "sha256": hashes}
        io.write_synced(folder / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
    return Checkpoint(target, step)


def _serialised(values: Mapping[str, Tensor]) -> bytes:
    # Not save_file: it has errors of its own for a full disk.
    from safetensors.torch import save

    return save({key: value.detach().contiguous().cpu() for key, value in values.items()})


def prune_checkpoints(run: Run, keep: int, saved: Checkpoint) -> None:
    """Remove all but the newest `keep` up to the one just saved, and the best of them.

    What is newer than that does not verify, or training would have gone on from there: it neither
    counts nor is it touched. What cannot be removed stays.
    """
    checkpoints = [entry for entry in list_checkpoints(run) if entry.step <= saved.step]
    best = best_checkpoint(checkpoints)
    for checkpoint in checkpoints[:-keep]:
        if best is None or checkpoint.step != best.step:
            with suppress(RunError):
                io.remove(checkpoint.path)
