"""Training as a generator: its events, what it leaves on disk, and going on as if nothing was."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.config import TrainingConfig, make_config, to_toml
from engine.errors import CheckpointError, DeviceError, RunError
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
from engine.images import read_png
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, create_run
from engine.runs.metrics import Metrics
from engine.runs.previews import Previews, list_previews
from engine.train import Trainer, ema_decay, learning_rate


@pytest.fixture
def new_run(tmp_path: Path, tiny_config):
    """A new run with the tiny config; tables given as arguments are merged in."""

    def create(**overrides: object) -> Run:
        return create_run(tmp_path / "runs", tiny_config(**overrides))

    return create


def train(run: Run) -> list[Event]:
    return list(Trainer(run, device="cpu"))


def pull_until(events: Iterator[Event], last: Event) -> list[Event]:
    pulled = []
    for event in events:
        pulled.append(event)
        if event == last:
            return pulled
    raise AssertionError(f"{last} never came")


def tensors(run: Run, step: int) -> dict[str, Tensor]:
    """Every tensor of a checkpoint: weights, averages and the optimizer's."""
    folder = run.checkpoints_path / f"step-{step:08d}"
    return {
        f"{file.stem}.{name}": value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def rows(run: Run) -> list[int]:
    return [int(step) for step in Metrics(run.metrics_path).read_all().columns["step"]]


# --- events and files ---


def test_the_events_of_a_training_in_order(new_run) -> None:
    run = new_run(training={"preview_every": 100, "checkpoint_every": 4})
    events = train(run)
    told = [type(event).__name__ for event in events]
    preview = ["PreviewFrame"] * 3 + ["PreviewSaved"]
    assert told == [
        *("Started", *preview),
        *("Stepped", "Stepped", "Logged", "Stepped", "Stepped", "Logged", "CheckpointSaved"),
        *("Stepped", "Stepped", "Logged", *preview, "CheckpointSaved", "Finished"),
    ]
    assert [event.step for event in events if isinstance(event, Stepped)] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events if isinstance(event, Logged)] == [2, 4, 6]
    assert [event.step for event in events if isinstance(event, PreviewSaved)] == [0, 6]
    assert events[-1] == Finished(6)
    started = events[0]
    assert isinstance(started, Started)
    assert (started.step, started.total_steps, started.dataset) == (0, 6, "built in")
    assert started.device == "cpu (1 threads)"
    assert started.parameters == sum(p.numel() for p in Trainer(run, device="cpu").parameters)


def test_what_a_training_leaves_on_disk(new_run) -> None:
    run = new_run(training={"preview_every": 100, "checkpoint_every": 4})
    train(run)
    assert sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*.*")) == [
        ".lock",
        *(
            f"checkpoints/step-{step:08d}/{name}"
            for step in (4, 6)
            for name in (
                *("MANIFEST.json", "ema.safetensors", "figures.safetensors"),
                *("model.safetensors", "optimizer.safetensors", "state.json"),
            )
        ),
        *("config.toml", "env.json", "metrics.jsonl", "run.json"),
        *("samples/step-00000000.png", "samples/step-00000006.png"),
        *("status.json", "train.log"),
    ]
    log = run.log_path.read_text()
    assert "training from step 0 to 6 on cpu" in log
    assert "checkpoint at step 4, held-out loss" in log
    assert "finished at step 6" in log


def test_a_row_says_what_the_event_said(new_run) -> None:
    run = new_run()
    logged = [event for event in train(run) if isinstance(event, Logged)]
    metrics = Metrics(run.metrics_path).read_all()
    assert len(metrics) == len(logged) == 3
    for index, event in enumerate(logged):
        for name, column in metrics.columns.items():
            assert column[index] == getattr(event, name)
        assert event.images_per_second > 0
        assert event.grad_norm > 0
        assert event.lr == learning_rate(run.config().training, event.step - 1)
    assert list(metrics.columns["elapsed"]) == sorted(metrics.columns["elapsed"])


def test_the_status_of_a_finished_run(new_run) -> None:
    run = new_run()
    events = train(run)
    logged = [event.loss for event in events if isinstance(event, Logged)]
    [saved] = [event for event in events if isinstance(event, CheckpointSaved)]
    status = run.status()
    assert (status.state, status.reason, status.step, status.total_steps) == ("finished", "", 6, 6)
    smoothed = logged[0]
    for loss in logged[1:]:
        smoothed = 0.9 * smoothed + 0.1 * loss
    assert status.loss == pytest.approx(smoothed)
    assert status.eval_loss == saved.eval_loss
    assert 0 < status.elapsed < 60
    assert not run.is_locked()


