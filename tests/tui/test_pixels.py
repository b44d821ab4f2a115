import asyncio
import io
import itertools
import os
import time
from types import SimpleNamespace

import numpy as np
import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual import constants
from textual.app import App, ComposeResult
from textual.drivers._writer_thread import WriterThread
from textual.events import Resize
from textual.strip import Strip

from ddpm_tui.color import ColorMode, apply
from ddpm_tui.widgets import pacing
from ddpm_tui.widgets.pacing import output_backlog
from ddpm_tui.widgets.pixels import ASCII_RAMP, HALF_BLOCK, PixelGrid, Sight, layout
from ddpm_tui.widgets.strips import TerseStrip


@pytest.fixture
def use_mode(monkeypatch: pytest.MonkeyPatch):
    """Call it with a ColorMode before the app is created."""
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.setenv(name, "")
    apply(ColorMode.TRUECOLOR, os.environ)
    return lambda mode: apply(mode, os.environ)


class Recorded(PixelGrid):
    """Remembers which rows were painted."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.painted: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.painted.append(y)
        return super().render_line(y)


class GridApp(App[None]):
    def __init__(self, **kwargs) -> None:
        super().__init__()
        self.grid = Recorded(**kwargs)

    def compose(self) -> ComposeResult:
        yield self.grid


def row_texts(grid: PixelGrid) -> list[str]:
    return [grid.render_line(y).text for y in range(grid.size.height)]


def pixels(grid: PixelGrid, index: int) -> np.ndarray:
    """The RGB values, (rows, columns, 3), that image `index` has on the screen."""
    plan = grid.arrangement
    left, top = plan.origin(index)
    rows = []
    for y in range(top, top + plan.height):
        upper, lower = [], []
        for text, style, _ in grid.render_line(y).crop(left, left + plan.width):
            foreground, background = (
                None if color is None else color.get_truecolor()
                for color in (style.color, style.bgcolor)
            )
            upper += [foreground if text[0] == HALF_BLOCK else background] * len(text)
            lower += [background] * len(text)
        rows += [upper, lower]
    return np.array(rows)


def sixteen(grid: PixelGrid, index: int) -> np.ndarray:
    """The palette indices, (rows, columns), that image `index` has on the screen."""
    plan = grid.arrangement
    left, top = plan.origin(index)
    rows = []
    for y in range(top, top + plan.height):
        upper, lower = [], []
        for text, style, _ in grid.render_line(y).crop(left, left + plan.width):
            ink, paper = style.color.number, style.bgcolor.number
            upper += [paper if text[0] == "▄" else ink] * len(text)
            lower += [paper if text[0] == "▀" else ink] * len(text)
        rows += [upper, lower]
    return np.array(rows)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# --- layout ----------------------------------------------------------------------------------

spaces = st.tuples(st.integers(1, 220), st.integers(1, 70))
images = st.tuples(st.integers(1, 70), st.integers(1, 64), st.integers(1, 64))


@given(images, spaces, st.booleans())
def test_images_are_whole_apart_and_inside(image, space, captions) -> None:
    plan = layout(*image, *space, captions=captions)
    assert 1 <= plan.shown <= plan.total == image[0]
    assert plan.enlarge == 1 or plan.shrink == 1
    taken = np.zeros((space[1], space[0]), dtype=int)
    for index in range(plan.shown):
        x, y = plan.origin(index)
        box = taken[y : y + plan.height + plan.captions, x : x + plan.width]
        assert min(x, y) >= 0
        assert box.shape == (plan.height + plan.captions, plan.width)
        box += 1
    assert taken.max() == 1


@given(images, spaces, st.booleans())
def test_cells_agree_with_the_scale(image, space, captions) -> None:
    _, h, w = image
    plan = layout(*image, *space, captions=captions)
    assert plan.width == -(-w // plan.shrink) * plan.enlarge
    assert plan.height == -(-(-(-h // plan.shrink) * plan.enlarge) // 2)


@given(images, spaces, st.integers(0, 40), st.integers(0, 20))
def test_more_space_is_never_worse(image, space, more_columns, more_rows) -> None:
    small = layout(*image, *space)
    large = layout(*image, space[0] + more_columns, space[1] + more_rows)
    assert large.enlarge >= small.enlarge
    if small.shrink == 1 and small.shown == small.total:
        assert large.shown == large.total
    if small.shrink <= 2:  # down to half size, up to four images count for more than the scale
        assert min(large.shown, 4) >= min(small.shown, 4)


@pytest.mark.parametrize(
    ("n", "columns", "rows", "shown", "across", "enlarge", "shrink"),
    [
        (16, 28 * 8 + 7, 29, 16, 8, 1, 1),  # all of them, in full rows
        (16, 28 * 6 + 5, 14 * 4 + 3, 16, 4, 1, 1),  # 4 × 4 rather than 6 + 6 + 4
        (16, 28 * 6 + 5, 28 + 1, 12, 6, 1, 1),  # as many as fit
        (16, 80, 22, 10, 5, 1, 2),  # two at native size are too few: half size
        (2, 80, 22, 2, 2, 1, 1),
        (1, 80, 28, 1, 1, 2, 1),  # room to spare: twice the size
        (4, 28 * 3 * 4 + 3, 14 * 3, 4, 4, 3, 1),
        (1, 27, 14, 1, 1, 1, 2),
        (1, 9, 9, 1, 1, 1, 4),  # smaller still, but whole
    ],
)
def test_layout_of_28_pixel_images(n, columns, rows, shown, across, enlarge, shrink) -> None:
    plan = layout(n, 28, 28, columns, rows)
    assert (plan.shown, plan.across) == (shown, across)
    assert (plan.enlarge, plan.shrink) == (enlarge, shrink)


def test_layout_is_centred() -> None:
    plan = layout(1, 28, 28, 40, 20)
    assert plan.origin(0) == (6, 3)


def test_captions_take_a_row_and_go_before_the_picture_does() -> None:
    assert layout(4, 28, 28, 57, 30, captions=True).shrink == 1
    assert layout(4, 28, 28, 57, 29, captions=True).shrink == 2
    tiny = layout(1, 28, 28, 14, 7, captions=True)
    assert (tiny.captions, tiny.shrink) == (False, 2)


@pytest.mark.parametrize("space", [(0, 10), (10, 0), (0, 0)])
def test_no_space_shows_nothing(space) -> None:
    assert layout(4, 28, 28, *space).shown == 0


sights = st.builds(
    Sight,
    st.none() | st.integers(-20, 20),
    st.integers(0, 80),
    st.floats(0, 1),
    st.floats(0, 1),
)


@given(images, spaces, st.booleans(), sights)
def test_whatever_one_looks_at_is_inside_and_has_pixels(image, space, captions, sight) -> None:
    plan = layout(*image, *space, captions=captions, sight=sight)
    assert plan.first <= min(sight.image, image[0] - 1) < plan.first + plan.shown
    assert plan.first + plan.shown <= plan.total
    for index in range(plan.shown):
        x, y = plan.origin(index)
        assert min(x, y) >= 0
        assert x + plan.width <= space[0]
        assert y + plan.height + plan.captions <= space[1]
    assert all(0 <= before <= hidden for before, hidden in zip(plan.cut, plan.hidden, strict=True))
    if plan.partial:
        assert plan.shown == 1


@given(images, spaces, st.booleans())
def test_zooming_out_ends_where_all_are_seen_or_no_smaller_makes_sense(
    image, space, captions
) -> None:
    small, large = (
        layout(*image, *space, captions=captions, sight=Sight(scale)) for scale in (-99, 999)
    )
    assert small.shown == small.total or min(image[1:]) < 4 * (small.shrink + 1)
    assert large.enlarge >= 16
    fitting = layout(*image, *space, captions=captions).scale
    for plan, by in ((small, -1), (large, 1)):
        assert plan.zoomed(by) == (None if plan.scale == fitting else plan.scale)


# --- pictures --------------------------------------------------------------------------------


async def test_grey_pixels_are_what_was_shown(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(40, 12)):
        frame = noise(2, 20, 16)
        app.grid.show(frame)
        for index, image in enumerate(frame):
            error = np.abs(pixels(app.grid, index) - image[..., None].astype(int))
            assert error.max() <= 2  # six bits
        app.grid.show(np.array([[[0, 255]]], dtype=np.uint8).repeat(2, axis=1))
        assert set(pixels(app.grid, 0).ravel()) == {0, 255}


async def test_rgb_pixels_are_what_was_shown(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(20, 10)):
        frame = noise(1, 20, 20, 3)
        app.grid.show(frame)
        assert np.abs(pixels(app.grid, 0) - frame[0].astype(int)).max() <= 4  # five bits
        app.grid.show(np.full((1, 20, 20, 3), 77, dtype=np.uint8))
        assert len(set(pixels(app.grid, 0).ravel())) == 1  # grey stays grey


async def test_256_colours_keep_dark_greys_apart(use_mode) -> None:
    use_mode(ColorMode.COLOR256)
    app = GridApp()
    async with app.run_test(size=(256, 2)):
        ramp = np.arange(256, dtype=np.uint8)[None, None, :].repeat(2, axis=1)
        app.grid.show(ramp)
        strip = app.grid.render_line(0)
        assert all(style.bgcolor.number is not None for _, style, _ in strip)
        seen = pixels(app.grid, 0)[0, :, 0]
        assert np.abs(seen - np.arange(256)).max() <= 9
        assert (np.diff(seen) >= 0).all()
        assert seen[0] == 0
        assert seen[255] == 255
        assert len(set(seen[[0, 8, 18, 28, 38]])) == 5


def oklab(srgb: np.ndarray) -> np.ndarray:
    """Björn Ottosson's Oklab, as he gives it."""
    s = srgb / 255
    r, g, b = np.moveaxis(np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4), -1, 0)
    l_ = np.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    m_ = np.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    s_ = np.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return np.stack(
        [
            0.2104542553 * l_ + 0.7936177850 * m_ - 0.0040720468 * s_,
            1.9779984951 * l_ - 2.4285922050 * m_ + 0.4505937099 * s_,
            0.0259040371 * l_ + 0.7827717662 * m_ - 0.8086757660 * s_,
        ],
        axis=-1,
    )


