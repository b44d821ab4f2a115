"""Checkpoints: safetensors and JSON in a folder that is published whole, with a manifest.

No pickle anywhere: a checkpoint from a stranger cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError, RunError
from engine.runs import io
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
    """A checkpoint folder and the step it was taken at."""

    path: Path
    step: int

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
            if isinstance(error, CheckpointError):
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
    if not run.checkpoints_path.is_dir():
        return []
    found = [
        Checkpoint(path, int(match[1]))
        for path in run.checkpoints_path.iterdir()
        if (match := _STEP_FOLDER.fullmatch(path.name))
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def best_checkpoint(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest loss of the EMA weights on held-out images."""
    scored = []
    for checkpoint in checkpoints:
        try:
            eval_loss = checkpoint.state().get("eval_loss")
        except RunError:
            continue
        if is_number(eval_loss):
            scored.append((eval_loss, -checkpoint.step, checkpoint))
    return min(scored, key=lambda item: item[:2])[2] if scored else None


def find_checkpoint(run: Run, which: str = "best") -> Checkpoint:
    """A checkpoint to sample from, verified: `best`, `last`, or a step number.

    Raises:
        CheckpointError: there is none, or it does not verify.
    """
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        raise CheckpointError(
            f"{run.name} has no checkpoint yet",
            f"Train it first: ddpm-tui resume {run.name}",
        )
    if which == "last":
        chosen: Checkpoint | None = checkpoints[-1]
    elif which == "best":
        chosen = best_checkpoint(checkpoints) or checkpoints[-1]
    else:
        step = int(which) if re.fullmatch(r"\d{1,12}", which, re.ASCII) else None
        chosen = next((c for c in checkpoints if c.step == step), None)
        if chosen is None:
            steps = ", ".join(str(c.step) for c in checkpoints)
            raise CheckpointError(
                f"{run.name} has no checkpoint {which!r}", f"There are: best, last, {steps}."
            )
    assert chosen is not None
    chosen.verify(for_sampling=True)
    return chosen


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


def save_checkpoint(
    run: Run, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Checkpoint:
    """Write `<name>.safetensors` for each entry of `tensors`, state.json and the manifest.

    Raises:
        RunError: the folder cannot be written; then nothing is left of the attempt.
    """
    from safetensors.torch import save

    target = run.checkpoints_path / f"step-{step:08d}"
    with io.published_folder(target) as folder:
        for name, values in tensors.items():
            # Not save_file: it has errors of its own for a full disk.
            data = save({key: value.detach().contiguous().cpu() for key, value in values.items()})
            (folder / f"{name}.safetensors").write_bytes(data)
        (folder / "state.json").write_text(json.dumps(dict(state), indent=2) + "\n")
        hashes = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
        manifest = {"step": step, "written": time.time(), "sha256": hashes}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return Checkpoint(target, step)


def prune_checkpoints(run: Run, keep: int, saved: Checkpoint) -> None:
    """Remove all but the newest `keep` up to the one just saved, and the best of them.

    What is newer than that does not verify, or training would have gone on from there: it neither
    counts nor is it touched.
    """
    checkpoints = [entry for entry in list_checkpoints(run) if entry.step <= saved.step]
    best = best_checkpoint(checkpoints)
    for checkpoint in checkpoints[:-keep]:
        if best is None or checkpoint.step != best.step:
            shutil.rmtree(checkpoint.path, ignore_errors=True)
