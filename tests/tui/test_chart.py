import itertools
import math
import os

import numpy as np
import pytest
from textual import constants
from textual.app import App, ComposeResult
from textual.strip import Strip

from ddpm_tui.color import ColorMode, apply
from ddpm_tui.widgets.chart import LineChart, Series, widget
from ddpm_tui.widgets.chart.plot import plot


@pytest.fixture
def use_mode(monkeypatch: pytest.MonkeyPatch):
    """Call it with a ColorMode before the app is created."""
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.setenv(name, "")
    apply(ColorMode.TRUECOLOR, os.environ)
    return lambda mode: apply(mode, os.environ)


class Recorded(LineChart):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.painted: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.painted.append(y)
        return super().render_line(y)


class ChartApp(App[None]):
    def __init__(self, **kwargs) -> None:
        super().__init__()
        self.chart = Recorded(max_fps=math.inf, **kwargs)  # every change is drawn at once

    def compose(self) -> ComposeResult:
        yield self.chart


def texts(chart: LineChart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


def colors_of(chart: LineChart, characters: str) -> set[str]:
    """The foregrounds in which characters of that range are drawn, as "#rrggbb"."""
    first, last = characters
    return {
        style.color.get_truecolor().hex
        for y in range(chart.size.height)
        for text, style, _ in chart.render_line(y)
        if any(first <= character <= last for character in text)
    }


BRAILLE = "\u2801\u28ff"
STEPS = np.arange(2000)
LOSS = 0.02 + np.exp(-STEPS / 200)


async def test_a_falling_curve_falls(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS)])
        await pilot.pause()
        rows = texts(app.chart)
        heights = [
            min(y for y, row in enumerate(rows) if BRAILLE[0] <= row[column] <= BRAILLE[1])
            for column in range(8, 59, 5)
        ]
        assert heights == sorted(heights)
        assert heights[-1] - heights[0] >= 6
        assert rows[-1].split() == ["0", "500", "1k", "1.5k"]


async def test_a_chart_fills_its_widget_whatever_the_terminal(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(150, 60)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS)])
        await pilot.pause()
        rows = texts(app.chart)
        axis = rows[-2].strip()
        assert (axis[0], set(axis[1:])) == ("└", {"─", "┬"})
        assert len(rows[-2].rstrip()) == 150
        assert all(rows)


async def test_the_log_axis_is_labelled_with_real_values(use_mode) -> None:
    app = ChartApp(log_y=True)
    async with app.run_test(size=(60, 20)) as pilot:
        x = np.arange(100)
        app.chart.set_series([Series("loss", x, 10.0 ** (-x / 25))])
        await pilot.pause()
        labels = [row.split("┤")[0].strip() for row in texts(app.chart) if "┤" in row]
        assert labels == ["1", "0.1", "0.01", "1e-3", "1e-4"]
        # A straight line: as many rows down in each quarter.
        rows = texts(app.chart)
        heights = [
            next(y for y, row in enumerate(rows) if BRAILLE[0] <= row[column] <= BRAILLE[1])
            for column in (8, 25, 42, 59)
        ]
        assert {b - a for a, b in itertools.pairwise(heights)} <= {5, 6}


async def test_the_legend_comes_with_the_second_series(use_mode) -> None:
    app = ChartApp(y_label="loss", x_label="step")
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("raw", STEPS, LOSS)])
        await pilot.pause()
        assert texts(app.chart)[0].split() == ["loss"]
        assert texts(app.chart)[-1].split() == ["step"]
        app.chart.set_series([Series("raw", STEPS, LOSS, dim=True), Series("ema", STEPS, LOSS)])
        await pilot.pause()
        assert texts(app.chart)[0].split() == ["loss", "▄▄", "raw", "──", "ema"]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (42, " ▄▄ raw  ── smoothed  ◆ held-out  ◇ scored"),
        (39, " ▄▄ raw ── smoothed ◆ held-out ◇ scored"),
        (38, " ▄▄ raw ── smoothed ◆ held-out"),
        (20, " ▄▄ raw ── smoothed"),
        (7, " ▄▄ raw"),
        (6, ""),
    ],
)
async def test_a_legend_leaves_out_what_is_not_whole(use_mode, width, expected) -> None:
    app = ChartApp()
    async with app.run_test(size=(width, 16)) as pilot:
        app.chart.set_series(
            [
                Series("raw", STEPS, LOSS, dim=True),
                Series("smoothed", STEPS, LOSS),
                Series("held-out", STEPS, LOSS, marks=True),
                Series("scored", STEPS, LOSS, marks=True),
            ]
        )
        await pilot.pause()
        assert texts(app.chart)[0].rstrip() == expected


