"""What all tests share: their options, one thread each, no settings of the person who runs them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from itertools import count

import pytest

# xdist gives every core a process already, and PyTorch's threads spin while they wait for a core
# that another process has. Set before anything loads PyTorch, and inherited by the processes that
# tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# Tests start hundreds of processes; without compiled files each would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_TESTS = count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="Keep the screens of tests/tui/snapshots as they are now.",
    )


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: the tests of screens and of processes wait for half of their time."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session", autouse=True)
def _few_held_out_images() -> Iterator[None]:
    """A checkpoint's loss is of 32 images; of 512 it took longer than the steps before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.train._EVAL_IMAGES", 32)
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_ones_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that is not there is read as no settings. A folder is made where a test keeps some;
    # `tmp_path` would make one for each of thousands of tests.
    own = tmp_path_factory.getbasetemp() / "settings" / str(next(_TESTS))
    monkeypatch.setenv("DDPM_TUI_CONFIG", str(own / "config.toml"))


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """A command that is over ignores signals; in a test it is called like any function."""
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    yield
    for kind, handler in before.items():
        if signal.getsignal(kind) is not handler:
            signal.signal(kind, handler)
