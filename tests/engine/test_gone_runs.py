"""A run that is not in its folder any more: one error, which says where it is now."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config import make_config
from engine.errors import RunGoneError
from engine.runs import io, keeping
from engine.runs.checkpoint import find_checkpoint, list_checkpoints
from engine.runs.folder import Run, create_run, open_run
from engine.runs.requests import ask
from engine.sampling import load_trained
from engine.takes.favourites import list_favourites
from engine.train import Trainer


def made(runs_dir: Path, name: str = "r", steps: int = 4) -> Run:
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 4},
        diffusion={"num_train_timesteps": 8},
        model={"name": "dit", "patch_size": 7, "hidden_size": 32},
        training={"steps": steps, "log_every": 1, "checkpoint_every": 2, "preview_every": 0},
        sampling={"num_inference_steps": 4},
    )
    return create_run(runs_dir, config, name=name)


# How it leaves, and what is said then.
WAYS: dict[str, tuple[Callable[[Run], object], str]] = {
    "deleted": (keeping.delete, "r was deleted and is in the trash"),
    "renamed": (lambda run: keeping.rename(run, "s"), "r was renamed to s"),
    "moved by hand": (lambda run: run.path.rename(run.path.with_name("t")), "r was renamed to t"),
    "removed": (lambda run: shutil.rmtree(run.path), "r is no longer in"),
    "emptied": (
        lambda run: (keeping.delete(run), keeping.empty_trash(run.path.parent)),
        "r is no longer in",
    ),
}

# Whatever reads or writes a file of a run.
USES: dict[str, Callable[[Run], Any]] = {
    "info": Run.info,
    "config": Run.config,
    "values of the config": Run.config_values,
    "status": Run.status,
    "log": lambda run: run.log("x"),
    "lock": lambda run: run.lock().__enter__(),
    "folder to write into": lambda run: run.folder_for("samples"),
    "checkpoint": find_checkpoint,
    "weights": load_trained,
    "request": lambda run: ask(run, "stop"),
    "write": lambda run: io.write_atomic(run.path / "x", b""),
    "tags": lambda run: keeping.change_tags(run, ["a"]),
    "note": lambda run: keeping.write_note(run, "a"),
    "archive": lambda run: keeping.set_archived(run, True),
    "rename": lambda run: keeping.rename(run, "new"),
    "delete": keeping.delete,
    "favourites": list_favourites,
    "folder below": lambda run: io.make_folder(run.path / "samples" / "x", parents=True),
    "train": lambda run: Trainer(run, device="cpu"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_use_of_a_run_says_what_became_of_it(way: str, tmp_path: Path) -> None:
    leave, sentence = WAYS[way]
    run = made(tmp_path / "runs")
    run.info()
    leave(run)
    for name, use in USES.items():
        with pytest.raises(RunGoneError) as caught:
            use(run)
        assert caught.value.message.startswith(sentence), name
        assert caught.value.hint, name
    assert not run.path.exists(), "nobody makes the folder anew"


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_gone_that_nobody_had_opened(way: str, tmp_path: Path) -> None:
    leave, sentence = WAYS[way]
    runs_dir = tmp_path / "runs"
    leave(made(runs_dir))
    with pytest.raises(Exception, match="r") as caught:
        open_run(runs_dir, "r")
    removed = "no longer" in sentence
    assert ("There is no run 'r'" if removed else sentence) in str(caught.value)


def test_it_is_the_run_that_was_meant_and_not_another_of_its_name(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    keeping.delete(made(runs_dir))
    run = made(runs_dir)
    run.info()
    shutil.rmtree(run.path)
    with pytest.raises(RunGoneError) as caught:
        run.config()
    assert caught.value.now is None, "the one in the trash is an earlier one"


def test_a_copy_of_a_run_is_not_taken_for_it(tmp_path: Path) -> None:
    run = made(tmp_path / "runs")
    run.info()
    shutil.copytree(run.path, run.path.with_name("copy"))
    shutil.rmtree(run.path)
    with pytest.raises(RunGoneError, match="r is no longer in"):
        run.config()


def test_a_file_that_is_missing_in_a_run_that_is_there_is_only_that(tmp_path: Path) -> None:
    run = made(tmp_path / "runs")
    run.config_path.unlink()
    with pytest.raises(Exception, match=r"Cannot read .*config.toml") as caught:
        run.config()
    assert not isinstance(caught.value, RunGoneError)


def test_a_run_is_found_by_each_of_the_names_that_it_had(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    run = keeping.rename(keeping.rename(made(runs_dir, "a"), "b"), "c")
    for name in "ab":
        with pytest.raises(RunGoneError, match=f"{name} was renamed to c"):
            open_run(runs_dir, name)
    again = keeping.rename(run, "a")
    assert json.loads((again.path / "run.json").read_text())["former_names"] == ["b", "c"]


# --- A training whose folder somebody takes away ------------------------------------------------


def test_a_training_saves_where_its_folder_is_now(tmp_path: Path) -> None:
    run = made(tmp_path / "runs", steps=100)
    now = run.path.with_name("s")
    trained = trained_until_gone(run, lambda: run.path.rename(now))
    saved = list_checkpoints(Run(now))[-1].step
    assert saved > 3
    assert trained == f"r was renamed to s. Step {saved} was saved there"
    status = Run(now).status()
    assert status.state == "stopped"
    assert "moved while it was trained" in status.reason
    assert not run.path.exists()
    goes_on = Trainer(Run(now), device="cpu")
    assert goes_on.step == status.step


def test_a_training_does_not_write_into_another_run_of_its_name(tmp_path: Path) -> None:
    run = made(tmp_path / "runs", steps=100)
    others: list[Run] = []

    def swap() -> None:
        run.path.rename(run.path.with_name("s"))
        others.append(made(run.path.parent))

    assert trained_until_gone(run, swap).startswith("r was renamed to s")
    other = others[0]
    assert other.status().state == "created"
    assert not other.metrics_path.exists()
    assert not list_checkpoints(other)


def test_a_training_whose_folder_is_removed_ends_with_a_sentence(tmp_path: Path) -> None:
    run = made(tmp_path / "runs", steps=100)
    trained = trained_until_gone(run, lambda: shutil.rmtree(run.path))
    assert trained.startswith("r is no longer in")
    assert not run.path.exists(), "nothing of it is made anew"


def trained_until_gone(run: Run, leave: Callable[[], object]) -> str:
    """What a training says that loses its folder after three steps."""
    with pytest.raises(RunGoneError) as caught:
        for event in Trainer(run, device="cpu"):
            if getattr(event, "step", 0) == 3 and type(event).__name__ == "Stepped":
                leave()
    return caught.value.message
