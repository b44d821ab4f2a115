"""The Forward view: real images on their way into noise, beside the schedules that decide it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ddpm_tui import keys
from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import for_display
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.widgets.chart import LineChart, Series
from ddpm_tui.widgets.pixels import PixelGrid, layout
from engine.config import DiffusionConfig
from engine.data import SOURCES, available, default_dataset
from engine.errors import EngineError
from engine.images import Pixels

if TYPE_CHECKING:
    from engine.forward import ForwardProcess

_NUM = 20  # images: two of each class
_SEED = 0  # of their noise
SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
_COLORS = {"linear": "primary", "squaredcos_cap_v2": "success"}
_CHART_FPS = 8
_TITLE_ROOM = 18  # cells that the title of a column of the strip takes with its t

# Name of a curve -> title of its chart.
CURVES = {
    "betas": "β_t · the noise of step t",
    "alphas_cumprod": "ᾱ_t · the image's share",
    "snr": "SNR · ᾱ_t / (1 − ᾱ_t)",
}
# Both span decades, and of β the cosine schedule's last ones would flatten all others.
_LOG_Y = ("betas", "snr")


@dataclass(frozen=True, eq=False)
class Curves:
    """A schedule as numbers to draw: float (T,) each."""

    betas: NDArray[Any]
    alphas_cumprod: NDArray[Any]
    snr: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A data set's images with the noise that they get, under every schedule.

    Attributes:
        class_names: of each image.
        processes, curves: by name of the schedule.
        stations: the article's percentages and their timesteps; −1 is the original.
    """

    dataset: str
    class_names: tuple[str, ...]
    processes: dict[str, ForwardProcess]
    curves: dict[str, Curves]
    stations: tuple[tuple[str, int], ...]

    @property
    def timesteps(self) -> int:
        return len(next(iter(self.curves.values())).betas)


def load_images(name: str, data_dir: Path | None) -> Loaded:
    """Load a data set and noise its first images; slow, for a thread.

    Raises:
        DataError: the data set is not there or damaged.
    """
    from engine.data import load
    from engine.forward import PERCENTS, ForwardProcess, spread_over_classes, station
    from engine.schedule import NoiseSchedule

    dataset = load(name, data_dir=data_dir)
    config = DiffusionConfig()
    total = config.num_train_timesteps
    schedules = {
        schedule: NoiseSchedule.create(schedule, total, config.beta_start, config.beta_end)
        for schedule in SCHEDULES
    }
    process = ForwardProcess.of(dataset, schedules["linear"], _NUM, _SEED)
    labels = dataset.labels[spread_over_classes(dataset.labels, _NUM)].tolist()
    return Loaded(
        name,
        tuple(dataset.class_names[label] for label in labels),
        # The same noise under every schedule: the schedule is all that differs.
        {key: replace(process, schedule=schedule) for key, schedule in schedules.items()},
        {
            key: Curves(
                schedule.betas.numpy(), schedule.alphas_cumprod.numpy(), schedule.snr.numpy()
            )
            for key, schedule in schedules.items()
        },
        (("original", -1), *((f"{p} %", station(p, total)) for p in PERCENTS)),
    )


class ImagesLoaded(Message):
    """A data set is there."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.loaded = loaded


class ImagesFailed(Message):
    """A data set could not be loaded."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


class ImagesNoised(Message):
    """Images at one t or, for the strip, at every station."""

    def __init__(self, number: int, pictures: tuple[Pixels, ...]) -> None:
        super().__init__()
        self.number, self.pictures = number, pictures


