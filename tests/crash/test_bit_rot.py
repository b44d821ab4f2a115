"""Checkpoints that rot on the disk: set aside and stepped back from, and both are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import CheckpointError
from engine.events import CheckpointSaved, Finished, Notice, Started
from engine.runs.checkpoint import best_checkpoint, find_checkpoint, list_checkpoints
from engine.runs.folder import Run, create_run
from engine.sampling import load_trained
from engine.train import Trainer
from tests.cli.conftest import run_cli
from tests.crash.life import STEPS, small_config, weights


@pytest.fixture
def stopped(memory: Path, quick_trainings: None, tmp_path: Path) -> Run:
    """A run with checkpoints at steps 2 and 4, of 5."""
    config = small_config()
    training = config.training.model_copy(update={"keep_checkpoints": 100})
    run = create_run(tmp_path / "runs", config.model_copy(update={"training": training}))
    for event in Trainer(run, device="cpu"):
        if isinstance(event, CheckpointSaved) and event.step == 4:
            break
    assert [each.step for each in list_checkpoints(run)] == [2, 4]
    return run


def rot(run: Run, step: int, name: str = "model.safetensors") -> None:
    path = run.checkpoints_path / f"step-{step:08d}" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    stopped: Run, undisturbed: dict[str, str]
) -> None:
    rot(stopped, 4, "optimizer.safetensors")
    damaged = (stopped.checkpoints_path / "step-00000004/optimizer.safetensors").read_bytes()
    events = list(Trainer(stopped, device="cpu"))
    assert next(event for event in events if isinstance(event, Started)).step == 2
    said = [event.message for event in events if isinstance(event, Notice)]
    assert any("step-00000004 does not verify: optimizer.safetensors" in line for line in said)
    assert any("step-00000004 was set aside as step-00000004.damaged" in line for line in said)
    assert all(line in stopped.log_path.read_text() for line in said)
    kept = stopped.checkpoints_path / "step-00000004.damaged" / "optimizer.safetensors"
    assert kept.read_bytes() == damaged, "nothing of it is lost"
    assert events[-1] == Finished(STEPS)
    assert weights(stopped) == undisturbed


def test_what_was_set_aside_is_not_replaced_by_what_is_set_aside_later(stopped: Run) -> None:
    rot(stopped, 4)
    for event in Trainer(stopped, device="cpu"):
        if isinstance(event, CheckpointSaved) and event.step == 4:
            break
    rot(stopped, 4)
    list(Trainer(stopped, device="cpu"))
    names = {path.name for path in stopped.checkpoints_path.iterdir()}
    assert {"step-00000004.damaged", "step-00000004.damaged-2", "step-00000004"} <= names


def test_where_all_are_damaged_a_training_begins_nothing_anew(stopped: Run) -> None:
    rot(stopped, 2)
    rot(stopped, 4)
    with pytest.raises(CheckpointError, match="No checkpoint of run1 can be used") as error:
        Trainer(stopped, device="cpu")
    assert error.value.hint
    assert [each.step for each in list_checkpoints(stopped)] == [2, 4]


@pytest.mark.parametrize("which", ["last", "best"])
def test_pictures_come_from_the_next_that_verifies_and_it_is_said(stopped: Run, which) -> None:
    first = list_checkpoints(stopped)[-1]
    if which == "best":
        best = best_checkpoint(list_checkpoints(stopped))
        assert best is not None
        first = best
    rot(stopped, first.step, "ema.safetensors")
    found = find_checkpoint(stopped, which)
    assert found.step == 6 - first.step
    [said] = found.passed_over
    assert said == (
        f"Checkpoint {first.path.name} does not verify: ema.safetensors was altered: "
        f"step {found.step} is used instead"
    )
    assert load_trained(stopped, which=which, device="cpu").passed_over == found.passed_over


def test_a_checkpoint_that_is_asked_for_by_its_step_is_that_or_an_error(stopped: Run) -> None:
    rot(stopped, 4, "ema.safetensors")
    with pytest.raises(CheckpointError, match="step-00000004 does not verify"):
        find_checkpoint(stopped, "4")
    assert find_checkpoint(stopped, "2").passed_over == ()


@pytest.mark.slow
def test_sample_and_export_say_what_they_pass_over(stopped: Run) -> None:
    rot(stopped, 4, "ema.safetensors")
    folder = stopped.path.parents[1]
    for verb in (
        ("sample", "run1", "--checkpoint", "last", "--num", "2", "--steps", "2"),
        ("export", "run1", "--checkpoint", "last"),
    ):
        done = run_cli(*verb, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "step-00000004 does not verify" in done.stderr
        assert "step 2 is used instead" in done.stderr
    done = run_cli("export", "run1", "--checkpoint", "4", cwd=folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
