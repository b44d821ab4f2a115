"""Styles are parsed once, and anew for another theme."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.css import stylesheet

from ddpm_tui.app import Workbench


async def test_no_source_is_parsed_twice_until_the_theme_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[object] = []
    parse = stylesheet.parse

    def counted(scope: str, css: str, read_from: object, **rest: object) -> object:
        parsed.append((scope, css, read_from, rest["tie_breaker"]))
        return parse(scope, css, read_from, **rest)

    monkeypatch.setattr(stylesheet, "parse", counted)
    app = Workbench(tmp_path / "runs", reads_devices=False)
    async with app.run_test() as pilot:
        parsed.clear()  # at the start also for Textual's own theme
        await pilot.press("2", "3", "1", "3")
        assert parsed
        assert len(parsed) == len(set(parsed))
        before = app.screen.query_one("TopBar").styles.background
        parsed.clear()
        app.theme = "paper"
        await pilot.pause()
        assert parsed
        assert app.screen.query_one("TopBar").styles.background != before