async def test_256_colours_of_rgb_are_those_that_look_nearest(use_mode) -> None:
    use_mode(ColorMode.COLOR256)
    app = GridApp()
    async with app.run_test(size=(64, 32)):
        frame = noise(1, 64, 64, 3)
        app.grid.show(frame)
        palette = np.array([Color.from_ansi(code).get_truecolor() for code in range(16, 256)])
        wanted = oklab(frame[0].astype(float))
        distance = np.linalg.norm(oklab(pixels(app.grid, 0).astype(float)) - wanted, axis=-1)
        best = np.linalg.norm(oklab(palette.astype(float)) - wanted[:, :, None], axis=-1).min(-1)
        # Five bits per channel are looked up, so it is not the very nearest everywhere.
        assert (distance - best).max() <= 0.03
        assert (distance - best).mean() <= 0.001


async def test_in_16_colours_greys_are_dithered_and_colours_keep_their_hue(use_mode) -> None:
    use_mode(ColorMode.COLOR16)
    app = GridApp()
    async with app.run_test(size=(16, 8)):
        shares = []
        for grey in (0, 12, 42, 128, 200, 255):
            app.grid.show(np.full((1, 16, 16), grey, dtype=np.uint8))
            seen = sixteen(app.grid, 0)
            assert set(seen.ravel()) <= {0, 7, 8, 15}, "the four greys"
            ink = {0: 0, 8: 1, 7: 2, 15: 3}
            shares.append(np.mean([ink[code] for code in seen.ravel()]) / 3)
        assert shares[:2] == [0, 0], "a ground that is almost black has no dots"
        assert shares[-1] == 1
        assert np.diff(shares[1:]).min() > 0.1
        assert abs(shares[3] - 0.5) < 0.05

        red = np.zeros((1, 16, 16, 3), dtype=np.uint8)
        red[..., 0] = 200
        app.grid.show(red)
        assert set(sixteen(app.grid, 0).ravel()) <= {1, 9}


