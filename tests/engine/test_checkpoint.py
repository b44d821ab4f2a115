"""Checkpoints: published whole, verified before use, pruned with care."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.config import RunConfig
from engine.errors import CheckpointError, RunError
from engine.runs.checkpoint import (
    Checkpoint,
    best_checkpoint,
    find_checkpoint,
    list_checkpoints,
    newest_verified,
    prune_checkpoints,
    save_checkpoint,
)
from engine.runs.folder import Run, create_run

WEIGHTS = {
    "conv.weight": torch.arange(12.0).reshape(3, 4).T,
    "step": torch.tensor(7.0),
    "half": torch.ones(5, dtype=torch.bfloat16, requires_grad=True),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "runs", RunConfig())


def save(run: Run, step: int, eval_loss: float | None = None, **more: object) -> Checkpoint:
    tensors = {"model": WEIGHTS, "optimizer": {"exp_avg": torch.randn(50)}}
    return save_checkpoint(run, step, tensors, {"step": step, "eval_loss": eval_loss, **more})


def steps(run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(run)]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_was_saved_comes_back(run: Run) -> None:
    saved = save(run, 500, 0.25, image_shape=(1, 28, 28))
    assert saved.path == run.checkpoints_path / "step-00000500"
    assert saved.state() == {"step": 500, "eval_loss": 0.25, "image_shape": [1, 28, 28]}
    loaded = load_file(saved.path / "model.safetensors")
    assert set(loaded) == set(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)
    saved.verify()
    assert list_checkpoints(run) == [saved]


def test_a_checkpoint_is_files_that_other_tools_open_and_nothing_else(run: Run) -> None:
    saved = save(run, 1)
    assert everything(saved.path) == {
        *("MANIFEST.json", "model.safetensors", "optimizer.safetensors", "state.json")
    }
    assert everything(run.checkpoints_path) == {
        *("step-00000001", *(f"step-00000001/{name}" for name in everything(saved.path)))
    }


def test_the_weights_to_sample_with_are_the_average_where_there_is_one(run: Run) -> None:
    saved = save(run, 1)
    assert saved.weights_path.name == "model.safetensors"
    both = save_checkpoint(run, 2, {"model": WEIGHTS, "ema": WEIGHTS}, {})
    assert both.weights_path.name == "ema.safetensors"


def test_checkpoints_are_listed_oldest_first(run: Run) -> None:
    for step in (900, 1_000, 123_456_789, 5):
        save(run, step)
    (run.checkpoints_path / "step-12").mkdir()
    (run.checkpoints_path / ".step-00000600.ab12cd34.tmp").mkdir()
    (run.checkpoints_path / "notes").touch()
    assert steps(run) == [5, 900, 1_000, 123_456_789]
    shutil.rmtree(run.checkpoints_path)
    assert steps(run) == []


def test_saving_a_step_again_replaces_it(run: Run) -> None:
    save(run, 5, 0.5)
    saved = save(run, 5, 0.25)
    assert saved.state()["eval_loss"] == 0.25
    saved.verify()
    assert {path.name for path in run.checkpoints_path.iterdir()} == {"step-00000005"}


# --- choosing ---


def test_the_best_has_the_lowest_loss_on_held_out_images(run: Run) -> None:
    for step, loss in ((1, 0.3), (2, 0.1), (3, 0.2)):
        save(run, step, loss)
    assert find_checkpoint(run).step == find_checkpoint(run, "best").step == 2
    assert find_checkpoint(run, "last").step == 3
    assert find_checkpoint(run, "1").step == 1


def test_of_equals_the_later_is_the_best(run: Run) -> None:
    for step in (1, 3, 2):
        save(run, step, 0.1)
    assert find_checkpoint(run, "best").step == 3


def test_a_checkpoint_without_a_loss_is_the_best_only_when_none_has_one(run: Run) -> None:
    save(run, 1)
    save(run, 2)
    assert best_checkpoint(list_checkpoints(run)) is None
    assert find_checkpoint(run, "best").step == 2
    save(run, 3, 9.0)
    save(run, 4)
    (save(run, 5, 0.1).path / "state.json").write_text("{")
    assert find_checkpoint(run, "best").step == 3


def test_a_run_without_checkpoints_says_how_to_get_one(run: Run) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint yet.*ddpm-tui resume run1"):
        find_checkpoint(run)
    assert newest_verified(run) == (None, [])


@pytest.mark.parametrize("which", ["3", "-1", "worst", "", "1.0", "step-00000001"])
def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(run: Run, which) -> None:
    save(run, 1)
    save(run, 20)
    with pytest.raises(CheckpointError, match="best, last, 1, 20"):
        find_checkpoint(run, which)


# --- damage ---


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a bit flipped": _flip_a_bit,
    "cut": _cut,
    "empty": _empty,
    "removed": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_file_does_not_verify(run: Run, file, damage) -> None:
    saved = save(run, 5, 0.1)
    DAMAGES[damage](saved.path / file)
    with pytest.raises(CheckpointError, match="step-00000005 does not verify") as error:
        saved.verify()
    assert file in str(error.value)
    assert error.value.hint
    for which in ("best", "last", "5"):
        if file == "optimizer.safetensors":
            assert find_checkpoint(run, which) == saved, "pictures do not need it"
        else:
            with pytest.raises(CheckpointError, match="does not verify"):
                find_checkpoint(run, which)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_average_is_not_replaced_by_the_trained_weights_in_silence(run: Run, damage) -> None:
    saved = save_checkpoint(run, 5, {"model": WEIGHTS, "ema": WEIGHTS}, {"step": 5})
    DAMAGES[damage](saved.path / "ema.safetensors")
    with pytest.raises(CheckpointError, match="does not verify"):
        find_checkpoint(run)


@pytest.mark.parametrize(
    "manifest", [None, "", "{}", "[]", '{"sha256": 3}', '{"sha256": {"model.safetensors": 3}}']
)
def test_a_damaged_manifest_does_not_verify(run: Run, manifest) -> None:
    saved = save(run, 5)
    path = saved.path / "MANIFEST.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(CheckpointError, match="does not verify"):
        saved.verify()


def test_a_manifest_is_the_hashes_of_the_files(run: Run) -> None:
    manifest = json.loads((save(run, 5).path / "MANIFEST.json").read_text())
    assert manifest["step"] == 5
    assert set(manifest["sha256"]) == {"model.safetensors", "optimizer.safetensors", "state.json"}
    assert all(len(digest) == 64 for digest in manifest["sha256"].values())


def test_a_resume_goes_back_to_the_newest_that_verifies_and_says_why(run: Run) -> None:
    for step in (1, 2, 3, 4):
        save(run, step)
    _cut(run.checkpoints_path / "step-00000004" / "model.safetensors")
    (run.checkpoints_path / "step-00000003" / "MANIFEST.json").unlink()
    found, problems = newest_verified(run)
    assert found is not None
    assert found.step == 2
    assert [problem[:24] for problem in problems] == [
        *("Checkpoint step-00000004", "Checkpoint step-00000003")
    ]


# --- pruning ---


@pytest.mark.parametrize(
    ("losses", "keep", "left"),
    [
        ([0.5, 0.4, 0.3, 0.2], 2, [3, 4]),
        ([0.1, 0.4, 0.3, 0.2], 2, [1, 3, 4]),
        ([0.5, 0.1, 0.3, 0.2], 1, [2, 4]),
        ([None, None, None, None], 1, [4]),
        ([0.5, 0.4], 3, [1, 2]),
    ],
)
def test_pruning_keeps_the_newest_and_the_best(run: Run, losses, keep, left) -> None:
    for step, loss in enumerate(losses, start=1):
        newest = save(run, step, loss)
    prune_checkpoints(run, keep, newest)
    assert steps(run) == left
    for checkpoint in list_checkpoints(run):
        checkpoint.verify()


def test_pruning_neither_counts_nor_touches_what_is_newer_than_the_one_just_saved(run: Run) -> None:
    """What training did not go on from does not verify; it may even seem to be the best."""
    for step, loss in ((1, 0.5), (2, 0.6), (9, 0.1)):
        save(run, step, loss)
    prune_checkpoints(run, 1, list_checkpoints(run)[1])
    assert steps(run) == [1, 2, 9]
    prune_checkpoints(run, 1, save(run, 3, 0.4))
    assert steps(run) == [3, 9]


# --- writes that fail ---


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk, a write fails midway: in the first file of more than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("file", "size", "more"),
    [
        ("model.safetensors", 0, {}),
        ("optimizer.safetensors", 260, {}),
        ("state.json", 300, {"note": "x" * 300}),
        ("MANIFEST.json", 300, {}),
    ],
)
def test_a_failing_write_leaves_nothing_behind(run: Run, file, size, more) -> None:
    before = save(run, 1, 0.5, **more)
    sizes = {path.name: path.stat().st_size for path in before.path.iterdir()}
    assert sizes[file] > size, "this is the file that does not fit"
    with (
        largest_file(size),
        pytest.raises(RunError, match=r"Cannot write .*step-00000002") as error,
    ):
        save(run, 2, **more)
    assert "too large" in str(error.value)
    assert {path.name for path in run.checkpoints_path.iterdir()} == {"step-00000001"}
    before.verify()


def test_a_failing_write_leaves_the_same_step_as_it_was(run: Run) -> None:
    save(run, 1, 0.5)
    with largest_file(300), pytest.raises(RunError):
        save(run, 1, 0.25)
    assert find_checkpoint(run, "1").state()["eval_loss"] == 0.5
    assert {path.name for path in run.checkpoints_path.iterdir()} == {"step-00000001"}


def test_a_state_that_is_no_json_leaves_nothing_behind(run: Run) -> None:
    with pytest.raises(TypeError):
        save(run, 1, weird=object())
    assert list(run.checkpoints_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_a_run_error(run: Run) -> None:
    run.checkpoints_path.rmdir()
    run.checkpoints_path.touch()
    with pytest.raises(RunError, match="Cannot create"):
        save(run, 1)
    assert steps(run) == []
