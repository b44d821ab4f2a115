import os
import subprocess
import sys

import pytest
from rich.segment import Segment
from rich.style import Style
from textual import constants
from textual.app import App
from textual.filter import ANSIToTruecolor, Monochrome
from textual.strip import Strip
from textual.widget import Widget

from ddpm_tui.color import CHOICES, ColorMode, apply, detect, keep_palette, mode_of

TRUECOLOR, COLOR256, COLOR16, NONE = ColorMode


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        # What sshd hands on: TERM alone.
        ({"TERM": "xterm-256color"}, COLOR256),
        ({"TERM": "xterm"}, COLOR256),
        ({"TERM": "linux"}, COLOR16),
        ({"TERM": "linux-16color"}, COLOR16),
        ({"TERM": "xterm-16color"}, COLOR16),
        ({"TERM": "konsole-256color"}, COLOR256),
        ({"TERM": "linux", "TMUX": "x"}, COLOR256),
        ({"TERM": "xterm-direct"}, TRUECOLOR),
        ({"TERM": "xterm-kitty"}, TRUECOLOR),
        ({"TERM": "alacritty"}, TRUECOLOR),
        ({"TERM": "foot-extra"}, TRUECOLOR),
        ({"TERM": "xterm-ghostty"}, TRUECOLOR),
        ({"TERM": "wezterm"}, TRUECOLOR),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, TRUECOLOR),
        # A local session.
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, TRUECOLOR),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, TRUECOLOR),
        ({"TERM": "xterm-256color", "COLORTERM": "yes"}, COLOR256),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, TRUECOLOR),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, COLOR256),
        ({"TERM": "xterm-256color", "VTE_VERSION": "6800"}, TRUECOLOR),
        ({"TERM": "xterm-256color", "VTE_VERSION": "3409"}, COLOR256),
        ({"TERM": "xterm-256color", "WT_SESSION": "6d0f"}, TRUECOLOR),
        # In a multiplexer, what describes the terminal around it is stale.
        ({"TERM": "tmux-256color", "TMUX": "x"}, COLOR256),
        ({"TERM": "tmux-256color", "TMUX": "x", "VTE_VERSION": "6800"}, COLOR256),
        ({"TERM": "tmux-256color", "TMUX": "x", "COLORTERM": "truecolor"}, TRUECOLOR),
        ({"TERM": "screen-256color"}, COLOR256),
        ({"TERM": "screen", "STY": "7.pts", "COLORTERM": "truecolor"}, COLOR256),
        # No colour.
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, NONE),
        ({"TERM": "vt100"}, NONE),
        ({}, NONE),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, COLOR256),
    ],
)
def test_detect(environ: dict[str, str], expected: ColorMode) -> None:
    assert detect(environ) is expected
    assert detect(environ, "auto") is expected


@pytest.mark.parametrize("word", [choice for choice in CHOICES if choice != "auto"])
def test_the_option_overrides_everything(word: str) -> None:
    assert detect({"TERM": "dumb", "NO_COLOR": "1"}, word) is ColorMode(word)


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'purple'.*auto, truecolor, 256, 16, none"):
        detect({"TERM": "xterm"}, "purple")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `apply` does to this process is undone after the test."""
    monkeypatch.setattr(constants, "COLOR_SYSTEM", constants.COLOR_SYSTEM)
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("mode", list(ColorMode))
def test_an_app_created_after_apply_has_that_mode(environ: None, mode: ColorMode) -> None:
    apply(mode, os.environ)
    assert mode_of(App()) is mode


def test_apply_takes_back_an_earlier_choice(environ: None) -> None:
    variables = {"NO_COLOR": "1", "COLORTERM": "truecolor", "HOME": "/home/ada"}
    apply(COLOR256, variables)
    assert variables == {"TEXTUAL_COLOR_SYSTEM": "256", "HOME": "/home/ada"}


class Painted(Widget):
    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        return Strip([Segment("x", Style(color="color(203)"))])


class KeepsPalette(App[None]):
    def compose(self):
        yield Painted()

    def get_line_filters(self):
        return keep_palette(super().get_line_filters())


async def test_palette_colours_reach_the_terminal_as_they_are(environ: None) -> None:
    apply(COLOR256, os.environ)
    app = KeepsPalette()
    async with app.run_test(size=(8, 2)):
        rendered = app.query_one(Painted).render_lines(app.screen.region)[0].render(app.console)
    assert "38;5;203" in rendered


async def test_no_color_still_makes_everything_grey(environ: None) -> None:
    apply(NONE, os.environ)
    app = KeepsPalette()
    async with app.run_test(size=(8, 2)):
        kinds = [type(line_filter) for line_filter in app.get_line_filters()]
    assert Monochrome in kinds
    assert ANSIToTruecolor not in kinds


def test_choosing_colours_loads_neither_textual_nor_numpy() -> None:
    code = """
import os, sys
from ddpm_tui.color import apply, detect
apply(detect(os.environ, "256"), os.environ)
print(sorted({"textual", "rich", "numpy", "torch"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