async def test_in_16_colours_the_brighter_half_is_the_ink(use_mode) -> None:
    """The Linux console has only eight backgrounds."""
    use_mode(ColorMode.COLOR16)
    app = GridApp()
    async with app.run_test(size=(2, 1)):
        app.grid.show(np.array([[[255, 0], [0, 255]]], dtype=np.uint8))
        cells = [
            (text, style.color.number, style.bgcolor.number)
            for text, style, _ in app.grid.render_line(0)
        ]
        assert cells == [("▀", 15, 0), ("▄", 15, 0)]


@pytest.mark.parametrize(("theme", "black", "white"), [("dark", " ", "@"), ("light", "@", " ")])
async def test_without_colour_ink_follows_brightness(use_mode, theme, black, white) -> None:
    use_mode(ColorMode.NONE)
    app = GridApp()
    async with app.run_test(size=(40, 4)) as pilot:
        app.theme = f"textual-{theme}"
        await pilot.pause()
        ramp = np.linspace(0, 255, 40).astype(np.uint8)[None, None, :].repeat(8, axis=1)
        app.grid.show(ramp)
        line = row_texts(app.grid)[0]
        assert (line[0], line[-1]) == (black, white)
        assert set(line) == set(ASCII_RAMP)


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_without_colour_a_character_shows_both_its_pixels(use_mode, theme) -> None:
    use_mode(ColorMode.NONE)
    app = GridApp()
    async with app.run_test(size=(2, 1)) as pilot:
        app.theme = f"textual-{theme}"
        await pilot.pause()
        app.grid.show(np.array([[[255, 0], [0, 255]]], dtype=np.uint8))
        high, low = row_texts(app.grid)[0]
        assert (high, low) == (("f", "u") if theme == "dark" else ("u", "f"))


