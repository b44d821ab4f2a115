"""GPUs with all the room there is: a history of every quantity under each other."""

from __future__ import annotations

from ddpm_tui.widgets.gauges.history import History
from ddpm_tui.widgets.gauges.parts import Line, clip, figure_of, memory_figures, sparkline
from engine.telemetry import GpuReading

_TALLEST = 5


def detail_height(gpus: int, rows: int = 1) -> int:
    """The lines of `histories`, titles and all, when each history has `rows`."""
    return gpus * 4 * rows


def histories(
    gpu: GpuReading, position: int, gpus: int, history: History, width: int, room: int
) -> list[Line]:
    """Utilization, memory, power and temperature over time, all from 0 to 100: percent, of the
    whole memory, of the power limit, and °C.

    Args:
        position: of the GPU in `history`.
        gpus: how many share the room.
        room: lines for all of them; at least `detail_height(gpus)`.
    """
    rows = max(tall for tall in range(1, _TALLEST + 1) if detail_height(gpus, tall) <= room)
    drawn = max(rows - 1, 1)
    power = f"{figure_of(gpu.power)}/{figure_of(gpu.power_limit)} W"
    quantities = (
        ("GPU", "", figure_of(gpu.utilization, " %")),
        ("MEM", " memory", memory_figures(gpu.memory_used, gpu.memory_total)[0]),
        ("PWR", " power", power),
        ("TMP", " temperature", figure_of(gpu.temperature, " °C")),
    )
    column = max(len(figure) for _, _, figure in quantities)
    span = max(width - 4 - column - 1, 0)
    lines: list[Line] = []
    for label, quantity, figure in quantities:
        values = history.last(f"gpu {position}{quantity}", span)
        if rows > 1:
            lines.append([])  # so that a full one does not run into the one above it
        for row in range(drawn):
            told = (label, figure) if row == drawn - 1 else ("", "")
            lines.append(
                clip(
                    [
                        ("label", f"{told[0]:<4}"),
                        ("history", sparkline(values, span, drawn, row)),
                        ("figure", f" {told[1]:>{column}}"),
                    ],
                    width,
                )
            )
    return lines