async def test_colours_follow_the_theme(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS, "primary")])
        seen = []
        for theme in ("textual-dark", "textual-light"):
            app.theme = theme
            await pilot.pause()
            assert colors_of(app.chart, BRAILLE) == {app.theme_variables["primary"].lower()}
            background = app.chart.visual_style.rich_style.bgcolor
            for y in range(16):
                assert {style.bgcolor for _, style, _ in app.chart.render_line(y)} == {background}
            seen.append(background)
        assert len(set(seen)) == 2


async def test_an_unknown_colour_is_drawn_in_the_text_colour(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS, "no such colour")])
        await pilot.pause()
        assert len(colors_of(app.chart, BRAILLE)) == 1


async def test_a_smoothed_curve_stays_a_line_before_raw_data(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        noisy = LOSS + 0.5 * np.sin(STEPS)
        app.chart.set_series(
            [Series("raw", STEPS, noisy, dim=True), Series("ema", STEPS, np.full(2000, 0.3))]
        )
        await pilot.pause()
        rows = [row for row in texts(app.chart) if BRAILLE[0] <= max(row) <= BRAILLE[1]]
        assert len(rows) == 1  # none of the raw data took its dots


async def test_without_colour_series_differ_by_glyph(use_mode) -> None:
    use_mode(ColorMode.NONE)
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series(
            [Series(name, STEPS, LOSS + k / 2) for k, name in enumerate(("a", "b", "c"))]
        )
        await pilot.pause()
        assert texts(app.chart)[0].split() == ["──", "a", "**", "b", "++", "c"]
        body = "".join(texts(app.chart)[1:])
        assert "*" in body
        assert "+" in body


async def test_gaps_are_not_bridged(use_mode) -> None:
    app = ChartApp()
    y = np.ones(100)
    y[40:60] = math.nan
    async with app.run_test(size=(60, 9)) as pilot:
        app.chart.set_series([Series("flat", np.arange(100), y)])
        await pilot.pause()
        row = max(texts(app.chart))
        curve = row[row.index("┤") + 1 :] if "┤" in row else row[row.index("│") + 1 :]
        assert 9 <= curve.strip().count(" ") <= 13  # a fifth of the width
        assert len(curve.split()) == 2


async def test_the_cursor_is_a_line_at_its_x(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(61, 16)) as pilot:
        app.chart.set_series([Series("flat", np.arange(101), np.zeros(101))])
        app.chart.cursor = 50
        await pilot.pause()
        columns = {row.rindex("│") for row in texts(app.chart) if row.count("│") == 2}
        assert columns == {5 + (61 - 5) // 2}  # the axis is in column 4
        for outside in (-1, 101, math.nan, None):
            app.chart.cursor = outside
            await pilot.pause()
            assert all(row.count("│") < 2 for row in texts(app.chart))


async def test_nothing_to_draw_is_said(use_mode) -> None:
    app = ChartApp(message="The first loss comes after a few steps")
    async with app.run_test(size=(50, 7)) as pilot:
        assert "The first loss comes after a few steps" in texts(app.chart)[3]
        app.chart.set_series([Series("loss", STEPS, np.full(2000, math.nan))])
        await pilot.pause()
        assert "The first loss" in texts(app.chart)[3]
        app.chart.message = "Diverged"
        await pilot.pause()
        assert texts(app.chart)[3].strip() == "Diverged"


NASTY = {
    "constant": np.full(50, 3.25),
    "zero": np.zeros(50),
    "one point": np.array([1.0]),
    "two equal": np.array([2.0, 2.0]),
    "nan": np.full(50, math.nan),
    "inf": np.array([1, math.inf, -math.inf, 2]),
    "huge": np.array([-1.7e308, 1.7e308, 0]),
    "tiny": np.array([5e-324, 1e-310, 2e-308]),
    "near": 1 + np.arange(50) * 1e-16,
    "negative": -np.arange(1.0, 50),
    "wide": 10.0 ** np.arange(-300, 300),
    "none": np.array([]),
    "integers": np.arange(50),
    "booleans": np.arange(50) % 2 == 0,
    "float32": np.linspace(0, 1, 50, dtype=np.float32),
}


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("name", NASTY)
async def test_no_data_and_no_size_breaks_it(use_mode, capfd, name, log_y) -> None:
    app = ChartApp(log_y=log_y, x_label="step", y_label="loss")
    values = NASTY[name]
    async with app.run_test(size=(10, 4)) as pilot:
        for size in ((10, 4), (1, 1), (8, 3), (100, 30)):
            await pilot.resize_terminal(*size)
            while app.chart.size != size:
                await pilot.pause(0.01)
            for x in (np.arange(values.size), values, np.full(values.size, 7)):
                app.chart.set_series([Series("s", x, values), Series("t", x, values, dim=True)])
                app.chart._draw()
                lines = [app.chart.render_line(y) for y in range(app.chart.size.height)]
                assert {line.cell_length for line in lines} == {size[0]}
    assert capfd.readouterr() == ("", "")  # plotext warns on stdout, which is the screen


async def test_redraws_do_not_depend_on_earlier_ones(use_mode) -> None:
    app = ChartApp()
    first = [Series("a", STEPS, LOSS)]
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series(first)
        await pilot.pause()
        before = texts(app.chart)
        app.chart.cursor = 100
        app.chart.log_y = True
        app.chart.set_series([Series(name, -STEPS, LOSS**2) for name in "abcd"])
        await pilot.pause()
        app.chart.cursor = None
        app.chart.log_y = False
        app.chart.set_series(first)
        await pilot.pause()
        assert texts(app.chart) == before


async def test_only_rows_that_changed_are_painted(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS)])
        await pilot.pause()
        app.chart.painted.clear()
        app.chart.set_series([Series("loss", STEPS.copy(), LOSS.copy())])
        await pilot.pause()
        assert app.chart.painted == []
        y = LOSS.copy()
        y[-100:] += 0.1
        app.chart.set_series([Series("loss", STEPS, y)])
        await pilot.pause()
        assert 0 < len(app.chart.painted) <= 4


