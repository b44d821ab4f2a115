"""Every screen, at four sizes, in truecolor, 256 colours and without any.

    pytest tests/tui/snapshots --update-snapshots

takes the screens as they are now for right; `git diff` shows what has changed in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.pilot import Pilot
from textual.widgets import Input

from ddpm_tui import color
from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import capture, rows_of
from ddpm_tui.views import new_run
from engine.runs.folder import Run
from tests.tui.snapshots import kept
from tests.tui.snapshots.a_run import make_runs

SIZES = ((60, 18), (80, 24), (120, 40), (200, 60))
MODES = ("truecolor", "256", "none")
# A screen, the keys that lead there, and those that lead back.
SCREENS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("runs", ("1",), ()),
    ("train", ("2",), ()),
    ("train-cursor", ("2", "left", "left", "y"), ("y", "escape")),
    ("train-log", ("2", "L"), ("escape",)),
    ("train-help", ("2", "question_mark"), ("escape",)),
    ("sample", ("3",), ()),
    ("sample-settings", ("3", "o"), ("escape",)),
    ("forward", ("4", "home"), ()),
    ("inspect-schedule", ("5", "right"), ("left",)),
    ("inspect-config", ("5", *["right"] * 5), ("left",) * 5),
    ("compare", ("1", "A", "c"), ("escape", "A")),
    ("runs-filter", ("1", "slash", *"state:finished"), ("escape",)),
    ("new-run", ("1", "n"), ("escape",)),
    ("palette", ("1", "ctrl+p", *"save"), ("escape",)),
)
EMPTY_SCREENS = {"first-run": "1", "no-run-to-train": "2", "no-run-to-sample": "3"}
_STILL = 0.7  # seconds that a screen which is kept stays as it is
_PATIENCE = 8.0  # seconds until a screen that is kept has come
_STANDS_FOR = "/tmp/ddpm-tui-pictures"


# Not steady yet: minutes on two cores, and dates and paths of the run are in the pictures.
pytestmark = pytest.mark.endurance


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path is always as long, with no data set on this machine but the built-in."""
    # Where pytest's own folders are depends on the person and on how often they ran it.
    path = Path(tempfile.mkdtemp(prefix=_STANDS_FOR[5:-8], dir="/tmp"))
    assert len(str(path)) == len(_STANDS_FOR)
    for name in ("DDPM_TUI_DATA", "NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(path / "cache"))
    monkeypatch.setattr("engine.data.sources.SYSTEM_ROOT", path / "none")
    monkeypatch.setattr(new_run, "_QUIET_SECONDS", 3600.0)  # what it costs depends on the machine
    monkeypatch.setattr(Input, "cursor_blink", False)
    monkeypatch.chdir(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    before = dict(os.environ)
    # What it sets is undone below, whatever it is.
    color.apply(color.ColorMode(request.param), os.environ)
    for name, value in dict(os.environ).items():
        if before.get(name) != value:
            os.environ.pop(name)
            monkeypatch.setenv(name, value)
    return str(request.param)


class Album:
    """The pictures of one colour mode: compared with those that are kept, or kept anew."""

    def __init__(self, mode: str, folder: Path, update: bool) -> None:
        self._mode, self._folder, self._update = mode, folder, update
        self._system = ColorSystem.TRUECOLOR if mode == "truecolor" else ColorSystem.EIGHT_BIT
        self._different: list[str] = []

    async def look(self, app: Workbench, pilot: Pilot[None], name: str) -> None:
        path = kept.path_of(name, self._mode)
        before, now = kept.read(path), {}
        for size in SIZES:
            await pilot.resize_terminal(*size)
            wanted = None if self._update else before.get(size)
            now[size] = await self._settled(app, pilot, wanted)
            if wanted is None or kept.same(wanted, now[size]):
                continue
            picture = Path(tempfile.gettempdir()) / f"{name}.{self._mode}.{size[0]}x{size[1]}.png"
            capture(app).write(None, picture)
            told = kept.difference(wanted, now[size])
            self._different.append(f"{name} at {size[0]}x{size[1]}, now {picture}\n{told}")
        if self._update:
            # Only the look of a screen in 256 colours is its own.
            kept.write(path, now, text=self._mode != "256")
        elif set(before) != set(SIZES):
            self._different.append(f"{name} is not kept at {set(SIZES) - set(before)}")

    async def _settled(
        self, app: Workbench, pilot: Pilot[None], wanted: list[kept.Row] | None
    ) -> list[kept.Row]:
        """The screen when it is as wanted, or else when it has come to rest."""
        still = waited = 0.0
        longest = 60.0 if wanted is None else _PATIENCE
        shown: list[kept.Row] = []
        while still < _STILL and waited < longest:
            await pilot.pause(0.05)
            waited += 0.05
            fresh = self._rows(app)
            if wanted is not None and kept.same(wanted, fresh):
                return fresh
            if wanted is None:
                busy = not app.torch_ready or any(not each.is_finished for each in app.workers)
                still = 0.0 if busy or fresh != shown else still + 0.05
            shown = fresh
        return shown

    def _rows(self, app: Workbench) -> list[kept.Row]:
        return kept.rows(rows_of(app), self._system, str(self._folder), _STANDS_FOR)

    def close(self) -> None:
        assert not self._different, "\n\n".join(self._different)


@pytest.fixture
def album(mode: str, folder: Path, request: pytest.FixtureRequest) -> Album:
    return Album(mode, folder, bool(request.config.getoption("--update-snapshots")))


async def test_every_screen_is_as_it_is_kept(folder: Path, album: Album) -> None:
    make_runs(folder / "runs")
    app = Workbench(folder / "runs", reads_devices=False)
    app.current_run = Run(folder / "runs" / "aurora")
    async with app.run_test(size=SIZES[0]) as pilot:
        for name, there, back in SCREENS:
            await pilot.press(*there)
            await album.look(app, pilot, name)
            await pilot.press(*back)
    album.close()


async def test_the_screen_of_a_newcomer_is_as_it_is_kept(folder: Path, album: Album) -> None:
    app = Workbench(folder / "runs", reads_devices=False)
    async with app.run_test(size=SIZES[0]) as pilot:
        for name, key in EMPTY_SCREENS.items():
            await pilot.press(key)
            await album.look(app, pilot, name)
    album.close()


def test_no_picture_is_kept_of_a_screen_that_is_gone() -> None:
    looked_at = {*(name for name, _, _ in SCREENS), *EMPTY_SCREENS}
    assert {
        path.name.split(".")[0] for path in kept.path_of("x", "y").parent.iterdir()
    } == looked_at