def test_a_checkpoint_knows_its_figures(new_run) -> None:
    run = new_run()
    *_, saved, _ = train(run)
    [checkpoint] = list_checkpoints(run)
    checkpoint.verify()
    assert saved == CheckpointSaved(6, checkpoint.path, checkpoint.state()["eval_loss"])
    state = checkpoint.state()
    assert state["step"] == 6
    assert state["image_shape"] == [1, 28, 28]
    assert state["class_names"][9] == "Ankle boot"
    assert state["parameters"] == sum(p.numel() for p in Trainer(run, device="cpu").parameters)


def test_a_preview_is_a_grid_of_the_asked_size_with_how_it_was_made(new_run) -> None:
    run = new_run(training={"preview_every": 100})
    frames = [event for event in train(run) if isinstance(event, PreviewFrame)]
    assert [(frame.step, frame.reverse.index) for frame in frames] == [
        *((0, 0), (0, 1), (0, 2), (6, 0), (6, 1), (6, 2))
    ]
    assert torch.equal(frames[0].reverse.x_t, frames[3].reverse.x_t), "the same noise every time"
    images, about = read_png(run.samples_path / "step-00000006.png")
    assert images.shape == (2, 1, 28, 28)
    assert (about["step"], about["sampler"], about["num_inference_steps"]) == (
        *(6, run.config().preview.sampler, 3),
    )


def test_old_checkpoints_go_when_new_ones_are_there(new_run) -> None:
    run = new_run(training={"checkpoint_every": 1, "keep_checkpoints": 2})
    losses = {event.step: event.eval_loss for event in train(run) if hasattr(event, "eval_loss")}
    assert set(losses) == {1, 2, 3, 4, 5, 6}
    best = min(losses, key=lambda step: losses[step])
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == sorted({best, 5, 6})


# --- learning ---


def test_the_loss_falls(new_run) -> None:
    run = new_run(
        diffusion={"prediction_type": "epsilon", "beta_schedule": "linear"},
        training={"steps": 60, "lr": 5e-3, "log_every": 10, "ema_decay": 0.9},
    )
    events = train(run)
    losses = [event.loss for event in events if isinstance(event, Logged)]
    assert losses[0] < 1.1, "a network that predicts no noise starts at 1"
    assert losses[-1] < 0.7 * losses[0]
    [saved] = [event for event in events if isinstance(event, CheckpointSaved)]
    assert saved.eval_loss < 0.6


def test_the_articles_preset_trains(tmp_path: Path) -> None:
    config = make_config(
        "article",
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 16},
        training={"steps": 12, "log_every": 4, "preview_every": 0},
    )
    run = create_run(tmp_path, config)
    events = train(run)
    losses = [event.loss for event in events if isinstance(event, Logged)]
    assert losses[-1] < losses[0]
    assert {event.lr for event in events if isinstance(event, Logged)} == {1e-3}
    started = events[0]
    assert isinstance(started, Started)
    assert started.parameters == 606_852
    [checkpoint] = list_checkpoints(run)
    assert not (checkpoint.path / "ema.safetensors").exists()
    assert checkpoint.weights_path.name == "model.safetensors"


def test_bfloat16_is_for_the_products_only(new_run) -> None:
    run = new_run(training={"precision": "bf16"})
    trainer = Trainer(run, device="cpu")
    losses = [event.loss for event in trainer if isinstance(event, Logged)]
    assert all(math.isfinite(loss) for loss in losses)
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}


def test_an_epoch_shows_every_picture_once_and_in_an_order_of_its_own(new_run) -> None:
    trainer = Trainer(new_run(data={"batch_size": 3000}), device="cpu")
    # Ten batches are three epochs of 10,000; two of the batches span two epochs.
    stream = torch.cat([trainer.batches.indices(step) for step in range(10)])
    assert len(stream) == 30_000
    epochs = stream.reshape(3, 10_000)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(10_000))
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(trainer.batches.indices(4), stream[12_000:15_000]), "whenever it is asked"


def test_a_batch_may_be_larger_than_the_data(new_run) -> None:
    trainer = Trainer(new_run(data={"batch_size": 25_000}), device="cpu")
    counts = torch.bincount(trainer.batches.indices(0), minlength=10_000)
    assert set(counts.tolist()) == {2, 3}


