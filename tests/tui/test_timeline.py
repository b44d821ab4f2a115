import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from ddpm_tui.widgets.timeline import Timeline, bar


@pytest.mark.parametrize(
    ("drawn", "position", "expected"),
    [
        (0, 0, "┄┄┄┄┄┄┄┄┄┄┄"),
        (1, 0, "●┄┄┄┄┄┄┄┄┄┄"),
        (6, 2, "━━●━━━┄┄┄┄┄"),
        (11, 10, "━━━━━━━━━━●"),
        (11, 0, "●━━━━━━━━━━"),
    ],
)
def test_a_cell_a_frame(drawn: int, position: int, expected: str) -> None:
    assert bar(11, 11, drawn, position) == expected


@given(st.integers(0, 200), st.integers(2, 1500), st.data())
def test_any_bar_is_whole(width: int, frames: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(0, frames))
    position = data.draw(st.integers(0, max(drawn - 1, 0)))
    cells = bar(width, frames, drawn, position)
    assert len(cells) == width
    assert cells.count("●") == (1 if drawn and width else 0)
    # Nothing that is drawn lies beyond something that is not, and the head is on what is drawn.
    assert "┄━" not in cells
    assert "┄●" not in cells
    if drawn == frames and width:
        assert "┄" not in cells


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield Timeline()


async def line(width: int, **state: object) -> str:
    app = Shown()
    async with app.run_test(size=(width, 3)) as pilot:
        timeline = app.query_one(Timeline)
        for name, value in state.items():
            setattr(timeline, name, value)
        await pilot.pause()
        return timeline.render_line(0).text


ENDS = ((999, 0.99998), (9, 0.0412))


async def test_both_ends_name_t_and_the_noise_level() -> None:
    text = await line(60, frames=101, drawn=51, position=25, ends=ENDS)
    assert text.strip().startswith("t 999 noise 1.00 ━")
    assert text.strip().endswith("┄ t 9 noise 0.04")
    assert len(text) == 58  # without the padding


async def test_a_narrow_line_drops_words_then_the_ends() -> None:
    assert "noise" not in await line(40, frames=101, drawn=51, position=25, ends=ENDS)
    assert set((await line(20, frames=101, drawn=101, position=0, ends=ENDS)).strip()) == {"●", "━"}


async def test_without_frames_there_is_no_line() -> None:
    assert not (await line(60, ends=ENDS)).strip()
