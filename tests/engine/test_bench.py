"""The benchmark: its baseline computes what the article does, and its figures add up."""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from engine.bench import peak, phases, suite, timing
from engine.bench.article_loop import (
    ArticleDiffusion,
    ArticleImages,
    article_sampling,
    article_training,
)
from engine.bench.ours import OurLoop, our_sampling, standard_configs
from engine.bench.suite import BenchReport, bench
from engine.bench.timing import Doing, Spread, Timing, calibrate, in_turn, pulled
from engine.config import RunConfig
from engine.data.dataset import Dataset, load
from engine.diffusion import per_sample_loss, q_sample
from engine.models import build_model
from engine.models.article import ArticleUNet
from engine.reverse import reverse_process
from engine.runs.folder import Run
from engine.samplers import SamplerOptions
from engine.schedule import NoiseSchedule
from tests.support.clock import Clock

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("fashion-mnist-10k")


@pytest.fixture
def new_loop(tmp_path: Path, tiny_config) -> Iterator[OurLoop]:
    """Makes loops of the tiny config; tables given as arguments are merged in."""
    made: list[OurLoop] = []

    def make(**overrides: object) -> OurLoop:
        training = {"steps": 1000, "checkpoint_every": 1000, **overrides.pop("training", {})}
        config = tiny_config(training=training, **overrides)
        made.append(OurLoop(config, tmp_path / "runs", CPU, None))
        return made[-1]

    yield make
    for loop in made:
        loop.close()


# --- the baseline ---


def test_the_articles_pictures_are_our_batches(data: Dataset) -> None:
    pictures = ArticleImages(data.images, data.labels)
    assert len(pictures) == 10_000
    theirs = [pictures[index] for index in (0, 7, 9_999)]
    ours = data.batch([0, 7, 9_999])
    torch.testing.assert_close(torch.stack([x for x, _ in theirs]), ours, rtol=0, atol=1e-6)
    assert [label for _, label in theirs] == data.labels[[0, 7, 9_999]].tolist()


class Echo(nn.Module):
    """Answers with what it is asked, so that nothing of the question is lost."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x * (1 - t.reshape(-1, 1, 1, 1) / 1000)


def test_the_articles_loss_is_ours_for_the_same_draws(data: Dataset) -> None:
    x0, t = data.batch(range(6)), torch.tensor([0, 1, 250, 500, 998, 999])
    eta = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    schedule = NoiseSchedule.create("linear", 1000)
    theirs = ArticleDiffusion(1000, CPU).loss(Echo(), x0, t, eta)
    output = Echo()(q_sample(schedule, x0, t, eta), t)
    ours = per_sample_loss(output, schedule, x0, t, eta).mean()
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=0)


def test_the_articles_sampler_is_ours_unclipped_with_its_variance() -> None:
    torch.manual_seed(1)
    theirs = list(article_sampling(Echo(), ArticleDiffusion(12, CPU), 3, (1, 28, 28)))
    torch.manual_seed(1)
    ours = reverse_process(
        Echo(),
        NoiseSchedule.create("linear", 12),
        torch.randn(3, 1, 28, 28),
        range(11, -1, -1),
        lambda _: torch.randn(3, 1, 28, 28),
        options=SamplerOptions("fixed_large"),
        limit_x0=None,
    )
    for step, x in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, step.prev_sample, rtol=1e-4, atol=1e-4)


def test_gradients_are_on_for_whoever_pulls_the_articles_sampler() -> None:
    for _ in article_sampling(ArticleUNet(2), ArticleDiffusion(2, CPU), 1, (1, 28, 28)):
        assert torch.is_grad_enabled()


def test_the_articles_loop_learns(data: Dataset, tiny_config) -> None:
    torch.manual_seed(0)
    network = build_model(tiny_config(), (1, 28, 28), 10)
    images = ArticleImages(data.images, data.labels)
    steps = article_training(network, ArticleDiffusion(50, CPU), images, 16, lr=5e-3)
    losses = [loss for _, loss in islice(steps, 40)]
    assert losses[0] == pytest.approx(1, abs=0.1), "no noise predicted yet"
    assert sum(losses[-10:]) / 10 < 0.75


def test_an_epoch_of_the_article_sees_every_picture_once_and_ends_short(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ArticleImages(data.images[:10], data.labels[:10])
    seen: list[int] = []

    def seen_one(_: ArticleImages, index: int) -> tuple[Tensor, int]:
        seen.append(index)
        return torch.zeros(1, 2, 2), 0

    monkeypatch.setattr(ArticleImages, "__getitem__", seen_one)
    network = ConvolutionOnly()
    steps = article_training(network, ArticleDiffusion(5, CPU), images, 4)
    assert [n for n, _ in islice(steps, 6)] == [4, 4, 2, 4, 4, 2]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


class ConvolutionOnly(nn.Module):
    """The least that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor, _t: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


