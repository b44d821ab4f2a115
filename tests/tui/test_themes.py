"""Themes: dark, light, contrast; told apart by eye; the choice is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import Theme

from ddpm_tui.app import Workbench
from ddpm_tui.preferences import Preferences, load
from ddpm_tui.themes import CONTRAST, LIGHT, OWN
from ddpm_tui.views.base import View
from tests.one_quick import one_quick


def contrast(one: str, other: str) -> float:
    """The WCAG ratio of two colours, 1 … 21."""

    def luminance(text: str) -> float:
        parts = (part / 255 for part in Color.parse(text).rgb)
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", OWN, ids=lambda theme: theme.name)
def test_every_colour_that_carries_words_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme is CONTRAST else 4.5
    for name in ("foreground", "primary", "accent", "warning", "error", "success"):
        for ground in ("background", "surface", "panel"):
            colors = getattr(theme, name), getattr(theme, ground)
            wanted = least if ground == "background" else 4.0
            assert contrast(*colors) >= wanted, (name, ground)


async def test_the_choice_is_kept_and_nothing_else_in_the_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "own" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\n[keys]\n"runs.new" = "T"  # as ever\n')
    app = Workbench(tmp_path / "runs", preferences=load(path))
    async with app.run_test(notifications=True) as pilot:
        assert app.theme == "workbench"
        app.theme = LIGHT.name
        await pilot.pause(0.2)
        assert str(path) in next(iter(app._notifications)).message
    assert "# mine" in path.read_text()
    assert '"runs.new" = "T"  # as ever' in path.read_text()
    again = Workbench(tmp_path / "runs", preferences=load(path))
    async with again.run_test() as pilot:
        assert again.theme == LIGHT.name
        assert again.key_table.own == {"runs.new": "T"}


@pytest.mark.parametrize("theme", [None, LIGHT.name, "nmoon"])
async def test_what_one_starts_with_is_not_kept_as_a_choice(
    tmp_path: Path, theme: str | None
) -> None:
    path = tmp_path / "config.toml"
    app = Workbench(tmp_path / "runs", preferences=Preferences(path, theme=theme))
    async with app.run_test() as pilot:
        app.theme_changed_signal.publish(app.current_theme)
        await pilot.pause(0.2)
        assert not path.exists()
        chosen = app.theme
        app.theme = CONTRAST.name
        await pilot.pause(0.2)
        app.theme = chosen
        await pilot.pause(0.2)
    assert f'theme = "{chosen}"' in path.read_text(), "it is kept when it is chosen"


async def test_a_choice_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = Workbench(tmp_path / "runs", preferences=Preferences(tmp_path / "file" / "config.toml"))
    async with app.run_test(notifications=True) as pilot:
        app.theme = LIGHT.name
        await pilot.pause(0.2)
        assert "cannot be written" in next(iter(app._notifications)).message
        assert app.theme == LIGHT.name


async def test_an_unknown_theme_is_said_and_the_own_one_taken(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "runs", preferences=Preferences(theme="nmoon"))
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        assert app.theme == "workbench"
        assert "nmoon" in next(iter(app._notifications)).message


@pytest.mark.parametrize("theme", one_quick(theme.name for theme in OWN))
async def test_every_view_opens_in_every_theme(tmp_path: Path, theme: str) -> None:
    app = Workbench(tmp_path / "runs", preferences=Preferences(theme=theme))
    async with app.run_test() as pilot:
        for key in "1234":
            await pilot.press(key)
            assert isinstance(app.screen, View)
            assert app.screen.styles.background == Color.parse(app.current_theme.background or "")
