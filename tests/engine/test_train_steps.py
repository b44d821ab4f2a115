"""A training step: its learning rate, its pieces, and what happens when something in it fails."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine import device as devices
from engine.config import TrainingConfig
from engine.device import resolve_precision
from engine.errors import DeviceError, RunError
from engine.events import CheckpointSaved, Event, Finished, Logged, Notice, Started, Stepped
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, create_run
from engine.runs.metrics import TIMESTEP_BUCKETS, Metrics
from engine.timesteps import LossByTimestep, means
from engine.train import Trainer, learning_rate

CPU = torch.device("cpu")


@pytest.fixture
def new_run(tmp_path: Path, tiny_config):
    def create(**overrides: object) -> Run:
        return create_run(tmp_path / "runs", tiny_config(**overrides))

    return create


def state(trainer: Trainer) -> dict[str, Tensor]:
    """Everything that a step may change, copied."""
    parts = {
        "model": trainer.model.state_dict(),
        "ema": trainer.ema.state_dict(),
        "optimizer": trainer.optimization.tensors(),
    }
    return {f"{a}.{b}": value.clone() for a, group in parts.items() for b, value in group.items()}


def saved(run: Run, step: int) -> dict[str, Tensor]:
    folder = run.checkpoints_path / f"step-{step:08d}"
    return {
        f"{file.stem}.{name}": value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def losses(events: list[Event]) -> list[float | None]:
    return [event.loss for event in events if isinstance(event, Logged)]


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


# --- the learning rate ---


@pytest.mark.parametrize("steps", [2, 7, 10, 100, 1501])
def test_one_cycle_is_torchs(steps) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.02, total_steps=steps, cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < steps:
            theirs.step()
    config = TrainingConfig(lr=0.02, steps=steps, lr_schedule="onecycle", lr_warmup_steps=3)
    ours = [learning_rate(config, step) for step in range(steps)]
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_one_cycle_rises_and_falls() -> None:
    config = TrainingConfig(lr=0.02, steps=100, lr_schedule="onecycle")
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.02 / 25)
    assert rates.index(max(rates)) == 29
    assert max(rates) == pytest.approx(0.02)
    assert rates[:30] == sorted(rates[:30])
    assert rates[29:] == sorted(rates[29:], reverse=True)
    assert 0 < rates[-1] < 1e-7


# --- pieces ---


@pytest.mark.parametrize("pieces", [2, 3, 8, 50])
def test_a_batch_in_pieces_gives_the_same_gradients_and_the_same_loss(new_run, pieces) -> None:
    given: dict[str, object] = {"model": {"class_conditional": True}}
    whole = Trainer(new_run(**given), device="cpu")
    cut = Trainer(new_run(**given, training={"gradient_accumulation_steps": pieces}), device="cpu")
    seen = []
    cut.model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for trainer in (whole, cut):
        with torch.no_grad():  # zeroed layers would hide what lies behind them
            for parameter in trainer.parameters:
                parameter.add_(0.01)
    one, other = (t.gradients.add(t.draw_batch(0)) for t in (whole, cut))
    assert sum(seen) == 8
    assert len(seen) == min(pieces, 8)
    assert max(seen) - min(seen) <= 1
    torch.testing.assert_close(other, one)
    for a, b in zip(whole.parameters, cut.parameters, strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-5)


def test_dropout_follows_from_the_seed_and_the_step(new_run) -> None:
    """Stopping and going on draws the same masks, and whoever else draws is not disturbed."""
    given = {"model": {"dropout": 0.5}, "training": {"gradient_accumulation_steps": 2}}
    results = []
    for salt in range(2):
        torch.manual_seed(salt)
        before = torch.get_rng_state()
        run = new_run(**given)
        list(Trainer(run, device="cpu"))
        assert torch.equal(torch.get_rng_state(), before)
        results.append(saved(run, 6))
    assert_same(*results)


def test_the_steps_of_a_training_can_be_taken_one_by_one_from_outside(new_run) -> None:
    straight, by_hand = (Trainer(new_run(), device="cpu") for _ in range(2))
    list(straight)
    for _ in range(6):
        batch = by_hand.draw_batch(by_hand.step)
        loss = by_hand.loss(batch)
        by_hand.backward(loss)
        by_hand.update(loss.detach())
        by_hand.average()
        by_hand.step += 1
    assert by_hand.log().step == 6
    assert_same(state(straight), state(by_hand))


# --- no room ---


def refuse_more_than(trainer: Trainer, images: int, error: type[Exception]) -> list[int]:
    """The network runs out of memory on more images than that; returns what it was given."""
    given: list[int] = []

    def check(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.append(len(inputs[0]))
        if len(inputs[0]) > images:
            raise error("CUBLAS_STATUS_ALLOC_FAILED")

    trainer.model.register_forward_pre_hook(check)
    trainer.ema.register_forward_pre_hook(check)
    return given


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_is_the_same_batch_in_smaller_pieces_said_aloud(new_run, error) -> None:
    plain, short = new_run(), new_run()
    expected = list(Trainer(plain, device="cpu"))
    trainer = Trainer(short, device="cpu")
    given = refuse_more_than(trainer, 3, error)
    events = list(trainer)
    assert given[:7] == [8, 4, 2, 2, 2, 2, 2], "found out once, not at every step"
    assert max(given[2:]) == 2
    assert losses(events) == pytest.approx(losses(expected), rel=1e-4)
    assert [event for event in events if isinstance(event, Notice)] == [
        Notice(
            0,
            f"out of memory: from now on a batch of 8 goes through the network in {pieces} "
            "pieces, with the same result",
        )
        for pieces in (2, 4)
    ]
    assert all(message in short.log_path.read_text() for message in notices(events))


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_previews_that_start_far_below_the_end_get_one_notice(new_run, spacing: str) -> None:
    preview = {"num_inference_steps": 1, "timestep_spacing": spacing}
    run = new_run(training={"preview_every": 2}, preview=preview)
    said = [each for each in notices(list(Trainer(run, device="cpu"))) if "previews" in each]
    assert len(said) == (spacing == "linspace")
    for each in said:
        assert each.startswith("previews: sampling starts at t = 0 of ")
        assert each.endswith("; use preview.timestep_spacing=trailing")


def test_a_piece_that_failed_half_way_leaves_no_gradients_behind(new_run) -> None:
    whole, short = (Trainer(new_run(), device="cpu") for _ in range(2))
    calls = []

    def fail_late(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:  # 8 images, then 4 that work, then 4 that do not
            raise torch.OutOfMemoryError

    short.gradients.pieces = 2
    calls.append(1)
    short.model.register_forward_pre_hook(fail_late)
    one, other = (t.gradients.add(t.draw_batch(0)) for t in (whole, short))
    assert short.gradients.pieces == 4
    torch.testing.assert_close(other, one)
    for a, b in zip(whole.parameters, short.parameters, strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-6)


def test_no_room_for_a_single_image_ends_the_training_with_advice(new_run) -> None:
    run = new_run()
    trainer = Trainer(run, device="cpu")
    given = refuse_more_than(trainer, 0, torch.OutOfMemoryError)
    with pytest.raises(DeviceError, match=r"not enough memory .* one image") as error:
        list(trainer)
    assert given == [8, 4, 2, 1]
    assert "smaller network" in error.value.hint
    assert run.status().state == "failed"


def test_no_room_elsewhere_is_no_traceback_either(new_run, monkeypatch) -> None:
    trainer = Trainer(new_run(), device="cpu")

    def fail(_: float) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(trainer.optimization, "average", fail)
    with pytest.raises(DeviceError, match="not enough memory"):
        list(trainer)


# --- not finite ---


def spoil(trainer: Trainer, steps: set[int] | range, what: str = "loss") -> None:
    """Make the loss of some steps infinite or NaN, or one of their gradients infinite."""
    true_loss, true_backward = trainer.gradients.loss, trainer.gradients._backward

    def loss(batch):
        value = true_loss(batch)
        if batch.step in steps and what == "loss":
            value = value + math.inf  # with gradients that are finite
        if batch.step in steps and what == "NaN":
            value = value * math.nan
        return value

    def backward(value: Tensor) -> None:
        true_backward(value)
        if what == "gradient" and trainer.step in steps:
            trainer.parameters[3].grad[0] = math.inf

    trainer.gradients.loss = loss
    trainer.gradients._backward = backward


@pytest.mark.parametrize("what", ["loss", "NaN", "gradient"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_step_that_is_not_finite_changes_nothing(new_run, what, optimizer, max_grad_norm) -> None:
    run = new_run(
        training={
            "optimizer": optimizer,
            "weight_decay": 0.1,
            "max_grad_norm": max_grad_norm,
            "log_every": 3,
        }
    )
    trainer = Trainer(run, device="cpu")
    spoil(trainer, {3, 4}, what)
    states, events = {}, []
    for event in trainer:
        events.append(event)
        if isinstance(event, Stepped):
            states[event.step] = state(trainer)
    assert_same(states[3], states[4])
    assert_same(states[4], states[5])
    assert not torch.equal(states[5]["model.conv_out.bias"], states[6]["model.conv_out.bias"])
    assert not torch.equal(states[5]["ema.conv_out.bias"], states[6]["ema.conv_out.bias"])
    assert {float(v) for k, v in states[6].items() if k.endswith(".step")} == {4.0}
    first, second = (event for event in events if isinstance(event, Logged))
    assert (first.skipped, second.skipped) == (0, 2)
    assert second.loss is not None
    assert 0.5 < second.loss < 1.5, "the mean of the one step that was taken"
    assert list(Metrics(run.metrics_path).read_all().columns["skipped"]) == [0, 2]
    assert notices(events) == ["skipped 2 of 3 steps: loss or gradients not finite"]
    assert events[-1] == Finished(6)


def test_a_row_without_a_single_finite_step_has_no_loss(new_run) -> None:
    run = new_run()
    trainer = Trainer(run, device="cpu")
    spoil(trainer, {2, 3}, "NaN")
    events = list(trainer)
    values = losses(events)
    assert values[1] is None
    row = json.loads(run.metrics_path.read_text().splitlines()[1])
    assert (row["loss"], row["grad_norm"], row["skipped"]) == (None, None, 2)
    smoothed = run.status().loss
    assert smoothed == pytest.approx(0.9 * values[0] + 0.1 * values[2])


def test_repeated_ones_go_back_to_the_last_checkpoint_at_half_the_rate(
    new_run, monkeypatch
) -> None:
    monkeypatch.setattr("engine.train._MAX_SKIPPED_IN_A_ROW", 3)
    run = new_run(
        training={"steps": 12, "checkpoint_every": 4, "log_every": 1, "lr_schedule": "constant"}
    )
    trainer = Trainer(run, device="cpu")
    spoiled = {5, 6, 7}
    spoil(trainer, spoiled)
    events, after = [], {}
    for event in trainer:
        events.append(event)
        if isinstance(event, CheckpointSaved):
            after[event.step] = state(trainer)
            if len(after) == 1:
                kept = after[4]
        if isinstance(event, Notice) and "back to step" in event.message:
            assert_same(state(trainer), kept)
            spoiled.clear()
    assert events[-1] == Finished(12)
    told = [m for m in notices(events) if "back to" in m]
    assert told == ["the loss is not finite at step 8: back to step 4, at 0.5 of the learning rate"]
    assert told[0] in run.log_path.read_text()
    columns = Metrics(run.metrics_path).read_all().columns
    assert list(columns["step"]) == list(range(1, 13)), "every step has one row"
    peak = run.config().training.lr
    assert list(columns["lr"][3:]) == [peak] + [peak / 2] * 8
    for checkpoint in list_checkpoints(run):
        assert checkpoint.state()["rollbacks"] == 1


def test_a_resume_keeps_the_lowered_rate(new_run, monkeypatch) -> None:
    monkeypatch.setattr("engine.train._MAX_SKIPPED_IN_A_ROW", 3)
    run = new_run(training={"steps": 12, "checkpoint_every": 4, "log_every": 1})
    trainer = Trainer(run, device="cpu")
    spoil(trainer, range(5, 8))
    events = iter(trainer)
    for event in events:
        if isinstance(event, Notice) and "back to step 4" in event.message:
            break
    events.close()  # type: ignore[attr-defined]
    resumed = list(Trainer(run, device="cpu"))
    assert resumed[0].step == 4
    config = run.config().training
    told = [event.lr for event in resumed if isinstance(event, Logged)]
    assert told == [learning_rate(config, step) / 2 for step in range(4, 12)]


def test_without_a_checkpoint_the_start_is_gone_back_to(new_run, monkeypatch) -> None:
    monkeypatch.setattr("engine.train._MAX_SKIPPED_IN_A_ROW", 2)
    run = new_run()
    trainer = Trainer(run, device="cpu")
    fresh = state(Trainer(run, device="cpu"))
    spoil(trainer, range(2, 4))
    for event in trainer:
        if isinstance(event, Notice) and "back to" in event.message:
            assert "back to step 0, at 0.5" in event.message
            assert_same(state(trainer), fresh)
            break
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [0]
    assert not Metrics(run.metrics_path).read_all().columns["step"]


def test_going_back_is_tried_three_times_and_then_explained(new_run, monkeypatch) -> None:
    monkeypatch.setattr("engine.train._MAX_SKIPPED_IN_A_ROW", 2)
    run = new_run(training={"steps": 20, "checkpoint_every": 4})
    trainer = Trainer(run, device="cpu")
    spoil(trainer, range(5, 20))
    events = []
    with pytest.raises(RunError, match="not finite at step 8, after going back 3 times") as error:
        events.extend(iter(trainer))
    assert "--lr" in error.value.hint
    status = run.status()
    assert (status.state, status.reason) == ("failed", str(error.value))
    log = run.log_path.read_text()
    for share in ("0.5", "0.25", "0.125"):
        assert f"back to step 4, at {share} of the learning rate" in log
    for name, value in saved(run, 4).items():
        assert value.isfinite().all(), name
    with pytest.raises(RunError, match="after going back 3 times"):
        again = Trainer(run, device="cpu")
        spoil(again, range(5, 20))
        list(again)


@pytest.mark.parametrize("which", ["model", "ema"])
def test_lost_weights_are_noticed_and_replaced(new_run, which) -> None:
    run = new_run(training={"checkpoint_every": 2, "log_every": 1})
    trainer = Trainer(run, device="cpu")
    events: list[Event] = []
    for event in trainer:
        events.append(event)
        if event == Stepped(5) and not notices(events):
            with torch.no_grad():
                getattr(trainer, which).conv_in.weight[0] = math.nan
    assert sum("back to step 4" in message for message in notices(events)) == 1
    assert events[-1] == Finished(6)
    assert all(value.isfinite().all() for value in saved(run, 6).values())


def test_an_average_that_is_fine_does_not_hide_weights_that_are_not(new_run) -> None:
    trainer = Trainer(new_run(), device="cpu")
    with torch.no_grad():
        trainer.model.conv_in.weight[0] = math.nan
    with pytest.raises(RunError, match="were not saved"):
        trainer.checkpoint()
    assert not list_checkpoints(trainer.run)


# --- waiting for the device ---


class Syncs(TorchDispatchMode):
    """Counts what makes the host wait for a device: a value that is read back."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        moves = name == "_to_copy" and kwargs.get("device", args[0].device) != args[0].device
        if moves or name in ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero"):
            self.counts[name] += 1
        return func(*args, **kwargs)


