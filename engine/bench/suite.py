"""The whole benchmark: the article's loops and ours in turn, then where our time goes."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from engine.bench.article_loop import (
    ArticleDiffusion,
    ArticleImages,
    article_sampling,
    article_training,
)
from engine.bench.ours import OurLoop, our_sampling
from engine.bench.peak import Peak, matmul_peak, step_flops
from engine.bench.phases import time_phases
from engine.bench.timing import Contender, Doing, Spread, Work, calibrate, in_turn, now, pulled
from engine.config import RunConfig
from engine.device import describe_device, resolve_device
from engine.models import build_model
from engine.runs import io

PICTURES = 100
ARTICLE, OURS = "article", "ours"
# The article's loops know no other.
_ARTICLE_PRECISION = "fp32"
_PRECISION_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class TrainingSpeed:
    """Training on one network by one loop.

    Attributes:
        network: which config's.
        loop: `article` or `ours`.
        steps: in each round.
        times_article: how many times the article's images/s, round by round.
    """

    network: str
    loop: str
    batch_size: int
    precision: str
    steps: int
    images_per_second: Spread
    times_article: Spread


@dataclass(frozen=True)
class SamplingSpeed:
    """Drawing pictures from one network by one sampler.

    Attributes:
        sampler: `article` or `ours`.
        rule: the update rule.
        steps: that the pictures take.
        steps_timed: in each round; fewer than `steps` means that `seconds` is scaled up.
        times_article: how many times as fast as the article's sampler on the first network, which
            is the article's own, round by round.
    """

    network: str
    sampler: str
    rule: str
    pictures: int
    steps: int
    steps_timed: int
    seconds: Spread
    times_article: Spread


@dataclass(frozen=True)
class StepPhases:
    """The phases of our training step, in milliseconds; each the median over the rounds.

    Attributes:
        step: the whole step, with the waits for the device that the phases need.
        phases: see `phases.PHASES`.
    """

    network: str
    steps: int
    step: Spread
    phases: dict[str, float]


@dataclass(frozen=True)
class Efficiency:
    """The arithmetic of our training against the best matrix product in its precision.

    Attributes:
        flops_per_step: matrix products and convolutions, see `peak.count_flops`.
        peak_size: the size of the square matrices that made the peak.
        share: flops_per_second / peak_flops_per_second, 0 … 1.
    """

    network: str
    precision: str
    flops_per_step: int
    flops_per_second: float
    peak_flops_per_second: float
    peak_size: int
    share: float


@dataclass(frozen=True)
class BenchReport:
    """Everything that was measured, and under which conditions."""

    device: str
    torch: str
    dataset: str
    origin: str
    images: int
    rounds: int
    seconds: float
    full: bool
    training: list[TrainingSpeed] = field(default_factory=list)
    sampling: list[SamplingSpeed] = field(default_factory=list)
    phases: list[StepPhases] = field(default_factory=list)
    efficiency: list[Efficiency] = field(default_factory=list)


def measurements(networks: int, rounds: int) -> int:
    """How many times `bench` says what it does, about; for a progress bar."""
    # In each round both loops train, both sample, and ours is taken apart; warming up is a half.
    return 1 + networks * (3 + 5 * rounds)


def bench(
    configs: Mapping[str, RunConfig],
    *,
    device: str = "auto",
    rounds: int = 5,
    seconds: float = 2.0,
    full: bool = False,
    pictures: int = PICTURES,
    data_dir: Path | None = None,
) -> Generator[Doing | BenchReport]:
    """Measure; the report comes last. Closing it early removes its temporary folder.

    Args:
        configs: networks by name, all on one data set, that of the article first; see
            `ours.standard_configs`.
        rounds: how often each measurement is taken, all of them in turn.
        seconds: about how long each measurement takes.
        full: time every step of the sampler, however long that takes.
        pictures: drawn by the sampler.

    Raises:
        EngineError: data or device cannot be used.
    """
    target = resolve_device(device)
    with ExitStack() as stack:
        yield Doing("loading the data")
        folder = stack.enter_context(io.temporary_folder("ddpm-tui-bench-"))
        loops = {
            name: stack.enter_context(closing(OurLoop(config, folder, target, data_dir)))
            for name, config in configs.items()
        }
        dataset = next(iter(loops.values())).trainer.dataset
        report = BenchReport(
            describe_device(target),
            torch.__version__,
            dataset.name,
            dataset.origin,
            len(dataset),
            rounds,
            seconds,
            full,
        )
        step_seconds = yield from _training(report, loops)
        yield from _phases(report, loops)
        yield from _sampling(report, loops, pictures)
        yield from _efficiency(report, loops, step_seconds)
    yield report


def _article_network(loop: OurLoop) -> nn.Module:
    trainer = loop.trainer
    shape, classes = trainer.dataset.image_shape, len(trainer.dataset.class_names)
    return build_model(trainer.config, shape, classes).to(trainer.device)


def _article_diffusion(loop: OurLoop) -> ArticleDiffusion:
    return ArticleDiffusion(loop.trainer.config.diffusion.num_train_timesteps, loop.trainer.device)


def _article_loop(loop: OurLoop) -> Work:
    """The article's loop on the same network, data and batch size as ours."""
    trainer = loop.trainer
    steps = article_training(
        _article_network(loop),
        _article_diffusion(loop),
        ArticleImages(trainer.dataset.images.cpu(), trainer.dataset.labels.cpu()),
        trainer.config.data.batch_size,
    )

    def work(count: int) -> int:
        images = sum(next(steps)[0] for _ in range(count))
        now(trainer.device)
        return images

    return work


