"""The panel that shows how busy the GPUs are or, where there are none, the processor.

`layout` turns telemetry into lines of text for a given size and knows nothing of Textual;
`DevicePanel` styles them and sends the terminal only the rows that changed.
"""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.sanitize import clean
from engine.telemetry import GpuReading, HostReading, Telemetry

GIB = 2**30

Span = tuple[str, str]
"""A component class of `DevicePanel` without its "device-panel--", and the text it styles."""
Line = list[Span]


class History:
    """The last readings of each quantity, oldest first.

    Args:
        points: how many readings are kept of each.
    """

    def __init__(self, points: int = 120) -> None:
        self._points = points
        self._values: dict[str, deque[float | None]] = {}

    def add(self, quantity: str, value: float | None) -> None:
        """Append a reading; None is a gap."""
        self._values.setdefault(quantity, deque(maxlen=self._points)).append(value)

    def last(self, quantity: str, count: int) -> list[float | None]:
        """The newest `count` readings of a quantity, fewer if there are not as many."""
        values = self._values.get(quantity, ())
        return list(values)[-count:] if count > 0 else []


class Steady:
    """Holds figures still while they only tremble, so that an idle machine redraws nothing.

    A figure stays as shown until it has moved by its band. GPU utilization is always exact: it is
    what one watches, and zero when idle.
    """

    CPU, MEMORY, TEMPERATURE, POWER = 3.0, 0.1 * GIB, 2.0, 0.01  # %, bytes, °C, share of the limit

    def __init__(self) -> None:
        self._held: dict[str, float] = {}

    def __call__(self, telemetry: Telemetry) -> Telemetry:
        """The telemetry to show."""
        host = telemetry.host
        return replace(
            telemetry,
            gpus=tuple(self._gpu(f"gpu {i} ", gpu) for i, gpu in enumerate(telemetry.gpus)),
            host=replace(
                host,
                cpu_percent=self._hold("cpu", host.cpu_percent, self.CPU),
                memory_used=int(self._hold("ram", host.memory_used, self.MEMORY)),
            ),
        )

    def _gpu(self, key: str, gpu: GpuReading) -> GpuReading:
        memory, temperature, power = gpu.memory_used, gpu.temperature, gpu.power
        if memory is not None:
            memory = int(self._hold(key + "memory", memory, self.MEMORY))
        if temperature is not None:
            temperature = int(self._hold(key + "temperature", temperature, self.TEMPERATURE))
        if power is not None:
            power = self._hold(key + "power", power, max(3.0, self.POWER * (gpu.power_limit or 0)))
        return replace(gpu, memory_used=memory, temperature=temperature, power=power)

    def _hold(self, key: str, value: float, band: float) -> float:
        if key not in self._held or abs(value - self._held[key]) >= band:
            self._held[key] = value
        return self._held[key]


class DevicePanel(Widget):
    """Utilization, memory, temperature and power of every visible GPU.

    With one or two GPUs each has three rows, with more (or too little height) one. Without a GPU
    the processor and the memory take their place, beside the reason. The height is automatic
    unless CSS sets it; any size works.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "device-panel--name",
        "device-panel--label",
        "device-panel--figure",
        "device-panel--load",
        "device-panel--memory",
        "device-panel--memory-warning",
        "device-panel--memory-error",
        "device-panel--warning",
        "device-panel--error",
        "device-panel--history",
    }

    DEFAULT_CSS = """
    DevicePanel {
        height: auto;
        & > .device-panel--name { text-style: bold; }
        & > .device-panel--label { color: $text-muted; }
        & > .device-panel--load { color: $success; background: $foreground 12%; }
        & > .device-panel--memory { color: $primary; background: $foreground 12%; }
        & > .device-panel--memory-warning { color: $warning; background: $foreground 12%; }
        & > .device-panel--memory-error { color: $error; background: $foreground 12%; }
        & > .device-panel--warning { color: $text-warning; text-style: bold; }
        & > .device-panel--error { color: $text-error; text-style: bold; }
        & > .device-panel--history { color: $success 70%; }
    }
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.history = History()
        self._steady = Steady()
        self._telemetry: Telemetry | None = None
        self._lines: list[Line] = []
        self._lines_size: Size | None = None  # what `_lines` was laid out for

    def update(self, telemetry: Telemetry) -> None:
        """Show a new snapshot; call it once per sampling period, on the app's thread."""
        shown = self._steady(telemetry)
        for position, gpu in enumerate(shown.gpus):
            self.history.add(f"gpu {position}", gpu.utilization)
        self.history.add("cpu", shown.host.cpu_percent)

        size = self.content_size
        height = natural_height(self._telemetry, size.width)
        self._telemetry = shown
        if self._lines_size != size or natural_height(shown, size.width) != height:
            self._lines_size = None
            self.refresh(layout=True)
            return
        before = self._lines
        self._lines = layout(shown, self.history, size.width, size.height)
        changed = [y for y in range(size.height) if before[y : y + 1] != self._lines[y : y + 1]]
        if changed:  # without regions, refresh() would mean everything
            self.refresh(*(Region(0, y, size.width, 1) for y in changed))

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002
        viewport: Size,  # noqa: ARG002
        width: int,
    ) -> int:
        return natural_height(self._telemetry, width)

    def render_line(self, y: int) -> Strip:
        size = self.content_size
        if self._lines_size != size:
            self._lines = layout(self._telemetry, self.history, size.width, size.height)
            self._lines_size = size
        segments = [
            Segment(text, self.get_component_rich_style(f"device-panel--{component}"))
            for component, text in (self._lines[y] if y < len(self._lines) else [])
            if text
        ]
        return Strip(segments).adjust_cell_length(size.width, self.rich_style)


