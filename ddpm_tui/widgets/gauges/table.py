"""Many GPUs: a row for each, under a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from ddpm_tui.sanitize import clean
from ddpm_tui.widgets.gauges.history import History
from ddpm_tui.widgets.gauges.parts import (
    MEMORY_ALARMS,
    MIN_BAR,
    Line,
    alarm_of,
    bar_of,
    clip,
    figure_of,
    heat_of,
    memory_figures,
    padded,
    percent_of,
    short_name,
    sparkline,
)
from engine.telemetry import GpuReading

MAX_TABLE_NAME = 24


@dataclass(frozen=True)
class _Column:
    """A column of figures, all texts of one width."""

    caption: str
    texts: list[str]
    components: list[str]

    @classmethod
    def of(cls, caption: str, texts: Sequence[str], components: Sequence[str] = ()) -> _Column:
        width = max(map(len, [caption, *texts]))
        texts = [text.rjust(width) for text in texts]
        return cls(caption.rjust(width), texts, list(components) or ["figure"] * len(texts))


def gpu_table(gpus: Sequence[GpuReading], history: History, width: int, height: int) -> list[Line]:
    """One row for each GPU under a caption. The caption goes first when the height is short."""
    numbers = _Column.of("", [str(gpu.index) for gpu in gpus])
    for columns in _figure_columns(gpus):
        free = width - len(numbers.caption) - sum(1 + len(c.caption) for c in columns) - 1
        if free >= MIN_BAR:
            break
    names = [clean(gpu.name) for gpu in gpus]
    one_kind = len(set(names)) == 1
    name = min(max(map(cell_len, names)), MAX_TABLE_NAME, free - MIN_BAR - 1)
    if one_kind or name < MIN_BAR:
        name = 0  # the caption tells, or there is no room
    bar = free - (name + 1 if name else 0)
    spark = min(bar // 3, 24) if bar >= 30 else 0
    bar = max(bar - (spark + 1 if spark else 0), 0)

    rows: list[Line] = []
    for i, gpu in enumerate(gpus):
        row: Line = [("label", f"{numbers.texts[i]} ")]
        if name:
            row.append(("name", padded(short_name(names[i], name), name + 1)))
        if gpu.note:
            row.append(("error", padded(clean(gpu.note, bar), bar)))
        else:
            row.append(("load", bar_of(gpu.utilization, bar)))
        if spark:
            row.append(("history", f" {sparkline(history.last(f'gpu {i}', spark), spark)}"))
        row += [(column.components[i], f" {column.texts[i]}") for column in columns]
        rows.append(clip(row, width))
    if height < len(rows):
        more = len(rows) - height + 1
        return [*rows[: height - 1], [("label", clean(f"+ {more} more GPUs", width))]]
    if height == len(rows):
        return rows
    captions = " ".join(column.caption for column in columns)
    room = max(width - len(captions) - 1, 0)
    count = f"{len(gpus)} × " if one_kind else f"{len(gpus)} GPUs"
    kind = short_name(names[0], max(room - len(count), 0)) if one_kind else ""
    title = padded(clean(count + kind, room), room + 1)
    return [clip([("name", title), ("label", captions)], width), *rows]


def _figure_columns(gpus: Sequence[GpuReading]) -> list[list[_Column]]:
    """The columns to choose from, the fullest choice first."""
    memories = [memory_figures(gpu.memory_used, gpu.memory_total) for gpu in gpus]
    percents = [percent_of(gpu.memory_used, gpu.memory_total) for gpu in gpus]
    alarms = [alarm_of(percent, *MEMORY_ALARMS) or "figure" for percent in percents]
    load = _Column.of("     ", [figure_of(gpu.utilization, " %") for gpu in gpus])  # room for 100 %
    full = _Column.of("GiB", [figure.removesuffix(" GiB") for figure, _ in memories], alarms)
    short = _Column.of("GiB", [figure.removesuffix("G") for _, figure in memories], alarms)
    heat = _Column.of(
        "°C", [figure_of(gpu.temperature) for gpu in gpus], [heat_of(g) for g in gpus]
    )
    power = _Column.of("W", [figure_of(gpu.power) for gpu in gpus])
    return [
        [load, full, heat, power],
        [load, short, heat, power],
        [load, short, heat],
        [load, short],
        [load],
    ]
