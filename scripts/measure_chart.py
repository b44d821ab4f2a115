"""How long the chart takes to draw new data, by the number of points, as Markdown.

    python scripts/measure_chart.py
    python scripts/measure_chart.py --size 200x60 --points 1000,1000000 --series 4

A redraw is what the widget does when a run has new rows: decimate, axes, curves, rows of cells,
and finding the rows that changed. Sending these to the terminal is not in it. The first curve is
raw and dim, as on the Train view; every redraw has new values, so that no row stays the same.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import time
from collections.abc import Iterator

import numpy as np
from textual.app import App, ComposeResult

from ddpm_tui.widgets.chart import LineChart, Series

WARM_UP = 3


class Measured(App[None]):
    def __init__(self, log_y: bool) -> None:
        super().__init__()
        self.chart = LineChart(log_y=log_y, x_label="step", y_label="loss", max_fps=math.inf)

    def compose(self) -> ComposeResult:
        yield self.chart


def losses(points: int, count: int) -> Iterator[tuple[Series, ...]]:
    """Falling losses, raw and smoothed, with other noise every time."""
    rng = np.random.default_rng(0)
    x = np.arange(points, dtype=np.float64)
    smooth = 0.02 + np.exp(-5 * x / points)
    while True:
        raw = smooth * np.exp(0.3 * rng.standard_normal(points))
        level = smooth * rng.uniform(0.9, 1.1)
        rest = (Series(str(k), x, level * (1 + 0.2 * k)) for k in range(count - 1))
        yield (Series("raw", x, raw, dim=True), *rest)


async def measure(
    size: tuple[int, int], points: list[int], series: int, repeats: int, log_y: bool
) -> None:
    app = Measured(log_y)
    async with app.run_test(size=size) as pilot:
        print(f"{size[0]} × {size[1]} cells, {series} series, {repeats} redraws each\n")
        print("| points of each series | median | 90 % below |")
        print("| ---: | ---: | ---: |")
        for count in points:
            data, times = losses(count, series), []
            for repeat in range(WARM_UP + repeats):
                app.chart._series = next(data)
                start = time.perf_counter()
                app.chart._draw()
                if repeat >= WARM_UP:
                    times.append(1000 * (time.perf_counter() - start))
            ninth = statistics.quantiles(times, n=10)[-1]
            print(f"| {count:,} | {statistics.median(times):.1f} ms | {ninth:.1f} ms |", flush=True)
            await pilot.pause()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="100x30", help="columns × rows [100x30]")
    parser.add_argument("--points", default="1000,100000,1000000", help="of each series")
    parser.add_argument("--series", type=int, default=2, help="how many curves [2]")
    parser.add_argument("--repeats", type=int, default=30, help="redraws of each, 2 or more [30]")
    parser.add_argument("--linear", action="store_true", help="a linear y axis, not a logarithmic")
    asked = parser.parse_args()
    width, height = (int(part) for part in asked.size.split("x"))
    points = [int(part) for part in asked.points.split(",")]
    asyncio.run(
        measure((width, height), points, asked.series, asked.repeats, log_y=not asked.linear)
    )


if __name__ == "__main__":
    main()