def test_every_step_draws_its_own_timesteps_and_noise(new_run) -> None:
    trainer = Trainer(new_run(data={"batch_size": 64}), device="cpu")
    seen = []
    hook = trainer.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    pull_until(iter(trainer), Stepped(6))
    hook.remove()
    timesteps = torch.stack([t for _, t, *_ in seen])
    assert len(timesteps.unique(dim=0)) == 6
    assert set(timesteps.flatten().tolist()) == set(range(50))
    # A corner is black in every picture, so it is its noise that differs.
    corners = torch.stack([x_t[:, 0, 0, 0] for x_t, *_ in seen])
    assert len(corners.unique()) == 6 * 64


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.01])
def test_gradients_are_clipped_and_their_norm_is_told_as_it_was(new_run, max_grad_norm) -> None:
    run = new_run(training={"max_grad_norm": max_grad_norm, "log_every": 1})
    trainer = Trainer(run, device="cpu")
    used = []

    def measure(*_: object) -> None:
        gradients = [p.grad for p in trainer.parameters if p.grad is not None]
        used.append(float(torch.nn.utils.get_total_norm(gradients)))

    trainer.optimizer.register_step_pre_hook(measure)
    told = [event.grad_norm for event in trainer if isinstance(event, Logged)]
    assert min(told) > 0.02
    assert used == pytest.approx(told if max_grad_norm == 0 else [0.01] * 6, rel=1e-3)


def test_the_learning_rate_that_is_told_is_the_one_that_is_used(new_run) -> None:
    run = new_run(training={"log_every": 1})
    trainer = Trainer(run, device="cpu")
    used: list[float] = []
    trainer.optimizer.register_step_pre_hook(
        lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"])
    )
    told = [event.lr for event in trainer if isinstance(event, Logged)]
    assert used == told == [learning_rate(run.config().training, step) for step in range(6)]


def test_held_out_images_are_measured_with_the_same_draws_every_time(new_run) -> None:
    trainer = Trainer(new_run(diffusion={"prediction_type": "epsilon"}), device="cpu")
    before = torch.get_rng_state()
    first = trainer.evaluate()
    assert first == trainer.evaluate()
    assert first == pytest.approx(1, abs=0.02), "a fresh network predicts no noise"
    assert torch.equal(torch.get_rng_state(), before)


# --- the average of the weights ---


def test_the_average_follows_the_weights(new_run) -> None:
    trainer = Trainer(new_run(training={"ema_decay": 0.5}), device="cpu")
    expected = [p.detach().clone() for p in trainer.model.parameters()]
    for event in trainer:
        if isinstance(event, Stepped):
            # Young averages forget faster than the 0.5 that is asked for.
            decay = min(0.5, (1 + event.step) / (10 + event.step))
            for average, parameter in zip(expected, trainer.model.parameters(), strict=True):
                average.lerp_(parameter.detach(), 1 - decay)
    for average, ours in zip(expected, trainer.ema.parameters(), strict=True):
        torch.testing.assert_close(ours, average)
        assert not ours.requires_grad


def test_the_average_is_not_the_weights(new_run) -> None:
    run = new_run()
    train(run)
    saved = tensors(run, 6)
    names = [name.removeprefix("ema.") for name in saved if name.startswith("ema.")]
    assert {f"model.{name}" for name in names} == {n for n in saved if n.startswith("model.")}
    assert any(not torch.equal(saved[f"ema.{name}"], saved[f"model.{name}"]) for name in names)


def test_without_a_decay_there_is_no_average(new_run) -> None:
    run = new_run(training={"ema_decay": 0.0})
    trainer = Trainer(run, device="cpu")
    assert trainer.ema is trainer.model
    list(trainer)
    assert not any(name.startswith("ema.") for name in tensors(run, 6))


@pytest.mark.parametrize(
    ("step", "decay"), [(1, 2 / 11), (10, 11 / 20), (1000, 1001 / 1010), (10_000, 0.998)]
)
def test_the_decay_grows_up_to_the_one_asked_for(step, decay) -> None:
    assert ema_decay(TrainingConfig(ema_decay=0.998), step) == pytest.approx(decay)