class Column(PixelGrid):
    """Images below each other: as many as fit, so that neighbouring columns stay in step."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._stack: Pixels | None = None

    def stack(self, images: Pixels) -> None:
        """Show the first of these images, (N, H, W) or (N, H, W, 3)."""
        self._stack = images
        self._restack()

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self._restack()

    def _restack(self) -> None:
        columns, rows = self.size
        if self._stack is None or not columns or not rows:
            return
        height, width = self._stack.shape[1:3]
        one = layout(1, height, width, columns, rows)
        if one.enlarge > 1:  # rather more images than a larger one
            one = layout(1, height, width, min(columns, 2 * width - 1), rows)
        self.show(self._stack[: max((rows + 1) // (one.height + 1), 1)])


class ForwardView(PictureView):
    """Real images, t under the keys, and what the two schedules make of it."""

    VIEW = "forward"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("forward")]

    DEFAULT_CSS = """
    ForwardView #what, ForwardView #figures {
        height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    ForwardView #panes { height: 1fr; }
    ForwardView PixelGrid, ForwardView LineChart {
        border-top: solid $foreground 25%; border-title-color: $foreground 80%;
    }
    ForwardView #images { width: 1fr; }
    ForwardView #charts { width: 33; margin-left: 1; }
    ForwardView.-wide #images { width: 3fr; }
    ForwardView.-wide #charts { width: 2fr; }
    ForwardView #strip { display: none; }
    ForwardView.-strip #strip { display: block; }
    ForwardView.-strip #images, ForwardView.-strip #charts { display: none; }
    ForwardView.-narrow #panes { layout: vertical; }
    ForwardView.-narrow #images { width: 1fr; height: 3fr; }
    ForwardView.-narrow #charts { width: 1fr; height: 2fr; margin-left: 0; }
    ForwardView.-narrow LineChart { display: none; }
    ForwardView.-narrow.-curve-betas #betas,
    ForwardView.-narrow.-curve-alphas_cumprod #alphas_cumprod,
    ForwardView.-narrow.-curve-snr #snr { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._loaded: Loaded | None = None
        self._wanted = ""  # the data set that was asked for last
        self._schedule = "linear"
        self._t = -1  # −1 are the originals
        self._noised = 0  # how many pictures were asked for; the newest wins

    def body(self) -> ComposeResult:
        yield Static("", id="what", markup=False)
        with Horizontal(id="panes"):
            yield PixelGrid("Loading torch and the images …", id="images")
            with Vertical(id="charts"):
                for curve, title in CURVES.items():
                    chart = LineChart(
                        message="Loading …", log_y=curve in _LOG_Y, max_fps=_CHART_FPS, id=curve
                    )
                    chart.border_title = title
                    yield chart
            with Horizontal(id="strip"):
                for index in range(5):
                    yield Column(id=f"station-{index}")
        yield Static("", id="figures", markup=False)

    def on_mount(self) -> None:
        self._choose_curve("alphas_cumprod")
        self._load("")

    # --- Data ----------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="load", exit_on_error=False)
    def _load(self, after: str) -> None:
        """Load the default data set, or the next one after `after` on this machine."""
        worker, data_dir = get_current_worker(), self.workbench.data_dir
        try:
            name = _next_dataset(after, data_dir) if after else default_dataset(data_dir)
            loaded = load_images(name, data_dir)
        except EngineError as error:
            self.post_message(ImagesFailed(error))
            return
        if not worker.is_cancelled:
            self.post_message(ImagesLoaded(loaded))

    def on_images_loaded(self, message: ImagesLoaded) -> None:
        self._loaded = message.loaded
        self._draw_curves()
        self._show()

    def on_images_failed(self, message: ImagesFailed) -> None:
        if self._loaded is None:
            self.query_one("#images", PixelGrid).clear(clean(str(message.error)))
        self._tell()
        self.workbench.complain(message.error)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            text = clean(f"{type(event.worker.error).__name__}: {event.worker.error}", 300)
            self.notify(text, title="Not done", severity="error", timeout=20, markup=False)

    # --- Showing -------------------------------------------------------------------------------

    def _show(self) -> None:
        """Say where we are at once; the pictures follow from a thread."""
        loaded = self._loaded
        if loaded is None:
            return
        self._t = min(self._t, loaded.timesteps - 1)
        self._tell()
        for chart in self.query(LineChart):
            chart.cursor = None if self._t < 0 else self._t
        self._noised += 1
        strip = self.has_class("-strip")
        timesteps = tuple(t for _, t in loaded.stations) if strip else (self._t,)
        self._noise(loaded.processes[self._schedule], timesteps, self._noised)

    @work(thread=True, exclusive=True, group="noise", exit_on_error=False)
    def _noise(self, process: ForwardProcess, timesteps: tuple[int, ...], number: int) -> None:
        worker = get_current_worker()
        if worker.is_cancelled:  # a later t waits already
            return
        pictures = tuple(process.pixels(t) for t in timesteps)
        if not worker.is_cancelled:
            self.post_message(ImagesNoised(number, pictures))

    def on_images_noised(self, message: ImagesNoised) -> None:
        loaded = self._loaded
        if loaded is None or message.number != self._noised:
            return
        if len(message.pictures) > 1:
            for index, (label, t) in enumerate(loaded.stations):
                column = self.query_one(f"#station-{index}", Column)
                column.stack(for_display(message.pictures[index]))
                roomy = t >= 0 and column.size.width >= _TITLE_ROOM
                column.border_title = f"{label} · t = {t}" if roomy else label
            return
        grid = self.query_one("#images", PixelGrid)
        grid.offer(for_display(message.pictures[0]), loaded.class_names)
        grid.entitle("the originals" if self._t < 0 else f"x_t at t = {self._t}")

    def _tell(self) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        other = next(name for name in SCHEDULES if name != self._schedule)
        parts = (
            SOURCES[loaded.dataset].title,
            f"{_named(self._schedule)} noise schedule (b: {SCHEDULES[other]})",
            f"T = {loaded.timesteps}",
        )
        self.query_one("#what", Static).update(clean(" · ".join(parts)))
        curves = loaded.curves[self._schedule]
        text = figures(curves, self._t)
        if self.has_class("-strip"):
            text = station_figures(curves, loaded.stations)
        self.query_one("#figures", Static).update(text)

    def _draw_curves(self) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        across = np.arange(loaded.timesteps)
        # The schedule in force is drawn last, over the other.
        ordered = sorted(loaded.curves, key=lambda name: name == self._schedule)
        for chart in self.query(LineChart):
            chart.set_series(
                [
                    Series(
                        SCHEDULES[name] + (" ◂" if name == self._schedule else ""),
                        across,
                        getattr(loaded.curves[name], chart.id or ""),
                        _COLORS[name],
                    )
                    for name in ordered
                ]
            )

    def _choose_curve(self, curve: str) -> None:
        self._curve = curve
        for name in CURVES:
            self.set_class(name == curve, f"-curve-{name}")

    # --- Keys ----------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._t = max(self._t + by, -1)
        self._show()

    def action_jump(self, where: str) -> None:
        if self._loaded is not None:
            self._t = -1 if where == "start" else self._loaded.timesteps - 1
            self._show()

    def action_schedule(self) -> None:
        names = list(SCHEDULES)
        self._schedule = names[(names.index(self._schedule) + 1) % len(names)]
        self._draw_curves()
        self._show()

    def action_curve(self) -> None:
        names = list(CURVES)
        self._choose_curve(names[(names.index(self._curve) + 1) % len(names)])

    def action_strip(self) -> None:
        self.toggle_class("-strip")
        self._show()

    def action_dataset(self) -> None:
        if self._loaded is not None:
            self.query_one("#what", Static).update("Loading the next data set …")
            self._load(self._loaded.dataset)

    def action_save(self) -> None:
        if self._loaded is not None:
            stem = f"forward-{self._loaded.dataset}-{self._schedule}"
            self._save(self._loaded.processes[self._schedule], stem)

    @work(thread=True, exclusive=True, group="save", exit_on_error=False)
    def _save(self, process: ForwardProcess, stem: str) -> None:
        from engine.forward import write_forward

        try:
            png, gif = write_forward(process, Path(), stem)
        except EngineError as error:
            self.app.call_from_thread(self.workbench.complain, error)
            return
        text = clean(f"{png.resolve()} and {gif.name}")
        self.app.call_from_thread(self.notify, text, title="Saved", timeout=12, markup=False)


