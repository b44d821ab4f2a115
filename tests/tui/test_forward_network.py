"""The Forward view with a trained run: what its network makes of noised images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from ddpm_tui.app import Workbench
from ddpm_tui.views.forward import ForwardView, stage
from ddpm_tui.views.forward.charts import ERROR_CURVES
from ddpm_tui.views.forward.choose import NONE_YET, ChooseNetwork, trained_runs
from ddpm_tui.views.forward.images import Loaded, load_images
from ddpm_tui.views.forward.pictures import Column
from ddpm_tui.views.forward.prober import Known, Network, Prober
from ddpm_tui.views.sample.performer import Models
from ddpm_tui.widgets.chart import LineChart
from engine.denoising import denoise
from engine.errors import CheckpointError
from engine.images import read_png
from engine.probe import Probe
from engine.runs.folder import Run, open_run
from engine.sampling import load_trained
from tests.tui.conftest import train

SIZES = [(60, 18), (200, 60)]
BUILT_IN = "fashion-mnist-10k"


@pytest.fixture(autouse=True)
def built_in_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stage, "default_dataset", lambda _: BUILT_IN)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_images(BUILT_IN, None)


@pytest.fixture
def classes(class_runs: Path) -> Run:
    return open_run(class_runs, "classes")


async def until(condition: Callable[[], bool], pilot: Pilot[None], seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen in time")


def line(app: Workbench, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).render())


def column(app: Workbench, index: int) -> Column:
    return app.screen.query_one(f"#column-{index}", Column)


def measured(view: ForwardView) -> bool:
    known = view._known
    return known is not None and 0 < known.of == len(known.errors)


async def opened(pilot: Pilot[None], run: Run | None) -> ForwardView:
    app = pilot.app
    assert isinstance(app, Workbench)
    app.current_run = run
    await pilot.press("4")
    view = app.screen
    assert isinstance(view, ForwardView)
    await until(lambda: view._loaded is not None, pilot)
    if run is not None:
        await until(lambda: measured(view), pilot)
    return view


def rows_at(run: Run, loaded: Loaded, t: int, *, told: bool = True) -> tuple[np.ndarray, ...]:
    trained = load_trained(run, device="cpu")
    process = loaded.shown(trained.schedule)
    return Probe(trained, process, loaded.all_names, told=told).at(t).rows()


async def shows(pilot: Pilot[None], rows: tuple[np.ndarray, ...]) -> None:
    """Wait until the four columns hold the first of these images."""
    app = pilot.app
    assert isinstance(app, Workbench)

    def there(index: int) -> bool:
        images = column(app, index)._images
        return images is not None and np.array_equal(images, rows[index][: len(images), 0])

    for index in range(4):
        await until(lambda i=index: there(i), pilot)


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_current_run_looks_at_once(
    class_runs: Path, classes: Run, loaded: Loaded, size: tuple[int, int]
) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=size) as pilot:
        view = await opened(pilot, classes)
        assert view._t == 4, "a quarter of its twenty timesteps"
        await shows(pilot, rows_at(classes, loaded, 4))
        columns = [column(app, index) for index in range(4)]
        assert len({c.arrangement for c in columns}) == 1 and columns[0].shown >= 1
        assert not column(app, 4).display
        assert line(app, "what").startswith("classes · weights of step 3 (best) · told the class")
        figures = line(app, "figures-b")
        seen = view._known.seen if view._known else None
        assert seen is not None and figures.startswith(f"MSE: x̂_0 {seen.x0_error.mean():.3f} · x_t")
        wanted = list(ERROR_CURVES) if size[0] >= 100 else ["x0"]
        assert [chart.id for chart in app.screen.query(LineChart) if chart.display] == wanted
        series = {s.name: s for s in app.screen.query_one("#x0", LineChart).series}
        assert series["network"].x.tolist() == list(range(20))
        assert len(set(series["mean"].y.tolist())) == 1, "it knows nothing of t"


async def test_scrubbing_shows_x_t_at_once_and_the_prediction_follows(
    class_runs: Path, classes: Run, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, classes)
        asked: list[int] = []
        gate, at = threading.Event(), Probe.at

        def slow(probe: Probe, t: int) -> Any:
            asked.append(t)
            gate.wait(30)
            return at(probe, t)

        monkeypatch.setattr(Probe, "at", slow)
        await pilot.press(*["right"] * 6)
        expected = rows_at_free(classes, loaded, 10)
        await until(
            lambda: np.array_equal(shown_of(app, 1), expected[: len(shown_of(app, 1))]), pilot
        )
        assert column(app, 2).border_title == "x̂_0 of t = 4", "what was known before"
        assert "x_t" not in line(app, "figures-b")
        gate.set()
        await until(lambda: column(app, 2).border_title == "x̂_0", pilot)
        monkeypatch.setattr(Probe, "at", at)
        await shows(pilot, rows_at(classes, loaded, 10))
        assert asked == [5, 10], "what nobody waits for any more is not asked"
        await pilot.press("home")
        await until(lambda: column(app, 2)._images is None, pilot)
        assert "no noise" in column(app, 2)._message and view._t == -1


def rows_at_free(run: Run, loaded: Loaded, t: int) -> np.ndarray:
    process = loaded.shown(load_trained(run, device="cpu").schedule)
    return process.pixels(t)[:, 0]


def shown_of(app: Workbench, index: int) -> np.ndarray:
    images = column(app, index)._images
    return images if images is not None else np.zeros((1, 1, 1), np.uint8)


async def test_the_class_can_be_left_out(class_runs: Path, classes: Run, loaded: Loaded) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(pilot, classes)
        await pilot.press("c")
        await until(lambda: view._network is not None and not view._network.told, pilot)
        await until(lambda: measured(view), pilot)
        assert "not told the class" in line(app, "what")
        await shows(pilot, rows_at(classes, loaded, 4, told=False))


async def test_a_network_without_classes_says_so(tiny_runs: Path) -> None:
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        view = await opened(pilot, open_run(tiny_runs, "tiny"))
        await pilot.press("c")
        assert any("was not told the classes" in n.message for n in app._notifications)
        assert view._network is not None and view._network.told


async def test_a_run_is_chosen_from_a_list(tiny_runs: Path, loaded: Loaded) -> None:
    train(tiny_runs, "second")
    (tiny_runs / "empty").mkdir()
    app = Workbench(tiny_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(pilot, None)
        assert view._mode == "beside" and view._t == 249
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, ChooseNetwork), pilot)
        options = app.screen.query_one(OptionList)
        await until(lambda: options.option_count == 2, pilot)
        assert "second  fashion-mnist-10k · cosine T=20 · step 3" in str(
            options.get_option_at_index(0).prompt
        )
        await pilot.press("j", "right", "enter")
        await until(lambda: app.screen is view and measured(view), pilot)
        assert view._network == Network(open_run(tiny_runs, "tiny"), "last")
        assert view._t == 4 and view._pair.a.name == "tiny"
        assert "(last)" in line(app, "what")
        # Back to the schedules, among which is that of the run; and to the network again.
        await pilot.press("d")
        assert view._mode == "beside" and view._pair.a.name == "tiny"
        await pilot.press("x", "d")
        assert view._mode == "network" and view._pair.a.name == "tiny"
        # A network only knows its own schedule.
        await pilot.press("b")
        assert view._mode == "beside" and view._pair.a.name == "linear"


async def test_without_a_trained_run_the_list_says_what_to_do(tmp_path: Path) -> None:
    app = Workbench(tmp_path / "none")
    async with app.run_test(size=(60, 18)) as pilot:
        view = await opened(pilot, None)
        await pilot.press("r")
        await until(
            lambda: isinstance(app.screen, ChooseNetwork) and line(app, "none") == NONE_YET, pilot
        )
        await pilot.press("enter", "j", "k", "left", "escape")
        assert app.screen is view


def test_a_run_that_cannot_be_read_is_not_offered(tiny_runs: Path) -> None:
    assert [trained.run.name for trained in trained_runs(tiny_runs)] == ["tiny"]
    (tiny_runs / "tiny" / "config.toml").write_text("model = ")
    assert trained_runs(tiny_runs) == []


async def test_a_damaged_checkpoint_is_told_and_the_schedules_stay(tiny_runs: Path) -> None:
    run = open_run(tiny_runs, "tiny")
    for weights in run.path.glob("checkpoints/*/*.safetensors"):
        weights.write_bytes(b"nothing")
    app = Workbench(tiny_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        app.current_run = run
        await pilot.press("4")
        await until(lambda: any("verify" in n.message for n in app._notifications), pilot)
        view = app.screen
        await pilot.press("right", "w", "c", "d")
        assert isinstance(view, ForwardView) and view._mode == "beside"


async def test_saving_writes_the_four_rows(class_runs: Path, classes: Run, tmp_path: Path) -> None:
    app = Workbench(class_runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot, classes)
        await pilot.press("w")
        await until(lambda: any(n.title == "Saved" for n in app._notifications), pilot)
        notice = next(n.message for n in app._notifications if n.title == "Saved")
    png = tmp_path / "forward-classes-step3-t4.png"
    assert notice == f"{png} and {png.stem}.gif"
    images, about = read_png(png)
    assert len(images) == 4 * 20 and about["rows"] == ["x_0", "x_t", "x0", "deviation"]
    assert png.with_suffix(".gif").is_file()


# --- The thread ----------------------------------------------------------------------------------


def prober(run: Run, loaded: Loaded, news: list[Known], **settings: Any) -> Prober:
    return Prober(
        Network(run, **settings),
        loaded,
        Models("cpu"),
        training=lambda: None,
        tell=lambda _, known: news.append(known),
    )


def test_a_question_goes_before_the_errors_and_the_newest_before_all(
    classes: Run, loaded: Loaded
) -> None:
    news: list[Known] = []
    one = prober(classes, loaded, news)
    assert one.ask(3) and not one.ask(7), "one thread is enough"
    one.work()
    assert news[0].seen is not None and news[0].seen.t == 7 and not news[0].errors
    assert len(news) == 21 and len(news[-1].errors) == news[-1].of == 20
    assert one.ask(5), "the thread has ended"
    one.work()
    assert news[-1].seen is not None and news[-1].seen.t == 5 and len(news) == 22


def test_a_closed_prober_says_nothing_more(classes: Run, loaded: Loaded) -> None:
    news: list[Known] = []
    one = prober(classes, loaded, news)
    one._tell = lambda _, known: (news.append(known), one.close())  # type: ignore[assignment]
    one.ask(3)
    one.work()
    assert len(news) == 1 and not one.ask(4)


def test_after_an_error_one_can_ask_again(classes: Run, loaded: Loaded) -> None:
    news: list[Known] = []
    one = prober(classes, loaded, news, which="99")
    one.ask(3)
    with pytest.raises(CheckpointError, match="no checkpoint '99'"):
        one.work()
    assert one.ask(3) and not news


def test_what_it_says_is_what_denoise_says(classes: Run, loaded: Loaded) -> None:
    news: list[Known] = []
    one = prober(classes, loaded, news)
    one.ask(6)
    one.work()
    trained = load_trained(classes, device="cpu")
    process = loaded.shown(trained.schedule)
    seen = denoise(
        trained.told(process.labels),
        process,
        6,
        prediction_type=trained.config.diffusion.prediction_type,
        limit_x0=lambda x0: x0.clamp(-1, 1),
    )
    assert news[0].seen is not None
    np.testing.assert_allclose(news[0].seen.x0_error, seen.x0_error.numpy(), rtol=1e-4)
    np.testing.assert_allclose(news[0].seen.eps_error, seen.eps_error.numpy(), rtol=1e-4)