async def test_a_last_odd_row_has_the_background_below_it(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(3, 2)):
        app.grid.show(np.full((1, 3, 3), 255, dtype=np.uint8))
        seen = pixels(app.grid, 0)
        background = app.grid.visual_style.rich_style.bgcolor.triplet
        assert (seen[:3] == 255).all()
        assert (seen[3] == background).all()


async def test_halving_averages(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(2, 1)):
        app.grid.show(np.array([[[0, 100, 8, 8]] * 2 + [[40, 40, 9, 9]] * 2], dtype=np.uint8))
        assert np.abs(pixels(app.grid, 0)[..., 0] - [[50, 8], [40, 9]]).max() <= 2


async def test_images_are_copied_and_checked(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(20, 10)) as pilot:
        frame = np.zeros((1, 20, 20), dtype=np.uint8)
        app.grid.show(frame)
        frame[:] = 255
        await pilot.resize_terminal(22, 11)
        assert pixels(app.grid, 0).max() == 0
        for wrong in (frame.astype(np.float32), frame[0], noise(1, 4, 4, 4)):
            with pytest.raises(ValueError, match="uint8 of shape"):
                app.grid.show(wrong)


# --- the widget ------------------------------------------------------------------------------


async def test_only_rows_that_changed_are_painted(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(20, 10)) as pilot:
        frame = noise(1, 20, 20)
        app.grid.show(frame)
        await pilot.pause()
        app.grid.painted.clear()

        app.grid.show(frame.copy())
        await pilot.pause()
        assert app.grid.painted == []

        frame[0, 7] ^= 128
        frame[0, 19, 3] ^= 128
        app.grid.show(frame)
        await pilot.pause()
        assert app.grid.painted == [3, 9]


