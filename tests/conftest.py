"""Options of the tests; no test reads or writes the settings of the person who runs it."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="Keep the screens of tests/tui/snapshots as they are now.",
    )


@pytest.fixture(autouse=True)
def _no_settings_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file that is not there is read as no settings; what a test keeps goes with its folder.
    monkeypatch.setenv("DDPM_TUI_CONFIG", str(tmp_path / "settings" / "config.toml"))
