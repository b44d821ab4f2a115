"""What all tests share: their options, one thread each, no settings of the person who runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# xdist gives every core a process already, and PyTorch's threads spin while they wait for a core
# that another process has. Set before anything loads PyTorch, and inherited by the processes that
# tests start.
os.environ["OMP_NUM_THREADS"] = "1"


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