def test_our_loop_on_the_articles_network_has_the_articles_recipe() -> None:
    configs = standard_configs("fashion-mnist-10k", 10_000)
    assert list(configs) == ["article", "article, auto", "default"]
    article = configs["article"]
    training = article.training
    assert (article.data.batch_size, article.model.name) == (128, "article")
    assert (training.optimizer, training.lr, training.lr_schedule) == ("adam", 1e-3, "constant")
    assert (training.lr_warmup_steps, training.max_grad_norm, training.ema_decay) == (0, 0, 0)
    assert (training.precision, training.loss, training.snr_gamma) == ("fp32", "mse", 0)
    assert article.diffusion.prediction_type == "epsilon"
    assert (article.sampling.sampler, article.sampling.num_inference_steps) == ("ddpm", 1000)
    native = configs["article, auto"]
    assert native == article.model_copy(
        update={"training": training.model_copy(update={"precision": "auto"})}
    )
    for config in configs.values():
        assert config.training.preview_every == 0
        assert config.training.checkpoint_every == config.training.steps >= 1_000_000


# --- our loops ---


def test_our_loop_is_pulled_a_few_steps_at_a_time_and_logs_to_disk(new_loop) -> None:
    loop = new_loop()
    assert loop(3) == 3 * 8
    assert loop.trainer.step == 3
    assert loop(2) == 2 * 8
    assert loop.trainer.step == 5
    assert len(loop.run.metrics_path.read_text().splitlines()) == 2
    loop.close()
    assert loop.run.status().state == "stopped"


