"""Pictures of the screen: shapes where they are, letters that can be read, files where told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.strip import Strip

from ddpm_tui.app import Workbench
from ddpm_tui.screenshot import shapes
from ddpm_tui.screenshot.files import capture, free_names
from ddpm_tui.screenshot.raster import CELL, draw
from ddpm_tui.screenshot.unattended import Wanted, parse_size, take
from engine.errors import ConfigError, EngineError, RunError
from tests.tui.test_workbench import until


def pixels(text: str, style: Style, system: ColorSystem = ColorSystem.TRUECOLOR) -> np.ndarray:
    strip = Strip([Segment(text, style)])
    return np.asarray(draw([strip], strip.cell_length, system, DEFAULT_TERMINAL_THEME))


RED_ON_BLUE = Style.parse("#ff0000 on #0000ff")


def test_a_half_block_is_two_colours_exactly() -> None:
    cell = pixels("▀", RED_ON_BLUE)
    assert cell.shape == (CELL[1], CELL[0], 3)
    assert (cell[: CELL[1] // 2] == (255, 0, 0)).all()
    assert (cell[CELL[1] // 2 :] == (0, 0, 255)).all()


def test_reverse_changes_the_colours_over() -> None:
    assert (pixels(" ", RED_ON_BLUE + Style(reverse=True)) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("character", "share"),
    [("█", 1), ("▌", 0.5), ("▐", 0.5), ("▄", 0.5), ("▁", 1 / 8), ("▏", 1 / 8), ("▚", 0.5),
     ("▟", 0.75), ("⠀", 0), ("▕", 1 / 8), ("▔", 1 / 8)],
)  # fmt: skip
def test_a_block_covers_its_share_of_the_cell(character: str, share: float) -> None:
    covered = (pixels(character, RED_ON_BLUE) == (255, 0, 0)).all(axis=2).mean()
    assert covered == pytest.approx(share, abs=0.08)


def test_every_dot_of_braille_is_in_its_eighth_of_the_cell() -> None:
    for bit, (row, column) in enumerate(
        [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    ):
        red = (pixels(chr(0x2800 + (1 << bit)), RED_ON_BLUE) == (255, 0, 0)).all(axis=2)
        ys, xs = red.nonzero()
        assert set(ys * 4 // CELL[1]) == {row}
        assert set(xs * 2 // CELL[0]) == {column}


def test_lines_of_boxes_meet_at_the_edges_of_their_cells() -> None:
    red = (pixels("┌─┐", RED_ON_BLUE) == (255, 0, 0)).all(axis=2)
    middle = red[CELL[1] // 2 - 2 : CELL[1] // 2 + 2].any(axis=0)
    assert middle[CELL[0] // 2 : -CELL[0] // 2].all(), "no gap from corner to corner"
    assert red[-1].any()
    assert not red[0].any()


def test_letters_are_drawn_and_what_combines_stays_on_its_letter() -> None:
    assert (pixels("x", RED_ON_BLUE) != pixels(" ", RED_ON_BLUE)).any()
    hat = pixels("x̂a", RED_ON_BLUE)
    assert hat.shape[1] == 2 * CELL[0]
    assert (hat[:, : CELL[0]] != pixels("xa", RED_ON_BLUE)[:, : CELL[0]]).any()
    assert shapes.boxes("x") is None


def test_256_colours_are_drawn_as_such() -> None:
    assert tuple(pixels(" ", Style.parse("on #7aa2f7"), ColorSystem.EIGHT_BIT)[0, 0]) == (
        0x87,
        0xAF,
        0xFF,
    )


async def test_the_key_saves_svg_and_png_where_the_toast_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("f12")
        await until(lambda: bool(app._notifications), pilot)
        first = next(iter(app._notifications))
        told = first.message
        await pilot.press("f12")
        await until(lambda: any(n.identity != first.identity for n in app._notifications), pilot)
    svgs = sorted((tmp_path / "screenshots").glob("runs-*.svg"))
    assert len(svgs) == 2, "the second is not written over the first"
    assert any(str(svg) in told for svg in svgs)
    assert "No" in svgs[0].read_text() or "Reading" in svgs[0].read_text()
    with Image.open(svgs[0].with_suffix(".png")) as image:
        assert image.size == (80 * CELL[0], 24 * CELL[1])


async def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "screenshots").write_text("")
    app = Workbench(tmp_path / "runs")
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("f12")
        await until(lambda: bool(app._notifications), pilot)
        assert "cannot be written" in next(iter(app._notifications)).message


async def test_a_picture_takes_nothing_from_what_waits_to_be_sent(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs")
    async with app.run_test() as pilot:
        await pilot.pause()
        compositor = app.screen._compositor
        compositor._dirty_regions.add(app.screen.region)
        waiting = set(compositor._dirty_regions)
        capture(app)
        assert compositor._dirty_regions == waiting


def test_names_are_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    svg, png = free_names(Path("screenshots"), "train")
    assert svg.is_absolute()
    assert (svg.suffix, png.suffix) == (".svg", ".png")


def test_the_same_screen_twice_is_the_same_picture(tiny_runs: Path) -> None:
    def once() -> tuple[str, ...]:
        app = Workbench(tiny_runs, reads_devices=False)
        captured = take(app, Wanted("train", (100, 30), "tiny"))
        return tuple(strip.text for strip in captured.rows)

    first = once()
    assert len(first) == 30
    assert any("tiny" in row for row in first)
    assert once() == first


def test_keys_are_pressed_before_the_picture(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs", reads_devices=False)
    captured = take(app, Wanted("forward", (80, 24), keys=("question_mark",)))
    assert any("Help: Forward" in strip.text for strip in captured.rows)


@pytest.mark.parametrize("wrong", ["120", "axb", "10x3", "5000x5", "-1x20"])
def test_what_is_no_size_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="size"):
        parse_size(wrong)


def test_unknown_views_and_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="views are runs, train"):
        take(Workbench(tmp_path), Wanted("trian"))
    with pytest.raises(RunError):
        take(Workbench(tmp_path), Wanted("train", run="none"))
    assert issubclass(RunError, EngineError)