async def test_says_when_images_are_hidden(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(28 * 4 + 3, 14)) as pilot:
        app.grid.show(noise(16, 28, 28))
        assert (app.grid.shown, app.grid.total) == (4, 16)
        assert app.grid.summary == "showing 4 of 16"
        assert str(app.grid.border_subtitle) == "showing 4 of 16"
        await pilot.resize_terminal(28 * 4 + 3, 14 * 4 + 3)
        await pilot.pause()
        assert (app.grid.shown, app.grid.summary) == (16, "")
        assert not app.grid.border_subtitle


async def test_pages_show_what_does_not_fit(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(28 * 4 + 3, 14)):
        frame = noise(10, 28, 28)
        app.grid.show(frame)
        app.grid.more = "} more"
        assert app.grid.summary == "showing 4 of 10 · } more"
        app.grid.turn(1)
        assert np.abs(pixels(app.grid, 0)[..., 0] - frame[4].astype(int)).max() <= 2
        app.grid.turn(1)
        assert app.grid.summary == "showing 2 of 10 · } more · page 3/3"
        app.grid.show(frame[:3])
        assert (app.grid.shown, app.grid.summary) == (3, "")
        app.grid.show(frame)
        app.grid.turn(1)
        assert app.grid.summary == "showing 4 of 10 · } more", "round to the first"
        app.grid.turn(-1)
        assert app.grid.summary.endswith("page 3/3")


async def test_the_chosen_image_is_brought_into_sight_with_its_caption(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(28 * 4 + 3, 15)):
        app.grid.show(noise(6, 28, 28), ["a", "b", "c", "d", "e", "f"])
        app.grid.selected = 5
        assert row_texts(app.grid)[-1].split() == ["e", "f"]


async def test_zoom_and_pan_show_every_part_of_an_image(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(20, 10)) as pilot:
        frame = noise(3, 20, 20)
        app.grid.show(frame)
        assert app.grid.shown == 1
        app.grid.zoom(1)
        assert app.grid.summary == "showing 1 of 3 · a part"
        for across, rows in ((-1, slice(0, 10)), (1, slice(10, 20))):
            for down, columns in ((-1, slice(0, 10)), (1, slice(10, 20))):
                for _ in range(5):
                    app.grid.pan(across, down)
                seen = pixels(app.grid, 0)[::2, ::2, 0]
                assert np.abs(seen - frame[0][columns, rows].astype(int)).max() <= 2
        app.grid.whole()
        assert np.abs(pixels(app.grid, 0)[..., 0] - frame[0].astype(int)).max() <= 2

        app.grid.zoom(-1)
        assert app.grid.arrangement.shrink == 2
        await pilot.pause()
        app.grid.painted.clear()
        app.grid.show(frame)
        await pilot.pause()
        assert app.grid.painted == [], "an unchanged part costs nothing"


async def test_without_pictures_zoom_pages_and_pan_do_nothing(use_mode) -> None:
    app = GridApp(message="empty")
    async with app.run_test(size=(20, 10)):
        for change in (lambda: app.grid.zoom(1), lambda: app.grid.turn(1), app.grid.whole):
            change()
        app.grid.pan(1, 0)
        assert "empty" in "".join(row_texts(app.grid))