# The layout ---------------------------------------------------------------------------------------

ROOMY_GPUS = 2  # up to here a GPU has three rows
MEMORY_ALARMS = 90.0, 97.0  # %: warning, error
TEMPERATURE_ALARMS = 80.0, 90.0  # °C: boards begin to throttle between the two
NO_FIGURE = "–"
MIN_BAR = 8
MIN_HISTORY = 6
MAX_TABLE_NAME = 24


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
        memories = [_memory(gpu.memory_used, gpu.memory_total) for gpu in telemetry.gpus]
        column, form = _right_column(memories, width)
        for position, gpu in enumerate(telemetry.gpus):
            lines.append(_title(gpu, width))
            lines += _bars(
                width,
                column,
                ("GPU", gpu.utilization, history.last(f"gpu {position}", width)),
                ("MEM", _percent(gpu.memory_used, gpu.memory_total), memories[position][form]),
            )
    else:
        lines = _gpu_table(telemetry.gpus, history, width, height)
    return lines if height <= len(lines) else [*lines, _host_line(host, width)]


def _note_lines(note: str, width: int) -> list[str]:
    lines = textwrap.wrap(f"No GPU: {clean(note)}", max(width, 1), max_lines=2, placeholder="…")
    return [clean(line, width) for line in lines]


def _host_bars(host: HostReading, history: History, width: int) -> list[Line]:
    memory = _memory(host.memory_used, host.memory_total)
    column, form = _right_column([memory], width)
    return _bars(
        width,
        column,
        ("CPU", host.cpu_percent, history.last("cpu", width)),
        ("RAM", _percent(host.memory_used, host.memory_total), memory[form]),
    )


def _host_line(host: HostReading, width: int) -> Line:
    fields = [
        ("CPU ", _figure(host.cpu_percent, " %")),
        ("  RAM ", _memory(host.memory_used, host.memory_total)[0]),
    ]
    line: Line = []
    for label, figure in fields:
        if _length(line) + len(label) + len(figure) <= width:
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
            temperature = [(_heat(gpu), f"{gpu.temperature} °C")]
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
        room = width - len(number) - _length(figures) - (2 if figures else 0)
        if room >= shortest:
            break
    left: Line = [("label", number), ("name", _short_name(name, max(room, 0)))]
    gap = ("figure", " " * (width - _length(left) - _length(figures)))
    return _clip([*left, gap, *figures], width)


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
    trail = _sparkline(past, spark) if spark >= MIN_HISTORY else ""
    load_line: Line = [
        ("label", f"{load_label} "),
        ("load", _bar(load_percent, bar)),
        ("history", f" {trail}"),
        ("figure", _figure(load_percent, " %").rjust(column - len(trail))),
    ]
    memory_line: Line = [
        ("label", f"{memory_label} "),
        _memory_bar(memory_percent, bar),
        ("figure", " " + memory_figure.rjust(column)),
    ]
    return [_clip(load_line, width), _clip(memory_line, width)]


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


