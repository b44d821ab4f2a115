"""What the lines of the panel are made of: bars, sparklines, figures, names."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from ddpm_tui.sanitize import clean
from engine.telemetry import GpuReading

GIB = 2**30
MEMORY_ALARMS = 90.0, 97.0  # %: warning, error
TEMPERATURE_ALARMS = 80.0, 90.0  # °C: boards begin to throttle between the two
NO_FIGURE = "–"
MIN_BAR = 8

Span = tuple[str, str]
"""A component class of `DevicePanel` without its "device-panel--", and the text it styles."""
Line = list[Span]


def bar_of(percent: float | None, width: int) -> str:
    """A bar of exactly `width` cells, in eighths; anything above zero shows."""
    eighths = round((percent or 0.0) / 100 * width * 8)
    eighths = min(max(eighths, 1 if percent else 0), width * 8)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + " ▏▎▍▌▋▊▉"[part].strip()).ljust(width)


def sparkline(values: Sequence[float | None], width: int, rows: int = 1, row: int = 0) -> str:
    """Percentages as blocks, newest on the right, in exactly `width` cells.

    The scale is fixed, 0–100 %, and what rounds to nothing is blank: so the row of an idle GPU does
    not change while its history fills.

    Args:
        rows: the height of the blocks, in lines.
        row: which of the lines, from the top.
    """
    newest = list(values)[-width:] if width > 0 else []
    below = 8 * (rows - 1 - row)
    eighths = (round(min(max(v or 0.0, 0.0), 100.0) / 12.5 * rows) - below for v in newest)
    return "".join(" ▁▂▃▄▅▆▇█"[min(max(part, 0), 8)] for part in eighths).rjust(width)


def figure_of(value: float | None, unit: str = "") -> str:
    return NO_FIGURE if value is None else f"{round(value)}{unit}"


def percent_of(part: float | None, whole: float | None) -> float | None:
    return 100 * part / whole if part is not None and whole else None


def memory_figures(used: int | None, total: int | None) -> tuple[str, str]:
    """Used and total memory, in full and in short."""
    if used is None or not total:
        return NO_FIGURE, NO_FIGURE
    figure = f"{used / GIB:.1f}/{total / GIB:.1f} GiB"
    return figure, f"{used / GIB:.0f}/{total / GIB:.0f}G"


def alarm_of(value: float | None, warning: float, error: float) -> str:
    if value is None or value < warning:
        return ""
    return "warning" if value < error else "error"


def heat_of(gpu: GpuReading) -> str:
    return alarm_of(gpu.temperature, *TEMPERATURE_ALARMS) or "figure"


def memory_bar(percent: float | None, width: int) -> Span:
    alarm = alarm_of(percent, *MEMORY_ALARMS)
    return f"memory-{alarm}" if alarm else "memory", bar_of(percent, width)


def short_name(name: str, room: int) -> str:
    for brand in ("NVIDIA ", "GeForce "):
        if cell_len(name) > room:
            name = name.removeprefix(brand)
    return clean(name, room)


def padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def length_of(line: Line) -> int:
    return sum(cell_len(text) for _, text in line)


def clip(line: Line, width: int) -> Line:
    """The line within `width` cells: a size at which nothing looks good must still not spill."""
    clipped: Line = []
    for component, text in line:
        room = width - length_of(clipped)
        clipped.append((component, text if cell_len(text) <= room else set_cell_size(text, room)))
    return clipped
