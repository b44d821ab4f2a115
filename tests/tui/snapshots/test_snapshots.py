"""Every screen, at four sizes, in truecolor, 256 colours and without any.

    pytest tests/tui/snapshots --update-snapshots

takes the screens as they are now for right; `git diff` shows what has changed in them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.color import ColorSystem
from textual import constants
from textual.pilot import Pilot
from textual.widgets import Input

from ddpm_tui import color
from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import capture, rows_of
from ddpm_tui.views import new_run
from ddpm_tui.views.runs import columns
from engine.runs.folder import Run
from engine.telemetry import GpuReading, HostReading, Telemetry
from tests.tui.snapshots import kept
from tests.tui.snapshots.a_run import NOW, make_runs

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
    ("inspect-schedule", ("5", "right"), ("left",)),
    # Backwards: on the way forwards are the pages that measure how fast this machine is.
    ("inspect-config", ("5", "left", "left"), ("right", "right")),
    ("compare", ("1", "A", "c"), ("escape", "A")),
    ("runs-filter", ("1", "slash", *"state:finished"), ("escape",)),
    ("new-run", ("1", "n"), ("escape",)),
    ("palette", ("1", "ctrl+p", *"save"), ("escape",)),
    # Of a run without checkpoints, so that no network is asked. Noise is worked out in float32,
    # of which processors round the last bit differently; there is none in the originals.
    ("forward", ("1", "down", "enter", "4", "home"), ()),
)
EMPTY_SCREENS = {"first-run": "1", "no-run-to-train": "2", "no-run-to-sample": "3"}
GIB = 1024**3
DEVICES = Telemetry(
    (GpuReading(0, "NVIDIA H100 80GB HBM3", 93, 12 * GIB, 80 * GIB, 61, 512.0, 700.0),),
    HostReading(34.4, 32, 12 * GIB, 31 * GIB, 120.0, GIB),
    "",
)
_STILL = 0.7  # seconds for which a screen that is kept anew has stayed as it is
_PATIENCE = 10.0  # seconds for which one has stayed another than the kept one, on a busy machine
_LONGEST = 60.0  # seconds for a screen to come to rest
_STANDS_FOR = "/tmp/ddpm-tui-pictures"
_KNOWN = "/tmp/ddpm-tui-"

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path is always as long, on a machine that is always the same.

    It has no data set but the built-in one, it is always the same day in UTC, and it takes no
    measure of its own speed.
    """
    # Where pytest's own folders are depends on the person and on how often they ran it.
    path = Path(tempfile.mkdtemp(prefix=Path(_KNOWN).name, dir="/tmp"))
    assert len(str(path)) == len(_STANDS_FOR)
    for name in ("DDPM_TUI_DATA", "NO_COLOR", "COLORTERM", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(path / "cache"))
    monkeypatch.setattr("engine.data.sources.SYSTEM_ROOT", path / "none")
    monkeypatch.setattr(new_run, "_QUIET_SECONDS", 3600.0)  # what it costs depends on the machine
    monkeypatch.setattr(Input, "cursor_blink", False)
    monkeypatch.setattr(columns, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.chdir(path)
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield path
    time.tzset()
    shutil.rmtree(path)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    before = dict(os.environ)
    monkeypatch.setattr(constants, "COLOR_SYSTEM", constants.COLOR_SYSTEM)
    # What it sets is undone below, whatever it is.
    color.apply(color.ColorMode(request.param), os.environ)
    for name, value in dict(os.environ).items():
        if before.get(name) != value:
            os.environ.pop(name)
            monkeypatch.setenv(name, value)
    return str(request.param)


class Album:
    """The pictures of one colour mode: compared with those that are kept, or kept anew.

    Args:
        own: the path in the pictures that is another one in every run.
        beside: where pictures of screens are put that are not as they are kept.
    """

    def __init__(self, mode: str, own: Path, beside: Path, *, update: bool) -> None:
        self._mode, self._beside, self._update = mode, beside, update
        self._stand_in = kept.StandIn(str(own), _STANDS_FOR, len(_KNOWN))
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
            picture = self._beside / f"{name}.{self._mode}.{size[0]}x{size[1]}.png"
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
        # Once a screen is not as it is kept the test has failed, and the others need no patience.
        rest = _STILL if wanted is None or self._different else _PATIENCE
        began = since = time.monotonic()
        shown = self._rows(app)
        while wanted is None or not kept.same(wanted, shown):
            await pilot.pause(0.05)
            before, shown = shown, self._rows(app)
            now = time.monotonic()
            if shown != before or _busy(app):
                since = now
            if now - since >= rest or now - began >= _LONGEST:
                break
        return shown

    def _rows(self, app: Workbench) -> list[kept.Row]:
        return kept.rows(rows_of(app), self._system, self._stand_in)

    def close(self) -> None:
        assert not self._different, "\n\n".join(self._different)


@pytest.fixture
def album(mode: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Album:
    update = bool(request.config.getoption("--update-snapshots"))
    return Album(mode, folder, tmp_path, update=update)


def _busy(app: Workbench) -> bool:
    return not app.torch_ready or any(not each.is_finished for each in app.workers)


async def _loaded(app: Workbench, pilot: Pilot[None]) -> None:
    """Wait until nothing is being loaded; what one worker has found may be what another needs."""
    calm = 0
    async with asyncio.timeout(_LONGEST):
        while calm < 3:
            await pilot.pause(0.05)
            calm = 0 if _busy(app) else calm + 1


async def _press(app: Workbench, pilot: Pilot[None], keys: tuple[str, ...]) -> None:
    """Press keys; those that are meant for a view come when it has loaded what it shows."""
    for key in keys:
        await pilot.press(key)
        if key.isdecimal():  # which leads to another view
            await _loaded(app, pilot)


async def test_every_screen_is_as_it_is_kept(folder: Path, album: Album) -> None:
    make_runs(folder / "runs")
    app = Workbench(folder / "runs", reads_devices=False)
    app.current_run = Run(folder / "runs" / "aurora")
    app.telemetry = DEVICES
    async with app.run_test(size=SIZES[0]) as pilot:
        for name, there, back in SCREENS:
            await _press(app, pilot, there)
            await album.look(app, pilot, name)
            await _press(app, pilot, back)
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


def test_a_path_is_stood_in_for_wherever_it_is_cut_off() -> None:
    stand_in = kept.StandIn("/tmp/a-xyz", "/tmp/a-box", len("/tmp/a-"))
    told = "in /tmp/a-xyz/runs, in /tmp/a-xy…, in /tmp/a-… and in /tmp…"
    assert stand_in.put_into(told) == "in /tmp/a-box/runs, in /tmp/a-bo…, in /tmp/a-… and in /tmp…"