def test_our_sampling_draws_the_pictures_of_sample_in_chunks(
    new_loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.bench.ours.CHUNK", 2)
    trained = new_loop(sampling={"num_inference_steps": 4}).trained()
    whole = [step.prev_sample for step in trained.draw(trained.config.sampling, 0, range(5))]
    draws = list(our_sampling(trained, 5)())
    assert len(draws) == 4
    for steps, together in zip(draws, whole, strict=True):
        assert [len(step.prev_sample) for step in steps] == [2, 2, 1]
        pictures = torch.cat([step.prev_sample for step in steps])
        torch.testing.assert_close(pictures, together, rtol=1e-3, atol=1e-4)


# --- taking the time ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_everybody_has_a_turn_in_every_round(clock: Clock) -> None:
    works = {("a", "article"): (clock.work(0.5), 4), ("a", "ours"): (clock.work(0.25), 2)}
    measuring = in_turn("training", works, 3)
    told = []
    while True:
        try:
            told.append(next(measuring))
        except StopIteration as end:
            timings = end.value
            break
    assert told[:3] == [
        Doing("training, a network, article, round 1 of 3"),
        Doing("training, a network, ours, round 1 of 3"),
        Doing("training, a network, article, round 2 of 3"),
    ]
    assert timings == {
        ("a", "article"): [Timing(2.0, 4, 40)] * 3,
        ("a", "ours"): [Timing(0.5, 2, 20)] * 3,
    }
    assert timings["a", "article"][0].images_per_second == 20
    assert timings["a", "article"][0].seconds_per_step == 0.5


@pytest.mark.parametrize(
    ("per_step", "multiple", "steps"), [(0.01, 1, 200), (0.03, 5, 65), (0.9, 5, 5), (9.0, 1, 1)]
)
def test_a_measurement_fills_its_time_with_whole_rows(clock, per_step, multiple, steps) -> None:
    assert calibrate(clock.work(per_step), 2.0, multiple=multiple) == steps


def test_a_spread_is_median_and_extremes() -> None:
    assert Spread.of([5.0, 1.0, 9.0, 2.0]) == Spread(3.5, 1.0, 9.0)


def test_pulled_work_begins_anew_where_it_ends() -> None:
    begun: list[int] = []

    def draw() -> Iterator[int]:
        begun.append(1)
        yield from range(3)

    work = pulled(draw, 100, CPU)
    assert [work(2), work(2), work(3)] == [200, 200, 300]
    assert len(begun) == 3, "seven steps of three"


# --- where the time goes ---


def test_each_phase_holds_what_it_says_and_together_they_are_the_step(
    new_loop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that one piece of each phase moves, each by another power of two."""
    loop = new_loop(training={"log_every": 2})
    trainer = loop.trainer
    loop(2)
    pieces = {
        "data": (Dataset, "batch"),
        "forward": (trainer.model.conv_in, "forward"),
        "backward": (Tensor, "backward"),
        "optimizer": (trainer.optimizer, "step"),
        "ema": (torch, "_foreach_sub"),
        "logging": (Run, "write_status"),
    }
    takes = {phase: 2.0**power for power, phase in enumerate(pieces)}
    for phase, (owner, name) in pieces.items():
        monkeypatch.setattr(owner, name, clock.moved_by(getattr(owner, name), takes[phase]))
    found = phases.time_phases(loop, 4)
    assert list(found) == list(phases.PHASES)
    assert found == {**takes, "logging": takes["logging"] / 2}, "a row every other step"
    assert 4 * sum(found.values()) == clock.at


def test_taking_a_step_apart_gives_the_same_training(new_loop) -> None:
    apart, whole = new_loop(), new_loop()
    apart(2)
    phases.time_phases(apart, 5)
    apart(1)
    whole(8)
    for ours, theirs in zip(
        (*apart.trainer.model.parameters(), *apart.trainer.ema.parameters()),
        (*whole.trainer.model.parameters(), *whole.trainer.ema.parameters()),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    steps = [
        [json.loads(line)["step"] for line in loop.run.metrics_path.read_text().splitlines()]
        for loop in (apart, whole)
    ]
    assert steps == [[2, 4, 6, 8]] * 2


# --- what the machine could do ---


def test_a_convolution_has_the_operations_that_a_hand_counts() -> None:
    conv, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 10, 10)
    forward = 2 * (2 * 10 * 10 * 8 * 3 * 9)
    assert peak.count_flops(lambda: conv(x).sum()) == 2 * forward, "no gradient for the input"
    x.requires_grad_()
    assert peak.count_flops(lambda: conv(x).sum()) == 3 * forward


def test_a_linear_layer_has_the_operations_that_a_hand_counts() -> None:
    layers = nn.Sequential(nn.Linear(12, 5, bias=False), nn.SiLU(), nn.Linear(5, 7, bias=False))
    x = torch.randn(4, 12)
    first, second = 2 * 4 * 12 * 5, 2 * 4 * 5 * 7
    assert peak.count_flops(lambda: layers(x).sum()) == 2 * first + 3 * second


def test_attention_is_counted_on_a_cpu_too() -> None:
    q, k, v = (torch.randn(1, 2, 49, 32, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 49 * 49 * 32
    counted = peak.count_flops(lambda: nn.functional.scaled_dot_product_attention(q, k, v).sum())
    assert counted == (2 + 4) * product, "two products, each with two gradients"


def test_the_operations_of_a_step_grow_with_the_batch_and_leave_the_network_alone(
    tiny_config,
) -> None:
    network = build_model(tiny_config(model={"attention_levels": (1,)}), (1, 28, 28), 10)
    x, t = torch.randn(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64)
    assert peak.step_flops(network, (1, 28, 28), 3) == peak.count_flops(lambda: network(x, t).sum())
    network.zero_grad(set_to_none=True)
    peak.step_flops(network, (1, 28, 28), 3)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_peak_is_the_best_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(peak, "now", lambda _: next(ticks))
    found = peak.matmul_peak(torch.float32, CPU, sizes=(8, 32, 16), seconds=5)
    assert found.size == 32, "on a clock that ticks alike for all"
    assert found.flops_per_second == 2 * 32**3


def test_the_peak_counts_the_products_that_fit_the_time(clock: Clock, monkeypatch) -> None:
    monkeypatch.setattr(torch, "mm", clock.moved_by(torch.mm, 2**-7))
    clock.reading = 2**-7
    found = peak.matmul_peak(torch.float32, CPU, sizes=(64,), seconds=1.0)
    # 16 products and one reading last a tenth of the second.
    assert found.flops_per_second == 2 * 64**3 / (17 * 2**-7 / 16)


# --- all of it ---


@pytest.fixture
def configs(tiny_config) -> dict[str, RunConfig]:
    training = {"steps": 1000, "checkpoint_every": 1000}
    sampling = {"num_inference_steps": 5}
    return {
        "small": tiny_config(training=training, sampling=sampling),
        "half": tiny_config(
            training={**training, "precision": "bf16", "ema_decay": 0.0}, sampling=sampling
        ),
    }


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; and matrix products small enough for a test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(peak, "SIZES", {"cpu": (64, 128)})
    monkeypatch.setattr(peak, "_SECONDS", 0.02)
    return tmp_path


@pytest.mark.slow
def test_a_benchmark_and_its_report(configs, folders: Path) -> None:
    *told, report = bench(configs, device="cpu", rounds=3, seconds=0.05, pictures=3)
    assert all(isinstance(event, Doing) for event in told)
    assert len(told) == pytest.approx(suite.measurements(2, 3), abs=2)
    assert isinstance(report, BenchReport)
    assert (report.dataset, report.images, report.rounds) == ("fashion-mnist-10k", 10_000, 3)
    assert list(folders.iterdir()) == []

    contenders = [("small", "article"), ("small", "ours"), ("half", "article"), ("half", "ours")]
    assert [(row.network, row.loop) for row in report.training] == contenders
    assert [row.precision for row in report.training] == ["fp32", "fp32", "fp32", "bf16"]
    assert [(row.network, row.sampler) for row in report.sampling] == contenders
    for row in (*report.training, *report.sampling):
        spread = row.seconds if hasattr(row, "seconds") else row.images_per_second
        assert 0 < spread.min <= spread.median <= spread.max
    for row in (*report.training[::2], report.sampling[0]):
        assert row.times_article == Spread(1.0, 1.0, 1.0)
    first, *others = report.sampling
    for row in others:
        bounds = first.seconds.min / row.seconds.max, first.seconds.max / row.seconds.min
        assert bounds[0] <= row.times_article.median <= bounds[1], "all against the first"
    for row in report.training:
        if row.loop == "ours":
            assert row.steps % 2 == 0, "whole rows of metrics"
    assert {row.steps for row in report.sampling} == {50, 5}

    trained = {row.network: row for row in report.training if row.loop == "ours"}
    for step, used in zip(report.phases, report.efficiency, strict=True):
        assert list(step.phases) == list(phases.PHASES)
        assert sum(step.phases.values()) == pytest.approx(step.step.median, rel=0.3)
        speed = trained[used.network]
        per_image = used.flops_per_step / speed.batch_size
        assert used.flops_per_second == pytest.approx(per_image * speed.images_per_second.median)
        assert used.share == used.flops_per_second / used.peak_flops_per_second
        assert used.peak_size in (64, 128)
    assert [used.precision for used in report.efficiency] == ["fp32", "bf16"]


@pytest.mark.slow
def test_a_full_benchmark_times_every_step_of_the_samplers(configs, folders: Path) -> None:
    *_, report = bench(configs, device="cpu", rounds=1, seconds=0.01, full=True, pictures=1)
    assert isinstance(report, BenchReport)
    assert [row.steps_timed for row in report.sampling] == [50, 5, 50, 5]


@pytest.mark.slow
def test_seconds_that_are_scaled_are_of_all_the_steps(
    configs, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "calibrate", lambda *_, multiple=1: 2 * multiple)
    monkeypatch.setattr(
        timing, "measure", lambda work, steps: Timing(0.5 * steps, steps, work(steps))
    )
    *_, report = bench(configs, device="cpu", rounds=1, seconds=0.01, pictures=2)
    assert isinstance(report, BenchReport)
    ours = next(row for row in report.sampling if row.sampler == "ours")
    theirs = next(row for row in report.sampling if row.sampler == "article")
    assert (theirs.steps_timed, theirs.steps, theirs.seconds.median) == (2, 50, 25.0)
    assert (ours.steps_timed, ours.steps, ours.seconds.median) == (2, 5, 2.5)
    assert ours.times_article.median == 10.0
    assert [row.images_per_second.median for row in report.training] == [16.0] * 4


# A training that nobody closed would complain, when it is collected, that its folder has gone.
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("stop", ["loading the data", "warming up", "round 1", "sampling"])
def test_a_benchmark_that_is_stopped_leaves_no_folder(configs, folders: Path, stop: str) -> None:
    with closing(bench(configs, device="cpu", rounds=1, seconds=0.01, pictures=1)) as measuring:
        for event in measuring:
            if isinstance(event, Doing) and stop in event.what:
                break
        else:
            raise AssertionError(stop)
    gc.collect()
    assert list(folders.iterdir()) == []


def test_an_error_while_measuring_leaves_no_folder(
    configs, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "time_phases", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(bench(configs, device="cpu", rounds=1, seconds=0.01, pictures=1))
    assert list(folders.iterdir()) == []


def test_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    timing.now(SimpleNamespace(type="cuda"))  # type: ignore[arg-type]
    timing.now(CPU)
    assert len(waited) == 1