def _training(
    report: BenchReport, loops: Mapping[str, OurLoop]
) -> Generator[Doing, None, dict[str, float]]:
    """Fill `report.training`; returns the median seconds of our step on each network."""
    works: dict[Contender, tuple[Work, int]] = {}
    for network, loop in loops.items():
        yield Doing(f"warming up, {network} network, training")
        article = _article_loop(loop)
        works[network, ARTICLE] = article, calibrate(article, report.seconds)
        # Whole rows of metrics in every measurement.
        rows = loop.trainer.config.training.log_every
        works[network, OURS] = loop, calibrate(loop, report.seconds, multiple=rows)
    timings = yield from in_turn("training", works, report.rounds)

    for (network, whose), taken in timings.items():
        trainer = loops[network].trainer
        speeds = [timing.images_per_second for timing in taken]
        baseline = [timing.images_per_second for timing in timings[network, ARTICLE]]
        report.training.append(
            TrainingSpeed(
                network,
                whose,
                trainer.config.data.batch_size,
                _PRECISION_NAMES[trainer.dtype] if whose == OURS else _ARTICLE_PRECISION,
                taken[0].steps,
                Spread.of(speeds),
                _ratios(speeds, baseline),
            )
        )
    return {
        network: statistics.median(t.seconds_per_step for t in timings[network, OURS])
        for network in loops
    }


def _ratios(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Round by round, so that a round in which the machine was busy does not tilt them."""
    return Spread.of([value / base for value, base in zip(values, baseline, strict=True)])


def _phases(report: BenchReport, loops: Mapping[str, OurLoop]) -> Iterator[Doing]:
    steps = {row.network: row.steps for row in report.training if row.loop == OURS}
    rounds: dict[str, list[dict[str, float]]] = {network: [] for network in loops}
    for number in range(report.rounds):
        for network, loop in loops.items():
            yield Doing(f"phases, {network} network, round {number + 1} of {report.rounds}")
            rounds[network].append(time_phases(loop, steps[network]))
    for network, taken in rounds.items():
        report.phases.append(
            StepPhases(
                network,
                steps[network],
                Spread.of([1000 * sum(phases.values()) for phases in taken]),
                {
                    phase: 1000 * statistics.median(phases[phase] for phases in taken)
                    for phase in taken[0]
                },
            )
        )


def _sampling(report: BenchReport, loops: Mapping[str, OurLoop], pictures: int) -> Iterator[Doing]:
    works: dict[Contender, tuple[Work, int]] = {}
    totals: dict[Contender, int] = {}
    for network, loop in loops.items():
        yield Doing(f"warming up, {network} network, sampling")
        trained, shape = loop.trained(), loop.trainer.dataset.image_shape
        theirs = partial(
            article_sampling,
            _article_network(loop).eval(),
            _article_diffusion(loop),
            pictures,
            shape,
        )
        config = loop.trainer.config
        totals[network, ARTICLE] = config.diffusion.num_train_timesteps
        totals[network, OURS] = config.sampling.num_inference_steps
        for whose, draw in ((ARTICLE, theirs), (OURS, our_sampling(trained, pictures))):
            work, total = pulled(draw, pictures, loop.trainer.device), totals[network, whose]
            steps = min(calibrate(work, report.seconds), total)
            works[network, whose] = work, total if report.full else steps
    timings = yield from in_turn("sampling", works, report.rounds)

    whole = {
        contender: [timing.seconds_per_step * totals[contender] for timing in taken]
        for contender, taken in timings.items()
    }
    reference = next(iter(loops))
    for (network, whose), seconds in whole.items():
        report.sampling.append(
            SamplingSpeed(
                network,
                whose,
                loops[network].trainer.config.sampling.sampler if whose == OURS else "ddpm",
                pictures,
                totals[network, whose],
                works[network, whose][1],
                Spread.of(seconds),
                _ratios(whole[reference, ARTICLE], seconds),
            )
        )


def _efficiency(
    report: BenchReport, loops: Mapping[str, OurLoop], step_seconds: Mapping[str, float]
) -> Iterator[Doing]:
    peaks: dict[torch.dtype, Peak] = {}
    for network, loop in loops.items():
        trainer = loop.trainer
        precision = _PRECISION_NAMES[trainer.dtype]
        if trainer.dtype not in peaks:
            yield Doing(f"matrix products in {precision}")
            peaks[trainer.dtype] = matmul_peak(trainer.dtype, trainer.device)
        peak = peaks[trainer.dtype]
        flops = step_flops(
            trainer.model, trainer.dataset.image_shape, trainer.config.data.batch_size
        )
        speed = flops / step_seconds[network]
        report.efficiency.append(
            Efficiency(
                network,
                precision,
                flops,
                speed,
                peak.flops_per_second,
                peak.size,
                speed / peak.flops_per_second,
            )
        )
