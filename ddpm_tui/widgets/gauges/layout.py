"""Telemetry as lines of text for a given size; knows nothing of Textual."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len

from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.gauges.detail import detail_height, histories
from ddpm_tui.widgets.gauges.history import History
from ddpm_tui.widgets.gauges.parts import (
    MIN_BAR,
    Line,
    bar_of,
    clip,
    figure_of,
    heat_of,
    length_of,
    memory_bar,
    memory_figures,
    percent_of,
    short_name,
    sparkline,
)
from ddpm_tui.widgets.gauges.table import gpu_table
from engine.telemetry import GpuReading, HostReading, Telemetry

ROOMY_GPUS = 2  # up to here a GPU has three rows
MIN_DETAIL = 40
MIN_HISTORY = 6


def natural_height(telemetry: Telemetry | None, width: int) -> int:
    """The rows that show everything at a given width in cells."""
    if telemetry is None:
        return 3
    if not telemetry.gpus:
        return len(_note_lines(telemetry.gpu_note, width)) + 2
    count = len(telemetry.gpus)
    return (3 * count if count <= ROOMY_GPUS else 1 + count) + 1


def layout(telemetry: Telemetry | None, history: History, width: int, height: int) -> list[Line]:
    """At most `height` lines of at most `width` cells; None is "nothing read yet"."""
    if width <= 0 or height <= 0:
        return []
    if telemetry is None:
        return [[("label", clean("reading devices …", width))]]
    host = telemetry.host
    if not telemetry.gpus:
        note: list[Line] = [[("label", text)] for text in _note_lines(telemetry.gpu_note, width)]
        lines = [*note, *_host_bars(host, history, width)]
        if height < len(lines):
            lines = [*note[: height - 1], _host_line(host, width)]
        return lines[:height]
    if len(telemetry.gpus) <= ROOMY_GPUS and height >= 3 * len(telemetry.gpus):
        lines = []
        memories = [memory_figures(gpu.memory_used, gpu.memory_total) for gpu in telemetry.gpus]
        column, form = _right_column(memories, width)
        for position, gpu in enumerate(telemetry.gpus):
            lines.append(_title(gpu, width))
            load, memory = _bars(
                width,
                column,
                ("GPU", gpu.utilization, history.last(f"gpu {position}", width)),
                ("MEM", percent_of(gpu.memory_used, gpu.memory_total), memories[position][form]),
            )
            if gpu.not_known and gpu.memory_total is None:
                load, memory = _why_not_known(gpu, "GPU ", width, 2)
            elif gpu.not_known:
                [load] = _why_not_known(gpu, "GPU ", width, 1)
            lines += [load, memory]
    else:
        lines = gpu_table(telemetry.gpus, history, width, height)
    return lines if height <= len(lines) else [*lines, _host_line(host, width)]


def filled(telemetry: Telemetry | None, history: History, width: int, height: int) -> list[Line]:
    """As `layout`; but where there is height for it, every quantity of a GPU has its history."""
    gpus = telemetry.gpus if telemetry is not None else ()
    room = height - len(gpus) - 1  # below the titles, above the host
    if telemetry is None or not gpus or width < MIN_DETAIL or room < detail_height(len(gpus)):
        return layout(telemetry, history, width, height)
    lines: list[Line] = []
    for position, gpu in enumerate(gpus):
        lines.append(_title(gpu, width))
        lines += histories(gpu, position, len(gpus), history, width, room)
    return [*lines, _host_line(telemetry.host, width)]


def _why_not_known(gpu: GpuReading, label: str, width: int, rows: int) -> list[Line]:
    """In place of bars: that the utilization is not known, and why; where a row is left, that the
    memory is not known either."""
    why = clean(f"utilization not known: {gpu.not_known}")
    room = max(width - len(label), 1)
    texts = textwrap.wrap(why, room, max_lines=rows, placeholder="…")
    labels = [label] + [" " * len(label)] * (len(texts) - 1)
    if len(texts) < rows:
        texts, labels = [*texts, "not known"], [*labels, "MEM "]
    return [
        clip([("label", start), ("figure", clean(text, room).ljust(room))], width)
        for start, text in zip(labels, texts, strict=True)
    ]


def _note_lines(note: str, width: int) -> list[str]:
    lines = textwrap.wrap(f"No GPU: {clean(note)}", max(width, 1), max_lines=2, placeholder="…")
    return [clean(line, width) for line in lines]


def _host_bars(host: HostReading, history: History, width: int) -> list[Line]:
    memory = memory_figures(host.memory_used, host.memory_total)
    column, form = _right_column([memory], width)
    return _bars(
        width,
        column,
        ("CPU", host.cpu_percent, history.last("cpu", width)),
        ("RAM", percent_of(host.memory_used, host.memory_total), memory[form]),
    )


def _host_line(host: HostReading, width: int) -> Line:
    fields = [
        ("CPU ", figure_of(host.cpu_percent, " %")),
        ("  RAM ", memory_figures(host.memory_used, host.memory_total)[0]),
    ]
    line: Line = []
    for label, figure in fields:
        if length_of(line) + len(label) + len(figure) <= width:
            line += [("label", label), ("figure", figure)]
    return line


def _title(gpu: GpuReading, width: int) -> Line:
    """Number and name on the left, temperature and power on the right."""
    right: list[Line] = []  # from the fullest to none
    if gpu.note:
        right = [[("error", clean(gpu.note, max(width - 6, 0)))]]
    else:
        temperature: Line = []
        if gpu.temperature is not None:
            temperature = [(heat_of(gpu), f"{gpu.temperature} °C")]
        apart = "  " if temperature else ""
        if gpu.power is not None and gpu.power_limit is not None:
            power = f"{apart}{round(gpu.power)}/{round(gpu.power_limit)} W"
            right.append([*temperature, ("figure", power)])
        if gpu.power is not None:
            right.append([*temperature, ("figure", f"{apart}{round(gpu.power)} W")])
        right += [temperature, []]
    number = f"{gpu.index} "
    name = clean(gpu.name)
    shortest = min(cell_len(name), 10)
    for figures in right:
        room = width - len(number) - length_of(figures) - (2 if figures else 0)
        if room >= shortest:
            break
    left: Line = [("label", number), ("name", short_name(name, max(room, 0)))]
    gap = ("figure", " " * (width - length_of(left) - length_of(figures)))
    return clip([*left, gap, *figures], width)


def _right_column(memories: Sequence[tuple[str, str]], width: int) -> tuple[int, int]:
    """The width of the column to the right of the bars, and which form of the memory figures fits.

    Memory figures and, above them, history and percentage share it. As the width shrinks, first
    the history goes, then the units and decimals of the memory figures.
    """
    full, short = (max(len(memory[form]) for memory in memories) for form in (0, 1))
    column = max(full, min(width // 3, 30))
    if width - 5 - column >= MIN_BAR + 4:
        return column, 0
    return max(short, len("100 %")), 1


def _bars(
    width: int,
    column: int,
    load: tuple[str, float | None, Sequence[float | None]],
    memory: tuple[str, float | None, str],
) -> list[Line]:
    """Two bars of one length: a load and its history, a memory and its figure."""
    load_label, load_percent, past = load
    memory_label, memory_percent, memory_figure = memory
    bar = max(width - 5 - column, 0)
    spark = column - len("100 %") - 1
    trail = sparkline(past, spark) if spark >= MIN_HISTORY else ""
    load_line: Line = [
        ("label", f"{load_label} "),
        ("load", bar_of(load_percent, bar)),
        ("history", f" {trail}"),
        ("figure", figure_of(load_percent, " %").rjust(column - len(trail))),
    ]
    memory_line: Line = [
        ("label", f"{memory_label} "),
        memory_bar(memory_percent, bar),
        ("figure", " " + memory_figure.rjust(column)),
    ]
    return [clip(load_line, width), clip(memory_line, width)]
