"""The device panel, fed by the real sampler from a compiled NVML, in a running app."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from ddpm_tui.widgets.gauges import (
    DevicePanel,
    History,
    Line,
    filled,
    layout,
    natural_height,
)
from engine.telemetry import GpuReading, HostReading, Telemetry
from tests.engine.fake_nvml import (
    DRIVER_NOT_LOADED,
    GIB,
    FakeGpu,
    build_fake_nvml,
    readings,
    world,
)

HOST = HostReading(34.4, 32, int(12.3 * GIB), int(31.2 * GIB), 120.0, GIB)
H200 = GpuReading(0, "NVIDIA H200", 97, int(38.2 * GIB), int(140.4 * GIB), 61, 512.0, 700.0)
ONE = Telemetry((H200,), HOST, "")
EIGHT = Telemetry(tuple(replace(H200, index=i, utilization=12 * i) for i in range(8)), HOST, "")
NONE = Telemetry((), HOST, "no NVIDIA driver found")


class CountedPanel(DevicePanel):
    """Notes which rows Textual asks it to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: set[int] = set()

    def render_line(self, y: int) -> Strip:
        self.drawn.add(y)
        return super().render_line(y)


class PanelApp(App[None]):
    def compose(self) -> ComposeResult:
        yield CountedPanel()


def texts(panel: DevicePanel) -> list[str]:
    return [strip.text for strip in panel.render_lines(panel.size.region)]


def lines_of(telemetry: Telemetry, width: int, height: int = 20) -> list[str]:
    history = History()
    for position, gpu in enumerate(telemetry.gpus):
        for percent in (0, 50, 100):
            history.add(f"gpu {position}", percent)
        history.add(f"gpu {position}", gpu.utilization)
    return ["".join(text for _, text in line) for line in layout(telemetry, history, width, height)]


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_nvml(tmp_path_factory.mktemp("nvml"))


async def test_two_gpus(nvml: Path) -> None:
    laptop = FakeGpu(
        uuid="GPU-1",
        name="NVIDIA GeForce RTX 4090 Laptop GPU",
        utilization=50,
        memory_total=16 * GIB,
        memory_used=8 * GIB,
        power=None,
        power_limit=None,
    )
    [telemetry] = readings(nvml, [world(FakeGpu(), laptop)])
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)
        panel.update(telemetry)
        await pilot.pause()
        *gpus, host = texts(panel)
    assert gpus == [
        "0 NVIDIA H200                   61 °C  512/700 W",
        "GPU ██████████████████████████▎          █  97 %",
        "MEM ██████▊                       35.0/140.0 GiB",
        "1 NVIDIA GeForce RTX 4090 Laptop GPU       61 °C",
        "GPU █████████████▌                       ▄  50 %",
        "MEM █████████████▌                  8.0/16.0 GiB",
    ]
    assert re.match(r"CPU \d+ %  RAM \d+\.\d/\d+\.\d GiB +$", host)


async def test_no_gpu(nvml: Path) -> None:
    [telemetry] = readings(nvml, [world(FakeGpu(), init=DRIVER_NOT_LOADED)])
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)
        panel.update(telemetry)
        await pilot.pause()
        note, cpu, ram = texts(panel)
    assert note.rstrip() == "No GPU: NVML: Driver Not Loaded"
    assert re.match(r"CPU [█▏▎▍▌▋▊▉ ]{27} .* \d+ %$", cpu)
    assert re.match(r"RAM [█▏▎▍▌▋▊▉ ]{27} +\d+\.\d/\d+\.\d GiB$", ram)


def test_a_gpu_that_is_lost_says_so() -> None:
    lost = GpuReading(1, "NVIDIA H200", note="GPU is lost")
    few = lines_of(replace(ONE, gpus=(H200, lost)), 34)
    assert few[3:6] == [
        "1 NVIDIA H200          GPU is lost",
        "GPU                      ▄█      –",  # a gap, and the past beyond it
        "MEM                              –",
    ]
    many = lines_of(replace(EIGHT, gpus=(*EIGHT.gpus[:7], lost)), 48)
    assert many[8] == "1 GPU is lost                –          –  –   –"