def _gpu_table(gpus: Sequence[GpuReading], history: History, width: int, height: int) -> list[Line]:
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
            row.append(("name", _padded(_short_name(names[i], name), name + 1)))
        if gpu.note:
            row.append(("error", _padded(clean(gpu.note, bar), bar)))
        else:
            row.append(("load", _bar(gpu.utilization, bar)))
        if spark:
            row.append(("history", f" {_sparkline(history.last(f'gpu {i}', spark), spark)}"))
        row += [(column.components[i], f" {column.texts[i]}") for column in columns]
        rows.append(_clip(row, width))
    if height < len(rows):
        more = len(rows) - height + 1
        return [*rows[: height - 1], [("label", clean(f"+ {more} more GPUs", width))]]
    if height == len(rows):
        return rows
    captions = " ".join(column.caption for column in columns)
    room = max(width - len(captions) - 1, 0)
    count = f"{len(gpus)} × " if one_kind else f"{len(gpus)} GPUs"
    kind = _short_name(names[0], max(room - len(count), 0)) if one_kind else ""
    title = _padded(clean(count + kind, room), room + 1)
    return [_clip([("name", title), ("label", captions)], width), *rows]


def _figure_columns(gpus: Sequence[GpuReading]) -> list[list[_Column]]:
    """The columns to choose from, the fullest choice first."""
    memories = [_memory(gpu.memory_used, gpu.memory_total) for gpu in gpus]
    percents = [_percent(gpu.memory_used, gpu.memory_total) for gpu in gpus]
    alarms = [_alarm(percent, *MEMORY_ALARMS) or "figure" for percent in percents]
    load = _Column.of("     ", [_figure(gpu.utilization, " %") for gpu in gpus])  # room for 100 %
    full = _Column.of("GiB", [figure.removesuffix(" GiB") for figure, _ in memories], alarms)
    short = _Column.of("GiB", [figure.removesuffix("G") for _, figure in memories], alarms)
    heat = _Column.of("°C", [_figure(gpu.temperature) for gpu in gpus], [_heat(g) for g in gpus])
    power = _Column.of("W", [_figure(gpu.power) for gpu in gpus])
    return [
        [load, full, heat, power],
        [load, short, heat, power],
        [load, short, heat],
        [load, short],
        [load],
    ]


# Small parts --------------------------------------------------------------------------------------


def _bar(percent: float | None, width: int) -> str:
    """A bar of exactly `width` cells, in eighths; anything above zero shows."""
    eighths = round((percent or 0.0) / 100 * width * 8)
    eighths = min(max(eighths, 1 if percent else 0), width * 8)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + " ▏▎▍▌▋▊▉"[part].strip()).ljust(width)


def _sparkline(values: Sequence[float | None], width: int) -> str:
    """Percentages as blocks, newest on the right, in exactly `width` cells.

    The scale is fixed, 0–100 %, and what rounds to nothing is blank: so the row of an idle GPU does
    not change while its history fills.
    """
    newest = list(values)[-width:] if width > 0 else []
    blocks = "".join(" ▁▂▃▄▅▆▇█"[round(min(max(v or 0.0, 0.0), 100.0) / 12.5)] for v in newest)
    return blocks.rjust(width)


def _figure(value: float | None, unit: str = "") -> str:
    return NO_FIGURE if value is None else f"{round(value)}{unit}"


def _percent(part: float | None, whole: float | None) -> float | None:
    return 100 * part / whole if part is not None and whole else None


def _memory(used: int | None, total: int | None) -> tuple[str, str]:
    """Used and total memory, in full and in short."""
    if used is None or not total:
        return NO_FIGURE, NO_FIGURE
    figure = f"{used / GIB:.1f}/{total / GIB:.1f} GiB"
    return figure, f"{used / GIB:.0f}/{total / GIB:.0f}G"


def _alarm(value: float | None, warning: float, error: float) -> str:
    if value is None or value < warning:
        return ""
    return "warning" if value < error else "error"


def _heat(gpu: GpuReading) -> str:
    return _alarm(gpu.temperature, *TEMPERATURE_ALARMS) or "figure"


def _memory_bar(percent: float | None, width: int) -> Span:
    alarm = _alarm(percent, *MEMORY_ALARMS)
    return f"memory-{alarm}" if alarm else "memory", _bar(percent, width)


def _short_name(name: str, room: int) -> str:
    for brand in ("NVIDIA ", "GeForce "):
        if cell_len(name) > room:
            name = name.removeprefix(brand)
    return clean(name, room)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _length(line: Line) -> int:
    return sum(cell_len(text) for _, text in line)


def _clip(line: Line, width: int) -> Line:
    """The line within `width` cells: a size at which nothing looks good must still not spill."""
    clipped: Line = []
    for component, text in line:
        room = width - _length(clipped)
        clipped.append((component, text if cell_len(text) <= room else set_cell_size(text, room)))
    return clipped
