"""`ddpm-tui bench`: the engine's benchmark with its progress, and its report as a table or JSON."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_tui.headless.progress import progress
from ddpm_tui.report import table

if TYPE_CHECKING:
    from engine.bench.suite import BenchReport, SamplingSpeed
    from engine.bench.timing import Spread


def run(
    *,
    device: str,
    rounds: int,
    seconds: float,
    full: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Measure and print; progress goes to stderr."""
    if not as_json:
        print("loading torch and the data", file=sys.stderr, flush=True)
    from engine.bench.ours import standard_configs
    from engine.bench.suite import PICTURES, BenchReport, bench, measurements
    from engine.data import default_dataset, sources

    dataset = default_dataset(data_dir)
    configs = standard_configs(dataset, sources.get(dataset).train_count)
    measuring = bench(
        configs,
        device=device,
        rounds=rounds,
        seconds=seconds,
        full=full,
        pictures=PICTURES,
        data_dir=data_dir,
    )
    total = measurements(len(configs), rounds)
    on_terminal = sys.stderr.isatty() and not as_json
    # Closed whatever happens, so that no temporary folder outlives Ctrl+C.
    with progress("bench", total, quiet=as_json or on_terminal) as plain, closing(measuring):
        try:
            for done, event in enumerate(measuring):
                if isinstance(event, BenchReport):
                    break
                plain.update(done, event.what)
                if on_terminal:
                    _show(f"{done} of {total}  {event.what}")
            else:
                raise AssertionError("the report comes last")
        finally:
            if on_terminal:
                _show("")
    print(json.dumps(asdict(event)) if as_json else bench_report(event))


def _show(line: str) -> None:
    """One line that is written over; a bar of rich redraws in a thread, which would be measured."""
    width = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[2K{line[:width]}", end="", file=sys.stderr, flush=True)


def bench_report(report: BenchReport) -> str:
    """What was measured, for a person: medians of the rounds, lowest to highest beside them."""
    whole = all(row.steps_timed == row.steps for row in report.sampling)
    return "\n\n".join(
        (
            f"{report.device}, torch {report.torch}, {report.dataset}, {report.images:,} images\n"
            f"medians of {report.rounds} rounds of about {report.seconds:g} s each, all in turn",
            _training(report),
            _sampling(report)
            + ("" if whole else "\n~ scaled up from the steps timed; --full times all of them"),
            _phases(report),
            _efficiency(report),
        )
    )


def _training(report: BenchReport) -> str:
    rows = [
        [
            row.network,
            row.loop,
            str(row.batch_size),
            row.precision,
            _rounded(row.images_per_second.median),
            _between(row.images_per_second),
            _times(row.times_article),
        ]
        for row in report.training
    ]
    header = ["NETWORK", "TRAINING", "BATCH", "PRECISION", "IMAGES/S", "MIN–MAX", "× ARTICLE'S"]
    return table(header, rows, right={2, 4, 5, 6})


def _sampling(report: BenchReport) -> str:
    rows = [
        [
            row.network,
            row.sampler,
            row.rule,
            f"{row.steps_timed:,} of {row.steps:,}",
            *_seconds(row),
            _times(row.times_article),
        ]
        for row in report.sampling
    ]
    pictures = report.sampling[0].pictures
    header = ["NETWORK", f"{pictures} PICTURES", "RULE", "STEPS TIMED", "SECONDS", "MIN–MAX"]
    return table([*header, "× ARTICLE'S"], rows, right={3, 4, 5, 6})


def _seconds(row: SamplingSpeed) -> tuple[str, str]:
    if row.steps_timed == row.steps:
        return _rounded(row.seconds.median), _between(row.seconds)
    return f"~ {_rounded(row.seconds.median, 2)}", _between(row.seconds, 2)


def _phases(report: BenchReport) -> str:
    from engine.bench.phases import PHASES

    rows = [
        [
            row.network,
            *(_rounded(row.phases[name]) for name in PHASES),
            _rounded(row.step.median),
            _between(row.step),
        ]
        for row in report.phases
    ]
    header = ["OUR STEP, MS", *(name.upper() for name in PHASES), "SUM", "MIN–MAX"]
    return table(header, rows, right=set(range(1, len(header))))


def _efficiency(report: BenchReport) -> str:
    rows = [
        [
            row.network,
            row.precision,
            _rounded(row.flops_per_step / 1e9),
            _rounded(row.flops_per_second / 1e9),
            _rounded(row.peak_flops_per_second / 1e9),
            f"{row.peak_size:,}",
            f"{_rounded(100 * row.share, 2)} %",
        ]
        for row in report.efficiency
    ]
    header = ["OUR TRAINING", "PRECISION", "GFLOP/STEP", "GFLOP/S", "MATMUL PEAK", "AT N", "SHARE"]
    return (
        table(header, rows, right={2, 3, 4, 5, 6})
        + "\nGFLOP: matrix products and convolutions, forward and backward"
        + "\nMATMUL PEAK: GFLOP/s of the fastest product of two N × N matrices"
    )


def _rounded(value: float, digits: int = 3) -> str:
    """Digits that mean something, no more: 12,300, 123, 12.3, 0.123."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}"


def _between(spread: Spread, digits: int = 3) -> str:
    return f"{_rounded(spread.min, digits)}–{_rounded(spread.max, digits)}"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f}"