@pytest.mark.parametrize(
    ("gpu", "drawn"),
    [
        (
            GpuReading(
                1,
                "MIG 1g.5gb NVIDIA A100-SXM4-40GB",
                memory_used=2 * GIB,
                memory_total=5 * GIB,
                not_known="MIG slice",
            ),
            [
                "1 MIG 1g.5gb NVIDIA A100-SXM4-40GB",
                "GPU utilization not known: MIG slice",
                "MEM ████████▍              2.0/5.0 GiB",
            ],
        ),
        (
            GpuReading(0, "mps, Apple's GPU", not_known="mps has no counter"),
            ["0 mps, Apple's GPU", "GPU utilization not known: mps has no", "    counter"],
        ),
        (
            GpuReading(0, "NVIDIA H200", not_known="NVML: Driver/library version mismatch"),
            [
                "0 NVIDIA H200",
                "GPU utilization not known: NVML:",
                "    Driver/library version mismatch",
            ],
        ),
    ],
    ids=["MIG", "mps", "no NVML"],
)
def test_what_is_not_known_is_said_in_place_of_bars(gpu: GpuReading, drawn: list[str]) -> None:
    lines = lines_of(replace(ONE, gpus=(gpu,)), 38)
    assert [line.rstrip() for line in lines[:3]] == drawn


def test_where_the_reason_is_short_the_memory_is_not_known_either() -> None:
    gpu = GpuReading(0, "mps, Apple's GPU", not_known="mps has no counter")
    lines = lines_of(replace(ONE, gpus=(gpu,)), 48)
    assert [line.rstrip() for line in lines[1:3]] == [
        "GPU utilization not known: mps has no counter",
        "MEM not known",
    ]


def test_eight_gpus_have_a_line_each() -> None:
    lines = lines_of(EIGHT, 48)
    assert lines[0] == "8 × NVIDIA H200                       GiB °C   W"
    assert lines[8] == "7 ██████████████████▌     84 % 38.2/140.4 61 512"
    assert lines[9] == "CPU 34 %  RAM 12.3/31.2 GiB"
    assert len(lines) == 10


def test_unlike_gpus_are_named_where_there_is_room() -> None:
    other = replace(H200, index=8, name="NVIDIA RTX 6000 Ada Generation")
    unlike = replace(EIGHT, gpus=(*EIGHT.gpus, other))
    assert lines_of(unlike, 34)[0].startswith("9 GPUs ")
    assert lines_of(unlike, 34)[9].startswith("8 ██")
    assert lines_of(unlike, 48)[9].startswith("8 RTX 6000 Ada… ██")
    assert lines_of(unlike, 70)[9].startswith("8 RTX 6000 Ada Generation  ██")


@pytest.mark.parametrize("telemetry", [ONE, EIGHT])
def test_as_the_width_shrinks_the_history_goes_before_the_name_is_shortened(
    telemetry: Telemetry,
) -> None:
    def history(width: int) -> bool:
        return any("▄█" in line for line in lines_of(telemetry, width))

    def name(width: int) -> bool:
        return "NVIDIA H200" in lines_of(telemetry, width)[0]

    shown = {(history(width), name(width)) for width in range(100, 14, -1)}
    assert shown == {(True, True), (False, True), (False, False)}


def test_a_history_too_short_to_read_is_left_out() -> None:
    def load(total: int) -> str:
        gpu = replace(H200, memory_used=GIB, memory_total=total * GIB)
        return lines_of(replace(ONE, gpus=(gpu,)), 30)[1]

    assert "▄█" in load(16)  # six cells above "1.0/16.0 GiB"
    assert "▄█" not in load(4)


def test_a_long_reason_takes_two_lines_at_most() -> None:
    lines = lines_of(replace(NONE, gpu_note="CUDA_VISIBLE_DEVICES=" + "9," * 99), 34)
    assert len(lines) == 4
    assert lines[1].endswith("…")


def test_as_the_height_shrinks_the_caption_and_then_gpus_go() -> None:
    full = lines_of(EIGHT, 48)
    assert lines_of(EIGHT, 48, 9) == full[:9]
    assert lines_of(EIGHT, 48, 8) == full[1:9]
    assert lines_of(EIGHT, 48, 3) == [*full[1:3], "+ 6 more GPUs"]
    assert lines_of(ONE, 34, 1) == ["0 ███████▊  97 % 38.2/140.4 61 512"]
    host = "CPU 34 %  RAM 12.3/31.2 GiB"
    assert lines_of(NONE, 34, 2) == ["No GPU: no NVIDIA driver found", host]
    assert lines_of(NONE, 34, 1) == [host]


def test_alarms() -> None:
    def components(line: Line) -> set[str]:
        return {component for component, _ in line}

    def rows(**figures: float) -> list[Line]:
        return layout(Telemetry((replace(H200, **figures),), HOST, ""), History(), 48, 4)

    assert "figure" in components(rows(temperature=79)[0])
    assert "warning" in components(rows(temperature=80)[0])
    assert "error" in components(rows(temperature=90)[0])
    assert "memory" in components(rows(memory_used=89, memory_total=100)[2])
    assert "memory-warning" in components(rows(memory_used=90, memory_total=100)[2])
    assert "memory-error" in components(rows(memory_used=97, memory_total=100)[2])

    hot = replace(H200, temperature=90, memory_used=90, memory_total=100)
    table = layout(replace(EIGHT, gpus=(H200, hot, H200)), History(), 48, 4)
    assert components(table[1]) == {"label", "load", "figure"}
    assert components(table[2]) == {"label", "load", "figure", "warning", "error"}