async def test_captions_are_centred_shortened_and_highlighted(use_mode) -> None:
    app = GridApp()
    async with app.run_test(size=(21, 6)):
        app.grid.show(noise(2, 10, 10), ["Bag", "An\x1b[31mkle boot, left"])
        caption = app.grid.arrangement.origin(0)[1] + 5
        assert row_texts(app.grid)[caption] == "   Bag     Ankle boo…"

        app.grid.painted.clear()
        app.grid.selected = 1
        reverse = [
            text for text, style, _ in app.grid.render_line(caption) if style and style.reverse
        ]
        assert reverse == ["Ankle boo…"]
        app.grid.selected = 7  # none of these
        assert not any(style.reverse for _, style, _ in app.grid.render_line(caption))


class Late(PixelGrid):
    """Has not heard yet of the width that the layout gave it."""

    def on_resize(self, event: Resize) -> None:
        event.prevent_default()


@pytest.mark.parametrize("width", [24, 90])
async def test_a_row_is_as_long_as_it_says_also_in_a_width_to_come(use_mode, width) -> None:
    app = GridApp()
    app.grid = grid = Late()
    async with app.run_test(size=(60, 20)) as pilot:
        grid.show(noise(2, 10, 20), ["shirt", "a dress of some length"])
        await pilot.resize_terminal(width, 20)
        assert grid.size.width == width
        for y in range(20):
            grid._strips.clear()
            strip = grid.render_line(y)
            assert cell_len(strip.text) == strip.cell_length == width


async def test_empty_state_shows_a_message(use_mode) -> None:
    app = GridApp(message="No samples yet – press p to draw some")
    async with app.run_test(size=(24, 6)) as pilot:
        assert [line.strip() for line in row_texts(app.grid) if line.strip()] == [
            "No samples yet –",
            "press p to draw some",
        ]
        app.grid.show(noise(4, 8, 8))
        assert app.grid.shown == 4
        app.grid.clear("Gone")
        await pilot.pause()
        assert [line.strip() for line in row_texts(app.grid) if line.strip()] == ["Gone"]
        assert app.grid.shown == 0
        app.grid.painted.clear()
        app.grid.clear("Gone")
        await pilot.pause()
        assert app.grid.painted == []
        app.grid.show(noise(0, 8, 8))  # as good as none
        assert "".join(row_texts(app.grid)).strip() == "Gone"


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 9), (9, 1), (300, 100)])
@pytest.mark.parametrize("mode", list(ColorMode))
async def test_any_size_draws(use_mode, size, mode) -> None:
    use_mode(mode)
    app = GridApp(message="empty")
    async with app.run_test(size=size) as pilot:
        app.grid.show(noise(3, 28, 28), ["a", "b", "c"])
        await pilot.pause()
        assert all(strip.cell_length == size[0] for strip in app.screen._compositor.render_strips())


async def test_the_newest_offer_wins_at_the_frame_rate(use_mode) -> None:
    app = GridApp(max_fps=20)
    frames = noise(40, 1, 20, 20)
    async with app.run_test(size=(20, 10)) as pilot:
        drawn = []
        start = time.monotonic()
        for frame in frames:
            app.grid.offer(frame)
            await asyncio.sleep(0.005)
            drawn.append(pixels(app.grid, 0).tobytes())
        elapsed = time.monotonic() - start  # seconds; 0.2, or longer on a busy machine
        assert 2 <= len(set(drawn)) <= 20 * elapsed + 2
        await pilot.pause(0.1)
        assert np.abs(pixels(app.grid, 0)[..., 0] - frames[-1][0].astype(int)).max() <= 2


async def test_frames_wait_for_queued_output(use_mode, monkeypatch) -> None:
    backlog = itertools.chain([3, 2, 1], itertools.repeat(0))
    monkeypatch.setattr(pacing, "output_backlog", lambda _app: next(backlog))
    app = GridApp(max_fps=50)
    async with app.run_test(size=(20, 10)) as pilot:
        app.grid.offer(noise(1, 20, 20))
        assert app.grid.shown == 0
        while app.grid.shown == 0:  # or until the time limit of the test
            await pilot.pause(0.02)
        assert next(backlog) == 0


