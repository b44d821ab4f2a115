"""The Forward view by keyboard alone, on the built-in images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from textual.pilot import Pilot
from textual.widgets import Static

from ddpm_tui.app import Workbench
from ddpm_tui.views import forward
from ddpm_tui.views.forward import CURVES, SCHEDULES, Column, ForwardView, load_images
from ddpm_tui.widgets.chart import LineChart
from ddpm_tui.widgets.pixels import PixelGrid
from engine.images import read_png

SIZES = [(60, 18), (80, 24), (120, 40), (200, 60)]
BUILT_IN = "fashion-mnist-10k"


@pytest.fixture(autouse=True)
def built_in_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same images on every machine; files are written into a folder of one's own."""
    torch.set_num_threads(1)
    monkeypatch.setattr(forward, "default_dataset", lambda _: BUILT_IN)
    monkeypatch.chdir(tmp_path)


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    """Wait for the worker threads, as a person would, but not for ever."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


def text_of(app: Workbench, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def grid(app: Workbench) -> PixelGrid:
    return app.screen.query_one("#images", PixelGrid)


def shown(pane: PixelGrid) -> np.ndarray:
    return pane._images if pane._images is not None else np.zeros((1, 1, 1), np.uint8)


def charts(app: Workbench) -> list[str | None]:
    return [chart.id for chart in app.screen.query(LineChart) if chart.display]


async def opened(pilot: Pilot[None]) -> ForwardView:
    await pilot.press("4")
    app = pilot.app
    assert isinstance(app, Workbench)
    await until(lambda: isinstance(app.screen, ForwardView) and grid(app).total > 0, pilot)
    assert isinstance(app.screen, ForwardView)
    return app.screen


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_it_opens_on_the_originals(tmp_path: Path, size: tuple[int, int]) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        assert text_of(app, "#what").startswith("Fashion-MNIST, the built-in 10,000 · linear")
        assert "originals" in text_of(app, "#figures")
        assert grid(app).total == 20 and grid(app).shown >= 4
        assert len(charts(app)) == (3 if size[0] >= 100 else 1)
        process = load_images(BUILT_IN, None).processes["linear"]
        assert (shown(grid(app)) == process.pixels(-1)[:, 0]).all()


async def test_every_class_is_there_twice() -> None:
    loaded = load_images(BUILT_IN, None)
    assert sorted(loaded.class_names) == sorted([*set(loaded.class_names)] * 2)
    assert len(loaded.class_names) == 20


async def test_keys_move_t_and_the_images_follow(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        loaded = load_images(BUILT_IN, None)
        process, alphas = loaded.processes["linear"], loaded.curves["linear"].alphas_cumprod
        for keys, t in (
            (["l"], 0),
            (["right", "pagedown"], 26),
            (["L", "left", "h"], 49),
            (["pageup"], 24),
            (["end"], 999),
            (["right"], 999),
            (["H"], 974),
            (["home", "left"], -1),
            (["dollar_sign"], 999),
        ):
            await pilot.press(*keys)
            assert view._t == t, keys
            expected = process.pixels(t)[:, 0]
            await until(lambda e=expected: bool((shown(grid(app)) == e).all()), pilot)
        assert text_of(app, "#figures").startswith(f"t = 999/999 · ᾱ_t {alphas[999]:.4f}")
        assert all(chart.cursor == 999 for chart in app.screen.query(LineChart))
        await pilot.press("0")
        assert all(chart.cursor is None for chart in app.screen.query(LineChart))


async def test_figures_of_a_timestep() -> None:
    curves = load_images(BUILT_IN, None).curves["linear"]
    text = forward.figures(curves, 249)
    alpha = float(np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:250]))
    snr = alpha / (1 - alpha)
    assert f"ᾱ_t {alpha:.4f}" in text
    assert f"{np.sqrt(1 - alpha):.3f}" in text
    assert f"SNR {snr:.3g} · ln SNR {np.log(snr):.2f}" in text


async def test_the_other_schedule_noises_the_images(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        processes = load_images(BUILT_IN, None).processes
        # At t = 199 the cosine schedule has left more of the images than the linear one.
        linear, cosine = (processes[name].pixels(199)[:, 0].astype(int) for name in SCHEDULES)
        originals = processes["linear"].pixels(-1)[:, 0]
        assert abs(cosine - originals).mean() < 0.8 * abs(linear - originals).mean()
        await pilot.press(*["pagedown"] * 8)
        for name in ("squaredcos_cap_v2", "linear"):
            await pilot.press("b")
            expected = processes[name].pixels(199)[:, 0]
            await until(lambda e=expected: bool((shown(grid(app)) == e).all()), pilot)
            assert name in text_of(app, "#what")
            for chart in app.screen.query(LineChart):
                assert len(chart.series) == 2
                assert chart.series[-1].name == SCHEDULES[name] + " ◂"


async def test_one_chart_at_a_time_where_only_one_fits(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        seen = []
        for _ in CURVES:
            seen += charts(app)
            await pilot.press("v")
        assert sorted(map(str, seen)) == sorted(CURVES)


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_strip_of_the_article(tmp_path: Path, size: tuple[int, int]) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("f")
        columns = list(app.screen.query(Column))
        await until(lambda: all(column.total > 0 for column in columns), pilot)
        assert not grid(app).display and not app.screen.query_one("#charts").display
        titles = [str(column.border_title).split(" · ")[0] for column in columns]
        assert titles == ["original", "25 %", "50 %", "75 %", "100 %"]
        process = load_images(BUILT_IN, None).processes["linear"]
        for column, t in zip(columns, (-1, 249, 499, 749, 999), strict=True):
            # In step with its neighbours, and no image is cut off.
            assert column.arrangement.height == columns[0].arrangement.height
            assert column.shown == column.total == columns[0].total >= 2
            assert (shown(column) == process.pixels(t)[: column.total, 0]).all()
        await pilot.press("f")
        assert grid(app).display


async def test_saving_names_the_files(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("b", "w")
        await until(lambda: any(n.title == "Saved" for n in app._notifications), pilot)
        notice = next(n.message for n in app._notifications if n.title == "Saved")
    png = tmp_path / f"forward-{BUILT_IN}-squaredcos_cap_v2.png"
    assert str(png) in notice
    images, _ = read_png(png)
    assert len(images) == 5 * 20
    assert png.with_suffix(".gif").is_file()


async def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.errors import RunError

    def refuse(*_: object) -> None:
        raise RunError("Cannot write here", "Go elsewhere.")

    monkeypatch.setattr("engine.forward.write_forward", refuse)
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("w")
        await until(lambda: any("Cannot write" in n.message for n in app._notifications), pilot)


async def test_the_next_data_set_is_the_next_one_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.data.sources.SYSTEM_ROOT", tmp_path / "nowhere")
    monkeypatch.setattr("engine.data.sources.cache_root", lambda: tmp_path / "nowhere")
    monkeypatch.delenv("DDPM_TUI_DATA", raising=False)
    assert forward._next_dataset(BUILT_IN, None) == BUILT_IN
    names = [entry.name for entry in forward.available(None)]
    found = [type("Entry", (), {"name": name, "found": name != "mnist"}) for name in names]
    monkeypatch.setattr(forward, "available", lambda _: found)
    assert forward._next_dataset("fashion-mnist", None) == BUILT_IN
    assert forward._next_dataset(BUILT_IN, None) == "fashion-mnist"


async def test_missing_data_is_told_in_place(tmp_path: Path) -> None:
    app = Workbench(tmp_path, data_dir=tmp_path / "no-such-folder")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("4")
        await until(lambda: any("folder" in n.message for n in app._notifications), pilot)
        assert "is not a folder" in grid(app)._message
        await pilot.press("right", "b", "v", "f", "o", "w", "end")
        assert isinstance(app.screen, ForwardView)