def _next_dataset(after: str, data_dir: Path | None) -> str:
    """The next data set found on this machine; the same when it is the only one."""
    names = [entry.name for entry in available(data_dir) if entry.found]
    at = names.index(after) if after in names else -1
    return names[(at + 1) % len(names)]


def _named(schedule: str) -> str:
    """The name that the config knows, and the one that people use."""
    common = SCHEDULES[schedule]
    return common if common == schedule else f"{common} ({schedule})"


def figures(curves: Curves, t: int) -> str:
    """t = 249/999 · ᾱ_t 0.5240 · noise √(1−ᾱ_t) 0.690 · SNR 1.1 · ln SNR 0.10"""
    if t < 0:
        return "the originals, before any noise · ᾱ = 1 · noise 0"
    alpha, snr = float(curves.alphas_cumprod[t]), float(curves.snr[t])
    parts = (
        f"t = {t}/{len(curves.betas) - 1}",
        f"ᾱ_t {alpha:.4f}",
        f"noise √(1−ᾱ_t) {math.sqrt(1 - alpha):.3f}",
        f"SNR {snr:.3g}",
        f"ln SNR {math.log(snr) if snr > 0 else -math.inf:.2f}".replace("-", "−"),
    )
    return " · ".join(parts)


def station_figures(curves: Curves, stations: tuple[tuple[str, int], ...]) -> str:
    """ᾱ_t: original 1 · 25 % 0.5240 · 50 % 0.0786 …"""
    alphas = (f"{label} {curves.alphas_cumprod[t]:.4f}" for label, t in stations if t >= 0)
    return "ᾱ_t: original 1 · " + " · ".join(alphas)