async def test_show_and_clear_supersede_an_offer(use_mode) -> None:
    app = GridApp(max_fps=20)
    async with app.run_test(size=(20, 10)) as pilot:
        app.grid.offer(noise(1, 20, 20))
        app.grid.offer(noise(2, 20, 20))  # has to wait
        app.grid.clear()
        await pilot.pause(0.15)
        assert app.grid.shown == 0


async def test_an_offer_before_mounting_is_drawn(use_mode) -> None:
    app = GridApp()
    app.grid.offer(noise(2, 8, 8))
    async with app.run_test(size=(20, 10)):
        assert app.grid.shown == 2


def test_backlog_is_the_length_of_the_writer_queue() -> None:
    writer = WriterThread(io.StringIO())  # not started: what is written stays queued
    app = SimpleNamespace(_driver=SimpleNamespace(_writer_thread=writer))
    assert output_backlog(app) == 0
    writer.write("a")
    writer.write("b")
    assert output_backlog(app) == 2
    assert output_backlog(SimpleNamespace(_driver=None)) == 0


# --- strips ----------------------------------------------------------------------------------


def on_terminal(texts: list[str], width: int) -> list[list[tuple]]:
    screen = pyte.Screen(width, len(texts))
    stream = pyte.Stream(screen)
    for y, text in enumerate(texts):
        stream.feed(f"\x1b[{y + 1};1H{text}")
    return [
        [
            (cell.data, cell.bg) if cell.data == " " else (cell.data, cell.fg, cell.bg, cell.bold)
            for cell in (screen.buffer[y][x] for x in range(width))
        ]
        for y in range(len(texts))
    ]


def test_a_terse_row_sets_only_what_changes() -> None:
    red, blue = Style.parse("#ff0000 on #000000"), Style.parse("#0000ff on #000000")
    strip = TerseStrip(
        [
            Segment("▀", red),
            Segment("  ", Style.parse("on #000000")),  # no ink: its foreground does not matter
            Segment("▀", red),
            Segment("▀", blue),
            Segment("B", Style.parse("bold #0000ff")),  # more than colours: left to Textual
            Segment("x"),
        ]
    )
    console = Console(color_system="truecolor", force_terminal=True)
    assert strip.render(console) == (
        "\x1b[38;2;255;0;0;48;2;0;0;0m▀  ▀\x1b[38;2;0;0;255m▀\x1b[0m\x1b[1;38;2;0;0;255mB\x1b[0mx"
    )


@pytest.mark.parametrize("mode", list(ColorMode))
async def test_terse_rows_look_like_textuals_own(use_mode, mode) -> None:
    use_mode(mode)
    app = GridApp()
    async with app.run_test(size=(33, 14)):
        app.grid.styles.border = ("round", "green")
        app.grid.border_title = "samples"
        frame = noise(2, 11, 13, 3)
        frame[:, 4:7] = 0
        app.grid.show(frame, ["one", "two"])
        app.grid.selected = 0
        terse = app.grid.render_lines(app.grid.region.size.region)
        assert all(isinstance(strip, TerseStrip) for strip in terse)
        plain = [Strip(list(strip), strip.cell_length) for strip in terse]
        for _, style, _ in itertools.chain(*plain):
            style._ansi = None  # Textual keeps the codes of the first colour system it met
        ours = [strip.render(app.console) for strip in terse]
        textuals = [strip.render(app.console) for strip in plain]
        assert on_terminal(ours, 33) == on_terminal(textuals, 33)
        assert len("".join(ours)) < 0.8 * len("".join(textuals))

        # An overlay cuts rows into parts.
        parts = [
            "".join(part.render(app.console) for part in strip.divide([5, 20, 33]))
            for strip in terse
        ]
        assert on_terminal(parts, 33) == on_terminal(textuals, 33)
        assert len("".join(parts)) < 0.9 * len("".join(textuals))