@pytest.mark.parametrize("scaler", [False, True])
def test_nothing_is_read_back_between_two_rows(new_run, scaler, request, monkeypatch) -> None:
    if scaler:
        request.getfixturevalue("scaled")
    run = new_run(
        model={"class_conditional": True, "dropout": 0.1},
        training={
            "steps": 8,
            "log_every": 4,
            "gradient_accumulation_steps": 2,
            "snr_gamma": 5.0,
        },
    )
    events = iter(Trainer(run, device="cpu"))
    for event in events:
        if isinstance(event, Logged):
            break
    with Syncs() as syncs:
        # No operation of torch's, so that the mode does not see it.
        true_tolist = Tensor.tolist
        monkeypatch.setattr(
            Tensor, "tolist", lambda x: (syncs.counts.update(tolist=1), true_tolist(x))[1]
        )
        for step in (5, 6, 7):
            assert next(events) == Stepped(step)
        assert not syncs.counts
        next(events)
        assert syncs.counts == {"tolist": 1}, "a row reads everything back at once"


# --- precision ---


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training as in fp16, but with float32 products, which are fast on any CPU."""
    monkeypatch.setattr("engine.train.resolve_precision", lambda *_: torch.float16)
    monkeypatch.setattr("engine.gradients.autocast", lambda *_: nullcontext())


def on_gpu(monkeypatch, capability: tuple[int, int], works: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(devices, "trains_in", lambda *_: works)


@pytest.mark.parametrize(
    ("capability", "works", "expected"),
    [
        ((9, 0), True, torch.bfloat16),
        ((8, 0), True, torch.bfloat16),
        ((7, 5), True, torch.float16),
        ((7, 5), False, torch.float32),
    ],
)
def test_auto_asks_the_hardware(monkeypatch, capability, works, expected) -> None:
    on_gpu(monkeypatch, capability, works)
    assert resolve_precision("auto", torch.device("cuda")) is expected


@pytest.mark.parametrize("tiles", [True, False])
def test_auto_on_a_cpu_is_bf16_only_with_tiles(monkeypatch, tiles) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": tiles})
    expected = torch.bfloat16 if tiles else torch.float32
    assert resolve_precision("auto", CPU) is expected


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_does_not_work_is_refused(monkeypatch, precision) -> None:
    on_gpu(monkeypatch, (7, 0), works=False)
    with pytest.raises(DeviceError, match=f"cannot train in {precision}") as error:
        resolve_precision(precision, torch.device("cuda"))
    assert "fp32" in error.value.hint


def test_the_probe_compares_numbers_and_survives_errors(monkeypatch) -> None:
    assert devices.trains_in(torch.bfloat16, CPU)
    true_conv = devices.F.conv2d

    def wrong(x: Tensor, w: Tensor, padding: int) -> Tensor:
        y = true_conv(x, w, padding=padding)
        return y * 1.5 if y.dtype is torch.bfloat16 else y

    def missing(x: Tensor, w: Tensor, padding: int) -> Tensor:
        raise RuntimeError("not implemented for 'BFloat16'")

    for broken in (wrong, missing):
        monkeypatch.setattr(devices.F, "conv2d", broken)
        assert not devices.trains_in(torch.bfloat16, CPU)


@pytest.fixture
def half_works() -> None:
    if not devices.trains_in(torch.float16, CPU):
        pytest.skip("this CPU has no fp16")


@pytest.mark.usefixtures("scaled")
def test_a_scaled_loss_goes_on_to_the_bit(new_run) -> None:
    given = {"training": {"log_every": 1}}
    straight, interrupted = new_run(**given), new_run(**given)
    for run in (straight, interrupted):
        trainer = Trainer(run, device="cpu")
        trainer.optimization.scaler = torch.amp.GradScaler("cpu", growth_interval=2)
        spoil(trainer, {0}, "gradient")
        pulled = []
        for event in iter(trainer):
            pulled.append(event)
            if event == Stepped(4) and run is interrupted:
                trainer.checkpoint()
                break
    assert [event.skipped for event in pulled if isinstance(event, Logged)] == [1, 0, 0]
    kept = list_checkpoints(interrupted)[-1].state()["scaler"]
    # Halved by the step that was skipped, doubled after two that were not, and one more.
    assert (kept["scale"], kept["_growth_tracker"]) == (2.0**16, 1)
    resumed = list(Trainer(interrupted, device="cpu"))
    assert isinstance(resumed[0], Started)
    assert resumed[0].step == 4
    assert_same(saved(straight, 6), saved(interrupted, 6))
    final = [list_checkpoints(run)[-1].state()["scaler"] for run in (straight, interrupted)]
    assert final[0] == final[1]
    assert final[0]["scale"] == 2.0**17


@pytest.mark.usefixtures("scaled")
def test_a_scaled_loss_is_told_and_clipped_as_if_it_were_not(new_run) -> None:
    run = new_run(training={"log_every": 1})
    told = [event for event in Trainer(run, device="cpu") if isinstance(event, Logged)]
    assert all(event.loss < 2 and event.grad_norm < 20 for event in told)


@pytest.mark.slow
@pytest.mark.usefixtures("half_works")
def test_fp16_learns_what_fp32_learns(new_run) -> None:
    rows = [
        losses(list(Trainer(new_run(training={"precision": precision}), device="cpu")))
        for precision in ("fp16", "fp32")
    ]
    assert rows[0] == pytest.approx(rows[1], rel=0.02)


# --- the compiler ---


def test_a_compiler_that_fails_is_left_out_and_said_aloud(new_run, monkeypatch) -> None:
    true_compile = torch.compile

    def no_compiler(*_: object) -> None:
        raise RuntimeError("no C++ compiler here\nand a long explanation")

    monkeypatch.setattr(
        torch, "compile", lambda model, **_: true_compile(model, backend=no_compiler)
    )
    plain, run = new_run(), new_run(training={"compile": True})
    expected = list(Trainer(plain, device="cpu"))
    events = list(Trainer(run, device="cpu"))
    assert losses(events) == losses(expected)
    [message] = notices(events)
    assert message.startswith("torch.compile failed, training goes on without it: ")
    assert "no C++ compiler here" in message
    assert "\n" not in message
    assert message in run.log_path.read_text()
    assert_same(saved(run, 6), saved(plain, 6))


def test_a_torch_that_cannot_compile_at_all_is_no_obstacle(new_run, monkeypatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise RuntimeError("torch.compile is not supported on Python 3.99")

    monkeypatch.setattr(torch, "compile", unsupported)
    events = list(Trainer(new_run(training={"compile": True}), device="cpu"))
    assert "not supported on Python 3.99" in notices(events)[0]
    assert events[-1] == Finished(6)


def test_an_error_of_the_network_itself_is_not_blamed_on_the_compiler(new_run) -> None:
    trainer = Trainer(new_run(), device="cpu")

    def broken(*_: object) -> None:
        raise ValueError("a bug")

    trainer.model.register_forward_pre_hook(broken)
    with pytest.raises(ValueError, match="a bug"):
        list(trainer)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiled_network_learns_the_same_and_is_saved_under_plain_names(new_run) -> None:
    small = {"block_out_channels": (4,), "norm_num_groups": 2, "attention_head_dim": 4}
    plain, run = (new_run(model=small, training={"compile": on}) for on in (False, True))
    expected = list(Trainer(plain, device="cpu"))
    events = list(Trainer(run, device="cpu"))
    assert notices(events) == []
    assert losses(events) == pytest.approx(losses(expected), rel=1e-3)
    assert saved(run, 6).keys() == saved(plain, 6).keys()


# --- the loss by timestep ---


def by_hand(config, steps: range, trainer: Trainer) -> list[list[float]]:
    """What the untrained network gets at the t of these steps, by stretch of t."""
    found: list[list[float]] = [[] for _ in range(TIMESTEP_BUCKETS)]
    for step in steps:
        batch = trainer.draw_batch(step)
        losses = trainer.gradients.losses(trainer.model, batch).tolist()
        for t, loss in zip(batch.t.tolist(), losses, strict=True):
            bucket = t * TIMESTEP_BUCKETS // config.diffusion.num_train_timesteps
            found[bucket].append(loss)
    return found


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_row_tells_the_loss_of_each_stretch_of_t(new_run, pieces: int) -> None:
    training = {"steps": 4, "lr": 1e-30, "gradient_accumulation_steps": pieces}
    run = new_run(training=training)
    expected = by_hand(run.config(), range(2), Trainer(new_run(training=training), device="cpu"))
    rows = [event for event in Trainer(run, device="cpu") if isinstance(event, Logged)]
    assert len(rows[0].loss_by_t) == TIMESTEP_BUCKETS
    assert any(expected)
    assert not all(expected)
    for told, losses in zip(rows[0].loss_by_t, expected, strict=True):
        if losses:
            assert told == pytest.approx(sum(losses) / len(losses), rel=1e-3)
        else:
            assert told is None
    written = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert written[1]["loss_by_t"] == list(rows[1].loss_by_t)


def test_a_weight_of_the_loss_does_not_hide_the_error_at_a_timestep(new_run) -> None:
    training = {"steps": 2, "lr": 1e-30}
    plain = new_run(training=training)
    weighted = new_run(training={**training, "snr_gamma": 0.01})
    one, other = (
        next(event for event in Trainer(run, device="cpu") if isinstance(event, Logged))
        for run in (plain, weighted)
    )
    assert other.loss < one.loss / 2
    told = [(a, b) for a, b in zip(one.loss_by_t, other.loss_by_t, strict=True) if a is not None]
    assert told
    for a, b in told:
        assert a == pytest.approx(b, rel=2e-3)


def test_a_loss_that_is_not_finite_leaves_the_other_timesteps_their_figures() -> None:
    total = LossByTimestep(160, torch.device("cpu"))
    total.add(torch.tensor([5, 15, 15]), torch.tensor([1.0, math.nan, 3.0]))
    assert means(total.take().tolist())[:3] == (1.0, 3.0, None)
    assert set(means(total.take().tolist())) == {None}, "what was taken is gone"