# --- the learning rate ---


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 0, 0.1),
        ("constant", 4, 0.5),
        ("constant", 9, 1.0),
        ("constant", 10, 1.0),
        ("constant", 109, 1.0),
        ("cosine", 0, 0.1),
        ("cosine", 9, 1.0),
        ("cosine", 10, 1.0),
        ("cosine", 35, 0.5 * (1 + math.cos(math.pi / 4))),
        ("cosine", 60, 0.5),
        ("cosine", 109, 0.5 * (1 + math.cos(0.99 * math.pi))),
        ("cosine", 110, 0.0),
    ],
)
def test_the_learning_rate(schedule, step, expected) -> None:
    config = TrainingConfig(lr=1.0, steps=110, lr_warmup_steps=10, lr_schedule=schedule)
    assert learning_rate(config, step) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_longer_than_the_training_or_none_at_all(schedule) -> None:
    longer = TrainingConfig(lr=1.0, steps=5, lr_warmup_steps=10, lr_schedule=schedule)
    assert [learning_rate(longer, step) for step in (0, 4)] == pytest.approx([0.1, 0.5])
    none = TrainingConfig(lr=1.0, steps=1, lr_warmup_steps=0, lr_schedule=schedule)
    assert learning_rate(none, 0) == 1.0


# --- the same result, however often one stops ---


def test_a_seed_is_a_result(new_run) -> None:
    same = [new_run(seed=3) for _ in range(2)]
    other = new_run(seed=4)
    for number, run in enumerate((*same, other)):
        torch.manual_seed(number)  # which has no say in it
        train(run)
    assert_equal(tensors(same[0], 6), tensors(same[1], 6))
    assert not torch.equal(
        tensors(same[0], 6)["model.conv_in.weight"], tensors(other, 6)["model.conv_in.weight"]
    )


def test_checkpoints_are_measured_by_the_same_draws(new_run) -> None:
    trainer = Trainer(new_run(), device="cpu")
    first, later = (trainer.batches.held_out(32, step) for step in (2, 7))
    assert torch.equal(first.noise, later.noise) and torch.equal(first.t, later.t)
    assert torch.equal(first.x_start, later.x_start)
    total = trainer.schedule.num_train_timesteps
    assert first.t[0] == 0 and first.t[-1] >= total - 1 - total // 32, "every t equally often"
    before = trainer.evaluate()
    trainer.step = 7
    assert trainer.evaluate() == before


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("stop", [3, 4])
def test_a_resume_goes_on_to_the_bit(new_run, stop, optimizer) -> None:
    settings = {"training": {"steps": 8, "optimizer": optimizer, "weight_decay": 0.01}}
    straight, interrupted = new_run(**settings), new_run(**settings)
    train(straight)

    trainer = Trainer(interrupted, device="cpu")
    events = iter(trainer)
    pull_until(events, Stepped(stop))
    trainer.checkpoint()
    events.close()  # type: ignore[attr-defined]
    assert interrupted.status().step == stop

    resumed = train(interrupted)
    assert isinstance(resumed[0], Started)
    assert resumed[0].step == stop
    assert_equal(tensors(straight, 8), tensors(interrupted, 8))
    assert rows(interrupted) == rows(straight) == [2, 4, 6, 8]
    # Also where it stopped between two rows: the one after it tells of all of its steps.
    assert told(straight) == told(interrupted)


def told(run: Run) -> list[dict[str, object]]:
    """The rows, without how long things took."""
    found = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    return [{**row, "elapsed": None, "images_per_second": None} for row in found]


def test_steps_after_the_checkpoint_are_trained_again_and_logged_once(new_run) -> None:
    settings = {"training": {"checkpoint_every": 3, "log_every": 1}}
    straight, interrupted = new_run(**settings), new_run(**settings)
    train(straight)
    events = iter(Trainer(interrupted, device="cpu"))
    pull_until(events, Stepped(5))
    events.close()  # type: ignore[attr-defined]
    assert rows(interrupted) == [1, 2, 3, 4, 5]
    train(interrupted)
    assert rows(interrupted) == [1, 2, 3, 4, 5, 6]
    assert_equal(tensors(straight, 6), tensors(interrupted, 6))


def test_a_resume_goes_on_counting_the_time(new_run) -> None:
    run = new_run(training={"steps": 4, "checkpoint_every": 2})
    events = iter(Trainer(run, device="cpu"))
    pulled = pull_until(events, Stepped(3))
    events.close()  # type: ignore[attr-defined]
    [before] = [event.elapsed for event in pulled if isinstance(event, Logged)]
    [after] = [event.elapsed for event in train(run) if isinstance(event, Logged)]
    assert after > before


