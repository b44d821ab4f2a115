"""The Forward view by keyboard alone: two schedules beside each other, on the built-in images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.views.forward import ForwardView, images, stage, texts
from ddpm_tui.views.forward.charts import SCHEDULE_CURVES
from ddpm_tui.views.forward.images import Loaded, load_images
from ddpm_tui.views.forward.pictures import Column
from ddpm_tui.views.forward.schedules import PLAIN, Named, Pair, Reading, own
from ddpm_tui.views.question import Question
from ddpm_tui.widgets.chart import LineChart
from ddpm_tui.widgets.pixels import PixelGrid
from engine.config import DiffusionConfig
from engine.errors import RunError
from engine.images import read_png
from tests.one_quick import one_quick

SIZES = [(60, 18), (80, 24), (120, 40), (200, 60)]
BUILT_IN = "fashion-mnist-10k"
LINEAR, COSINE, SIGMOID = PLAIN


@pytest.fixture(autouse=True)
def built_in_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same images on every machine; files are written into a folder of one's own."""
    monkeypatch.setattr(stage, "default_dataset", lambda _: BUILT_IN)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_images(BUILT_IN, None)


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    """Wait for the worker threads, as a person would, but not for ever."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


def line(app: Workbench, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).render())


def side(app: Workbench, which: str) -> PixelGrid:
    return app.screen.query_one(f"#side-{which}", PixelGrid)


def shown(pane: PixelGrid) -> np.ndarray:
    return pane._images if pane._images is not None else np.zeros((1, 1, 1), np.uint8)


def charts(app: Workbench) -> list[str | None]:
    return [chart.id for chart in app.screen.query(LineChart) if chart.display]


def pixels(loaded: Loaded, named: Named, t: float) -> np.ndarray:
    return loaded.shown(named.schedule).pixels(t)[:, 0]


async def shows(
    pilot: Pilot[None], loaded: Loaded, a: tuple[Named, float], b: tuple[Named, float]
) -> None:
    """Wait until the panes hold these schedules at these t."""
    app = pilot.app
    assert isinstance(app, Workbench)
    for which, (named, t) in (("a", a), ("b", b)):
        expected = pixels(loaded, named, t)
        await until(lambda e=expected, w=which: np.array_equal(shown(side(app, w)), e), pilot)


async def opened(pilot: Pilot[None]) -> ForwardView:
    await pilot.press("4")
    app = pilot.app
    assert isinstance(app, Workbench)
    await until(lambda: isinstance(app.screen, ForwardView) and side(app, "b").total > 0, pilot)
    assert isinstance(app.screen, ForwardView)
    return app.screen


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_it_opens_on_two_schedules_beside_each_other(
    tmp_path: Path, size: tuple[int, int], loaded: Loaded
) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await shows(pilot, loaded, (LINEAR, 249), (COSINE, 249))
        what = line(app, "what")
        assert what == "Fashion-MNIST, the built-in 10,000 · A linear · B cosine · same t"
        a, b = side(app, "a"), side(app, "b")
        # In step, and whole.
        assert a.arrangement == b.arrangement and a.shown >= 2
        assert len(charts(app)) == (3 if size[0] >= 100 else 1)
        assert line(app, "figures-a").startswith("A t = 249/999 · ᾱ 0.5241")


def test_every_class_is_there_twice_and_none_was_trained_on(loaded: Loaded) -> None:
    assert sorted(loaded.class_names) == sorted([*set(loaded.class_names)] * 2)
    from engine.data import load

    test = load(BUILT_IN).test_images[:, 0].numpy()
    originals = pixels(loaded, LINEAR, -1)
    assert all(any((image == one).all() for one in test) for image in originals[:3])


async def test_keys_move_t_and_the_images_follow(tmp_path: Path, loaded: Loaded) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        for keys, t in (
            (["home"], -1),
            (["l"], 0),
            (["right", "pagedown"], 26),
            (["L", "left", "h"], 49),
            (["pageup"], 24),
            (["end"], 999),
            (["right"], 999),
            (["H"], 974),
            (["0", "left"], -1),
            (["dollar_sign"], 999),
        ):
            await pilot.press(*keys)
            assert view._t == t, keys
        await shows(pilot, loaded, (LINEAR, 999), (COSINE, 999))
        assert line(app, "figures-a").startswith("A t = 999/999 · ᾱ 0.0000")
        shown_charts = [chart for chart in app.screen.query(LineChart) if chart.display]
        assert [chart.cursor for chart in shown_charts] == [999] * 3
        await pilot.press("0")
        assert [chart.cursor for chart in shown_charts] == [None] * 3
        assert "originals" in line(app, "figures-b")


def test_figures_of_a_timestep() -> None:
    text = texts.figures(Reading.at(LINEAR, 249))
    alpha = float(np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:250]))
    snr = alpha / (1 - alpha)
    assert f"ᾱ {alpha:.4f}" in text and f"noise {np.sqrt(1 - alpha):.3f}" in text
    assert f"SNR {snr:.3g} · ln SNR {np.log(snr):.2f}" in text
    zero = own(DiffusionConfig(rescale_betas_zero_snr=True, prediction_type="v_prediction"))
    assert "SNR 0 · ln SNR −∞ · β 1" in texts.figures(Reading.at(zero, 999))
    assert zero.name == "linear zero SNR"


async def test_keys_choose_and_exchange_the_schedules(tmp_path: Path, loaded: Loaded) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        for key, a, b in (
            ("B", LINEAR, SIGMOID),
            ("b", COSINE, SIGMOID),
            ("x", SIGMOID, COSINE),
            ("b", LINEAR, COSINE),
        ):
            await pilot.press(key)
            assert (view._pair.a, view._pair.b) == (a, b), key
            await shows(pilot, loaded, (a, 249), (b, 249))
            for chart in app.screen.query(LineChart):
                if chart.display:
                    names = [series.name for series in chart.series[:2]]
                    assert names == [f"A {a.name}", f"B {b.name}"]
        # More of the image is left by the cosine schedule.
        originals = pixels(loaded, LINEAR, -1).astype(int)
        distances = [abs(shown(side(app, which)) - originals).mean() for which in "ab"]
        assert distances[1] < 0.8 * distances[0]


async def test_at_equal_snr_the_pictures_are_equal(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert not np.array_equal(shown(side(app, "a")), shown(side(app, "b")))
        await pilot.press("e")
        await until(lambda: np.array_equal(shown(side(app, "a")), shown(side(app, "b"))), pilot)
        assert "equal SNR, so equal pictures" in line(app, "what")
        assert "t = 479.6" in str(side(app, "b").border_title)
        a, b = (line(app, f"figures-{which}").split(" · ")[1:5] for which in "ab")
        assert a == b and line(app, "figures-a") != line(app, "figures-b")
        # The marks lie where the two pictures are; over the SNR they are as high.
        snr = app.screen.query_one("#snr", LineChart)
        marks = [(float(series.x[0]), float(series.y[0])) for series in snr.series if series.marks]
        assert marks[0][0] == 249 and marks[1][0] == pytest.approx(479.6, abs=0.1)
        assert marks[0][1] == pytest.approx(marks[1][1])
        await pilot.press("end")
        await until(lambda: "t = 999" in str(side(app, "a").border_title), pilot)
        assert "equal SNR" in line(app, "what"), "the cosine schedule leaves less than the linear"
        await pilot.press("x", "end")
        assert "never has that little signal" in line(app, "what")


async def test_the_form_takes_any_two_schedules(tmp_path: Path, tiny_runs: Path) -> None:
    from engine.runs.folder import open_run

    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, Question), pilot)
        form = app.screen
        form.query_one("#a-end", Input).value = "2"
        await pilot.press("enter")
        assert isinstance(app.screen, Question), "it stays until it is right"
        assert "A: beta_end" in str(form.query_one("#problem", Static).render())
        form.query_one("#a-end", Input).value = "0.1"
        form.query_one("#a-timesteps", Input).value = "100"
        form.query_one("#b").value = "run tiny"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: app.screen is view, pilot)
        a, b = view._pair.a, view._pair.b
        assert a.name == "linear β 0.0001…0.1 T=100" and a.timesteps == 100
        assert b.run == open_run(tiny_runs, "tiny") and b.timesteps == 20
        assert view._t == 24, "a quarter of the way, as before"
        assert "same share of T" in line(app, "what")
        await until(lambda: "t = 4" in str(side(app, "b").border_title), pilot)
        # Both stay among what the keys go through.
        assert view._pair.menu == [*PLAIN, a, b]
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, Question), pilot)
        assert app.screen.query_one("#a-timesteps", Input).value == "100"
        assert app.screen.query_one("#b").value == "run tiny"  # type: ignore[attr-defined]


def test_the_schedule_of_a_run_stands_beside_another_one() -> None:
    cosine = Named("run1", DiffusionConfig(beta_schedule="squaredcos_cap_v2"))
    pair = Pair().beside(cosine)
    assert (pair.a, pair.b) == (cosine, LINEAR), "not beside the same curve under another name"
    short = own(DiffusionConfig(num_train_timesteps=10))
    assert Pair(LINEAR, short).beside(cosine).b == short


def test_another_length_keeps_the_share_of_the_way() -> None:
    short = own(DiffusionConfig(num_train_timesteps=20))
    pair = Pair(LINEAR, short)
    assert [pair.t_of_b(t) for t in (-1, 249, 999)] == [-1, 4, 19]


async def test_one_chart_at_a_time_where_only_one_fits(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        seen = []
        for _ in SCHEDULE_CURVES:
            seen += charts(app)
            await pilot.press("v")
        assert sorted(map(str, seen)) == sorted(SCHEDULE_CURVES)
        before = side(app, "a").shown
        await pilot.press("z")
        await until(lambda: side(app, "a").shown > before, pilot)
        assert not app.screen.query_one("#charts").display
        await pilot.resize_terminal(120, 40)
        await pilot.press("z")
        assert len(charts(app)) == 3


async def test_a_curve_or_the_images_can_be_enlarged(tmp_path: Path) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot)
        before = side(app, "a").arrangement
        for letter, enlarged in (("a", "pictures"), ("d", "alphas_cumprod")):
            await pilot.press("semicolon", letter)
            pane = app.screen.query_one(f"#{enlarged}")
            await until(lambda p=pane: p.region.width > 110, pilot)
            assert view.maximized is pane
            await pilot.press("semicolon")
            await until(lambda p=pane: p.region.width < 110, pilot)
        await until(lambda: side(app, "a").arrangement == before, pilot)


async def test_the_images_can_be_turned_through(tmp_path: Path, loaded: Loaded) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(60, 18)) as pilot:
        await opened(pilot)
        await pilot.press("j", "down", "k", "home")
        expected = np.roll(pixels(loaded, LINEAR, -1), -1, axis=0)
        await until(lambda: np.array_equal(shown(side(app, "a")), expected), pilot)
        assert side(app, "a")._labels == (*loaded.class_names[1:], loaded.class_names[0])


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_strip_of_the_article(
    tmp_path: Path, size: tuple[int, int], loaded: Loaded
) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("f")
        columns = list(app.screen.query(Column))
        await until(lambda: all(column.total > 0 for column in columns), pilot)
        assert not side(app, "a").display and not app.screen.query_one("#charts").display
        titles = [str(column.border_title).split(" · ")[0] for column in columns]
        assert titles == ["original", "25 %", "50 %", "75 %", "100 %"]
        for column, t in zip(columns, (-1, 249, 499, 749, 999), strict=True):
            # In step with its neighbours, and no image is cut off.
            assert column.arrangement == columns[0].arrangement
            assert column.shown == column.total == columns[0].total >= 1
            assert (shown(column) == pixels(loaded, LINEAR, t)[: column.total]).all()
        assert line(app, "figures-a").startswith("ᾱ: original 1 · 25 % 0.5241")
        await pilot.press("f")
        assert side(app, "a").display


async def test_saving_writes_what_is_on_the_screen(tmp_path: Path, loaded: Loaded) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)

        async def saved(*keys: str) -> Path:
            read = {notice.identity for notice in app._notifications}

            def unread() -> list[str]:
                new = (n for n in app._notifications if n.identity not in read)
                return [notice.message for notice in new if notice.title == "Saved"]

            await pilot.press(*keys)
            await until(lambda: bool(unread()), pilot)
            [notice] = unread()
            png, gif = notice.split(" and ")
            assert Path(png).with_suffix(".gif").name == gif and Path(gif).exists()
            return Path(png)

        beside = await saved("w")
        assert beside == tmp_path / f"forward-{BUILT_IN}-linear-cosine-t249.png"
        written, about = read_png(beside)
        rows = [pixels(loaded, named, 249) for named in (LINEAR, COSINE)]
        assert (written[:, 0] == np.concatenate(rows)).all() and about["t"] == [249, 249]
        equal, about = read_png(await saved("e", "w"))
        assert (equal[:20] == equal[20:]).all() and about["t"][1] == pytest.approx(479.6, abs=0.1)
        strip, _ = read_png(await saved("f", "w"))
        assert len(strip) == 5 * 20


async def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RunError("Cannot write here", "Go elsewhere.")

    monkeypatch.setattr("engine.forward_files.write_beside", refuse)
    app = Workbench(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("w")
        await until(lambda: any("Cannot write" in n.message for n in app._notifications), pilot)


def test_the_next_data_set_is_the_next_one_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.data.sources.SYSTEM_ROOT", tmp_path / "nowhere")
    monkeypatch.setattr("engine.data.sources.cache_root", lambda: tmp_path / "nowhere")
    monkeypatch.delenv("DDPM_TUI_DATA", raising=False)
    assert images.next_dataset(BUILT_IN, None) == BUILT_IN
    names = [entry.name for entry in images.available(None)]
    found = [type("Entry", (), {"name": name, "found": name != "mnist"}) for name in names]
    monkeypatch.setattr(images, "available", lambda _: found)
    assert images.next_dataset("fashion-mnist", None) == BUILT_IN
    assert images.next_dataset(BUILT_IN, None) == "fashion-mnist"


async def test_missing_data_is_told_in_place(tmp_path: Path) -> None:
    app = Workbench(tmp_path, data_dir=tmp_path / "no-such-folder")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("4")
        await until(lambda: any("folder" in n.message for n in app._notifications), pilot)
        assert "is not a folder" in side(app, "a")._message
        await pilot.press("right", "b", "v", "f", "o", "w", "end", "e", "x", "c", "z", "j")
        assert isinstance(app.screen, ForwardView)


@pytest.mark.parametrize("size", one_quick([(20, 5), (30, 8)]), ids=str)
async def test_every_key_on_the_smallest_screens(tmp_path: Path, size: tuple[int, int]) -> None:
    app = Workbench(tmp_path)
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        view = app.screen
        await until(lambda: getattr(view, "_loaded", None) is not None, pilot)
        await pilot.press("e", "x", "f", "right", "f", "v", "z", "B", "end", "j", "d", "escape")
        await until(lambda: app.screen is view, pilot)
