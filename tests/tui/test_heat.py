"""The heat strip: lines of equal weight, and a legend that needs no colour."""

from __future__ import annotations

import numpy as np
import pytest
from textual.app import App, ComposeResult

from ddpm_tui.color import ColorMode
from ddpm_tui.widgets import heat
from ddpm_tui.widgets.heat import HeatStrip

ROWS = 16
LABELS = [str(row) for row in range(ROWS)]
# Low on the left, high on the right, the same in all rows.
VALUES = np.tile(np.linspace(0.5, 2.0, 40), (ROWS, 1))


class HeatApp(App[None]):
    def compose(self) -> ComposeResult:
        yield HeatStrip("nothing yet")


async def shown(size: tuple[int, int], values: np.ndarray = VALUES) -> list[str]:
    """The rows of a strip of that size."""
    app = HeatApp()
    async with app.run_test(size=size):
        strip = app.query_one(HeatStrip)
        strip.show(values, LABELS, (1, 4000), lambda value: f"{value:.2f}")
        strip._draw()  # which otherwise comes a quarter of a second later
        return [strip.render_line(y).text for y in range(size[1])]


@pytest.mark.parametrize(
    ("height", "labels"),
    [
        (17, LABELS[::-1]),
        (10, ["14", "12", "10", "8", "6", "4", "2", "0"]),
        (9, ["14", "12", "10", "8", "6", "4", "2", "0"]),
        (8, ["13", "11", "9", "6", "4", "2", "0"]),
        (5, ["12", "8", "4", "0"]),
        (3, ["8", "0"]),
        (1, ["0"]),
    ],
)
async def test_lines_are_of_one_weight_where_that_wastes_little(
    height: int, labels: list[str]
) -> None:
    rows = await shown((60, height))
    assert [row.split()[0] for row in rows[: len(labels)]] == labels
    if height >= 4:
        assert rows[len(labels)].split()[0] == "1", "the footer is next to the strip"
    assert all(len(row) == 60 for row in rows)


@pytest.mark.parametrize(
    ("color", "ramp"), [(ColorMode.TRUECOLOR, "█" * 9), (ColorMode.NONE, " .:-=+*%@")]
)
async def test_the_legend_shows_the_scale(
    monkeypatch: pytest.MonkeyPatch, color: ColorMode, ramp: str
) -> None:
    monkeypatch.setattr(heat, "mode_of", lambda _app: color)
    footer = (await shown((60, 17)))[-1]
    assert f" 0.50 {ramp} 2.00 " in footer
    assert footer.split()[0] == "1"
    assert footer.rstrip().endswith("4,000")
    narrow = (await shown((24, 17)))[-1]
    assert narrow.split() == ["1", "4,000"], "no half of a legend"


async def test_of_nothing_it_says_so() -> None:
    rows = await shown((40, 5), np.full((ROWS, 3), np.nan))
    assert "nothing yet" in rows[2]