def test_a_resume_goes_back_behind_a_damaged_checkpoint_and_says_so(new_run) -> None:
    run, undamaged = (new_run(training={"checkpoint_every": 2}) for _ in range(2))
    for each in (run, undamaged):
        train(each)
    (run.checkpoints_path / "step-00000006" / "optimizer.safetensors").write_bytes(b"")
    resumed = train(run)
    assert resumed[0].step == 4
    assert "step-00000006 does not verify: optimizer.safetensors" in run.log_path.read_text()
    assert_equal(tensors(run, 6), tensors(undamaged, 6))


def test_where_every_checkpoint_is_damaged_nothing_is_overwritten(new_run) -> None:
    run = new_run(training={"checkpoint_every": 2})
    train(run)
    before = run.metrics_path.read_bytes()
    for folder in run.checkpoints_path.iterdir():
        (folder / "optimizer.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="No checkpoint of run1 can be used") as error:
        Trainer(run, device="cpu")
    assert "remove" in error.value.hint
    assert run.metrics_path.read_bytes() == before
    assert len(list_checkpoints(run)) == 3


def test_what_was_saved_while_waiting_for_the_run_is_not_trained_again(new_run) -> None:
    """Between reading the checkpoint and owning the run, another process may have gone on."""
    run = new_run(training={"checkpoint_every": 2, "steps": 6})
    early = Trainer(run, device="cpu")
    other = iter(Trainer(run, device="cpu"))
    for event in other:
        if isinstance(event, CheckpointSaved) and event.step == 4:
            break
    other.close()
    events = list(early)
    assert (events[0].step, events[-1]) == (4, Finished(6))
    assert rows(run) == [2, 4, 6]


def test_a_pause_does_not_make_previews_dearer(new_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.train._PREVIEW_SHARE", 20)
    run = new_run(training={"preview_every": 2, "steps": 8})
    painted = []
    for event in Trainer(run, device="cpu"):
        if isinstance(event, PreviewFrame) and event.step == 2 and not event.reverse.index:
            time.sleep(1.5)
        if isinstance(event, PreviewSaved):
            painted.append(event.step)
    assert painted == [0, 2, 4, 6, 8]


def test_a_finished_run_has_nothing_left_to_do(new_run) -> None:
    run = new_run()
    train(run)
    before = tensors(run, 6)
    assert [type(event).__name__ for event in train(run)] == ["Started", "Finished"]
    assert_equal(tensors(run, 6), before)
    assert run.status().state == "finished"


def test_a_finished_run_can_be_given_more_steps(new_run, tiny_config) -> None:
    run = new_run()
    train(run)
    run.config_path.write_text(to_toml(tiny_config(training={"steps": 8})))
    resumed = train(run)
    assert (resumed[0].step, resumed[-1]) == (6, Finished(8))
    assert run.status().total_steps == 8


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"block_out_channels": (8, 8)}},
        {"training": {"ema_decay": 0.9}},
        {"training": {"ema_decay": 0.0, "optimizer": "muon"}},
    ],
    ids=["other widths", "an average that was not kept", "another optimizer"],
)
def test_a_checkpoint_that_does_not_fit_the_config_is_refused(new_run, tiny_config, change) -> None:
    run = new_run(training={"ema_decay": 0.0})
    train(run)
    run.config_path.write_text(to_toml(tiny_config(**change)))
    status = run.status()
    with pytest.raises(CheckpointError, match=r"does not fit run1's config: .*config\.toml"):
        Trainer(run, device="cpu")
    assert run.status() == status


# --- whoever pulls decides ---


def test_a_checkpoint_and_a_preview_between_two_pulls_change_nothing(new_run) -> None:
    plain, visited = new_run(), new_run()
    train(plain)
    trainer = Trainer(visited, device="cpu")
    events = iter(trainer)
    pull_until(events, Stepped(3))
    saved = trainer.checkpoint()
    assert saved.step == 3
    assert saved.path.is_dir()
    assert [type(event).__name__ for event in trainer.preview()] == [
        *("PreviewFrame", "PreviewFrame", "PreviewFrame", "PreviewSaved")
    ]
    assert (visited.samples_path / "step-00000003.png").is_file()
    assert list(events)[-1] == Finished(6)
    assert_equal(tensors(plain, 6), tensors(visited, 6))


def test_gradients_are_on_for_whoever_pulls(new_run) -> None:
    for _ in Trainer(new_run(training={"preview_every": 2}), device="cpu"):
        assert torch.is_grad_enabled()