def test_bars_are_drawn_in_eighths() -> None:
    def bar(percent: int) -> str:
        return lines_of(replace(ONE, gpus=(replace(H200, utilization=percent),)), 48)[1][4:31]

    assert bar(0) == " " * 27
    assert bar(100) == "█" * 27
    drawn = [bar(percent).rstrip() for percent in range(101)]
    assert len(set(drawn)) == 101
    barely = replace(H200, memory_used=1, memory_total=10**6)
    assert lines_of(replace(ONE, gpus=(barely,)), 48)[2].startswith("MEM ▏ ")
    eighths = [8 * len(d) - 8 + " ▏▎▍▌▋▊▉█".index(d[-1]) if d else 0 for d in drawn]
    assert eighths == sorted(eighths)


async def test_names_are_data_and_not_markup_or_control_sequences() -> None:
    name = "[red]H200[/]\x1b]0;title\x07\x1b[2J\u202e\n!"
    app = PanelApp()
    async with app.run_test(size=(60, 20)) as pilot:
        panel = app.query_one(CountedPanel)
        panel.update(replace(ONE, gpus=(replace(H200, name=name),)))
        await pilot.pause()
        assert texts(panel)[0].startswith("0 [red]H200[/] !  ")
        panel.update(replace(NONE, gpu_note="[b]no\x1b[2J driver"))
        await pilot.pause()
        assert texts(panel)[0].rstrip() == "No GPU: [b]no driver"


async def test_only_the_rows_that_changed_are_drawn() -> None:
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)

        async def drawn_after(telemetry: Telemetry) -> set[int]:
            panel.drawn.clear()
            panel.update(telemetry)
            await pilot.pause()
            return set(panel.drawn)

        idle = replace(ONE, gpus=(replace(H200, utilization=0),))
        assert await drawn_after(idle) == {0, 1, 2, 3}
        assert await drawn_after(idle) == set()
        hotter = replace(H200, utilization=0, temperature=70)
        assert await drawn_after(replace(ONE, gpus=(hotter,))) == {0}
        busy = replace(hotter, utilization=98)
        assert await drawn_after(replace(ONE, gpus=(busy,))) == {1}
        fuller = replace(busy, memory_used=139 * GIB, utilization=99)
        assert await drawn_after(replace(ONE, gpus=(fuller,))) == {1, 2}


async def test_an_idle_machine_whose_figures_tremble_draws_nothing() -> None:
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)
        for telemetry in (replace(ONE, gpus=(replace(H200, utilization=0),)), NONE):
            panel.update(replace(telemetry, host=replace(HOST, cpu_percent=1.2)))
            await pilot.pause()
            panel.drawn.clear()
            for i in range(30):
                sign = (-1) ** i
                gpus = tuple(
                    replace(
                        gpu,
                        memory_used=(gpu.memory_used or 0) + sign * 2**20,
                        temperature=(gpu.temperature or 0) + sign,
                        power=(gpu.power or 0) + 2.0 * sign,
                    )
                    for gpu in telemetry.gpus
                )
                host = replace(
                    HOST,
                    cpu_percent=1.5 + sign,
                    memory_used=HOST.memory_used + sign * 2**22,
                )
                panel.update(Telemetry(gpus, host, telemetry.gpu_note))
                await pilot.pause()
            assert panel.drawn == set()


async def test_a_figure_that_creeps_is_followed() -> None:
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)
        near = replace(H200, index=1, temperature=71)
        for temperature in range(40, 71):
            panel.update(replace(ONE, gpus=(replace(H200, temperature=temperature), near)))
        await pilot.pause()
        assert "70 °C" in texts(panel)[0]
        assert "71 °C" in texts(panel)[3]


async def test_the_height_follows_what_is_shown() -> None:
    app = PanelApp()
    async with app.run_test(size=(34, 30)) as pilot:
        panel = app.query_one(CountedPanel)
        assert texts(panel)[0].rstrip() == "reading devices …"
        hidden = replace(NONE, gpu_note="CUDA_VISIBLE_DEVICES=7 matches none of 2 GPUs")
        for telemetry, height in ((NONE, 3), (ONE, 4), (EIGHT, 10), (hidden, 4), (ONE, 4)):
            panel.update(telemetry)
            await pilot.pause()
            assert panel.size.height == height
            assert all(text.strip() for text in texts(panel))
        assert "NVIDIA H200" in texts(panel)[0]
        await pilot.resize_terminal(60, 30)
        assert all(len(text) == 60 for text in texts(panel))
        assert texts(panel)[0].endswith("512/700 W")