async def test_a_hidden_chart_waits_until_it_is_shown(use_mode) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("loss", STEPS, LOSS)])
        await pilot.pause()
        before = app.chart._strips
        app.chart.display = False
        await pilot.pause()
        app.chart.set_series([Series("loss", STEPS, -LOSS)])
        await pilot.pause()
        assert app.chart._strips is before
        app.chart.display = True
        await pilot.pause()
        assert app.chart._strips != before


async def test_names_cannot_write_escape_sequences(use_mode) -> None:
    app = ChartApp(y_label="a\x1b]0;title\x07b", x_label="\x9b31mx")
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.set_series([Series("\x1b[2Jraw", STEPS, LOSS), Series("b\n", STEPS, LOSS)])
        await pilot.pause()
        assert all(row.isprintable() for row in texts(app.chart))


@pytest.mark.parametrize("log_y", [False, True])
async def test_what_is_drawn_is_bounded_by_the_columns(use_mode, monkeypatch, log_y) -> None:
    sizes = []

    def counted(curves, *rest):
        sizes.append([len(curve.x) for curve in curves])
        return plot(curves, *rest)

    monkeypatch.setattr(widget, "plot", counted)
    app = ChartApp(log_y=log_y)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        for n in (10**3, 10**5, 10**6):
            noise = np.random.default_rng(0).normal(size=n)  # log-y leaves out every second one
            sizes.clear()
            app.chart.set_series([Series("raw", np.arange(n), noise, dim=True)])
            assert 150 <= sizes[-1][0] <= 202