def test_nothing_is_trained_or_written_before_the_first_pull(new_run) -> None:
    run = new_run()
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    iter(Trainer(run, device="cpu"))
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_closing_is_stopping(new_run) -> None:
    run = new_run()
    events = iter(Trainer(run, device="cpu"))
    pull_until(events, Stepped(2))
    assert run.status().state == "running"
    assert run.is_locked()
    events.close()  # type: ignore[attr-defined]
    status = run.status()
    assert (status.state, status.step, status.reason) == ("stopped", 2, "stopped by the user")
    assert not run.is_locked()


def test_a_pause_is_told_and_not_counted(new_run) -> None:
    run = new_run()
    trainer = Trainer(run, device="cpu")
    events = iter(trainer)
    started = time.perf_counter()
    pull_until(events, Stepped(2))
    trainer.pause()
    assert run.status().state == "paused"
    time.sleep(0.5)
    trainer.unpause()
    assert run.status().state == "running"
    list(events)
    assert run.status().state == "finished"
    assert trainer.elapsed <= time.perf_counter() - started - 0.5


def test_a_second_trainer_is_turned_away_and_the_first_goes_on(new_run) -> None:
    run = new_run()
    first, second = (iter(Trainer(run, device="cpu")) for _ in range(2))
    pull_until(first, Stepped(1))
    with pytest.raises(RunError, match="being trained by another process"):
        next(second)
    assert run.status().state == "running"
    assert list(first)[-1] == Finished(6)


# --- what goes wrong ---


def poison(trainer: Trainer) -> None:
    with torch.no_grad():
        for parameter in (*trainer.model.parameters(), *trainer.ema.parameters()):
            parameter.fill_(math.nan)


def test_weights_that_are_not_finite_never_become_a_checkpoint(new_run) -> None:
    """Checkpoints come more often than rows here, so the checkpoint is the first to notice."""
    run = new_run(training={"log_every": 6, "checkpoint_every": 1, "keep_checkpoints": 1})
    trainer = Trainer(run, device="cpu")
    events = iter(trainer)
    pull_until(events, Stepped(3))
    poison(trainer)
    with pytest.raises(RunError, match="not finite at step 3 and were not saved"):
        trainer.checkpoint()
    assert list_checkpoints(run)[-1].step == 2
    assert list(events)[-1] == Finished(6)
    for checkpoint in list_checkpoints(run):
        for name, value in tensors(run, checkpoint.step).items():
            assert value.isfinite().all(), name


def test_a_folder_that_can_no_longer_be_written_ends_the_training(new_run) -> None:
    run = new_run()
    events = iter(Trainer(run, device="cpu"))
    pull_until(events, Stepped(1))
    run.metrics_path.mkdir()
    with pytest.raises(RunError, match=r"Cannot write .*metrics\.jsonl"):
        list(events)
    assert run.status().state == "failed"
    assert "metrics.jsonl" in run.status().reason


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "mps", "cpuu"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(new_run, device) -> None:
    run = new_run()
    before = run.status()
    with pytest.raises(DeviceError, match=device):
        Trainer(run, device=device)
    assert run.status() == before


# --- previews by the raw weights ---


def test_a_preview_is_painted_by_the_raw_weights_too(new_run) -> None:
    run = new_run(training={"preview_every": 6, "preview_raw": True})
    saved = [event for event in train(run) if isinstance(event, PreviewSaved)]
    assert [(event.step, event.weights) for event in saved] == [
        *((0, "ema"), (0, "raw")),
        *((6, "ema"), (6, "raw")),
    ]
    assert list_previews(run) == Previews((0, 6), (0, 6))
    pictures = {event.weights: read_png(event.path)[0] for event in saved[-2:]}
    assert (pictures["ema"] != pictures["raw"]).any()
    first = [read_png(event.path)[0] for event in saved[:2]]
    assert (first[0] == first[1]).all(), "before the first step both weights are the same"


def test_without_an_average_there_is_nothing_to_set_beside(new_run) -> None:
    run = new_run(training={"preview_every": 6, "preview_raw": True, "ema_decay": 0.0})
    train(run)
    assert list_previews(run) == Previews((0, 6), ())


def test_raw_previews_change_nothing_of_what_is_trained(new_run) -> None:
    one, other = (
        new_run(training={"preview_every": 2, "preview_raw": raw}) for raw in (True, False)
    )
    train(one)
    train(other)
    assert_equal(tensors(one, 6), tensors(other, 6))