async def test_colours_follow_the_theme() -> None:
    app = PanelApp()
    async with app.run_test(size=(48, 12)) as pilot:
        panel = app.query_one(CountedPanel)
        panel.update(ONE)
        await pilot.pause()

        def bar_colour() -> str:
            [strip] = panel.render_lines(Region(0, 1, 48, 1))
            [style] = [style for text, style, _ in strip if "██" in text]
            assert style is not None and style.color is not None
            return style.color.name

        before = bar_colour()
        app.theme = "nord"
        await pilot.pause()
        assert bar_colour() != before


def test_history_is_bounded() -> None:
    history = History(points=3)
    for value in (1.0, None, 3.0, 4.0):
        history.add("cpu", value)
    assert history.last("cpu", 10) == [None, 3.0, 4.0]
    assert history.last("cpu", 2) == [3.0, 4.0]
    assert history.last("cpu", 0) == []
    assert history.last("gpu 0", 5) == []


sizes = st.integers(0, 2**45)
gpus = st.builds(
    GpuReading,
    index=st.integers(0, 15),
    name=st.text(st.characters(exclude_categories=()), max_size=40),
    utilization=st.none() | st.integers(0, 100),
    memory_used=st.none() | sizes,
    memory_total=st.none() | sizes,
    temperature=st.none() | st.integers(-20, 120),
    power=st.none() | st.floats(0, 2000),
    power_limit=st.none() | st.floats(0, 2000),
    note=st.sampled_from(["", "", "GPU is lost", "モデル" * 9]),
)
hosts = st.builds(
    HostReading,
    cpu_percent=st.floats(0, 100),
    cores=st.just(8),
    memory_used=sizes,
    memory_total=sizes,
    process_cpu_percent=st.just(0.0),
    process_rss=st.just(0),
)
telemetries = st.builds(
    Telemetry, gpus=st.lists(gpus, max_size=9).map(tuple), host=hosts, gpu_note=st.text()
)


def check_fit(telemetry: Telemetry | None, width: int, height: int) -> None:
    lines = layout(telemetry, History(), width, height)
    assert len(lines) <= height
    for line in lines:
        text = "".join(text for _, text in line)
        assert cell_len(text) <= width
        assert text.isprintable()


@given(st.none() | telemetries, st.integers(0, 120), st.integers(0, 14))
def test_any_telemetry_fits_any_size(telemetry: Telemetry | None, width: int, height: int) -> None:
    check_fit(telemetry, width, height)


@pytest.mark.parametrize("telemetry", [None, NONE, ONE, EIGHT])
def test_every_small_size_fits(telemetry: Telemetry | None) -> None:
    for width in range(50):
        for height in range(12):
            check_fit(telemetry, width, height)


@given(telemetries, st.integers(1, 120))
def test_the_natural_height_shows_everything(telemetry: Telemetry, width: int) -> None:
    height = natural_height(telemetry, width)
    lines = layout(telemetry, History(), width, height)
    assert len(lines) == height
    assert len(layout(telemetry, History(), width, height + 5)) == height


def test_with_height_to_spare_every_quantity_has_its_history() -> None:
    history = History()
    readings = [
        replace(H200, utilization=0, memory_used=0, power=0.0, temperature=0),
        replace(H200, utilization=100, memory_used=int(70.2 * GIB), power=350.0, temperature=25),
    ]
    for gpu in readings:
        history.add_gpu(0, gpu)
    telemetry = Telemetry((readings[-1],), HOST, "")

    def rows(height: int) -> list[str]:
        lines = filled(telemetry, history, 60, height)
        return ["".join(text for _, text in line) for line in lines]

    assert [row.split() for row in rows(6)[1:5]] == [
        ["GPU", "█", "100", "%"],
        ["MEM", "▄", "70.2/140.4", "GiB"],
        ["PWR", "▄", "350/700", "W"],
        ["TMP", "▂", "25", "°C"],
    ]
    tall = rows(14)  # three lines for each, the first one empty
    assert [row.strip() for row in tall[1:13:3]] == [""] * 4
    assert [row.strip() for row in tall[2:13:3]] == ["█", "", "", ""]
    assert [row.split()[1] for row in tall[3:13:3]] == ["█", "█", "█", "▄"]
    less = layout(telemetry, history, 60, 5)
    assert filled(telemetry, history, 60, 5) == less, "as always without the height"
