"""What the Forward view shows, and the threads that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ddpm_tui.sanitize import clean
from ddpm_tui.views.forward import texts
from ddpm_tui.views.forward.charts import ERROR_CURVES, SCHEDULE_CURVES, Charts
from ddpm_tui.views.forward.images import Loaded, load_images, next_dataset
from ddpm_tui.views.forward.messages import ImagesFailed, ImagesLoaded, ImagesNoised, Told
from ddpm_tui.views.forward.pictures import Pictures
from ddpm_tui.views.forward.prober import Known, Network, Prober
from ddpm_tui.views.forward.schedules import Named, Pair, Reading, describe
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.views.sample.performer import Models
from ddpm_tui.worker import sparing_the_training
from engine.config import RunConfig
from engine.data import SOURCES, default_dataset
from engine.errors import EngineError
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.forward import ForwardProcess

_OPENS_AT = 25  # per cent of the way: the schedules differ, and the images can still be seen
_NARROW = 100
BESIDE, NETWORK, STRIP = "beside", "network", "strip"


class ForwardStage(PictureView):
    """Real images at a t, two schedules, and a network that looks; whatever the keys are."""

    VIEW = "forward"
    CHOOSES_RUN = "forward.run"

    DEFAULT_CSS = """
    ForwardStage .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    ForwardStage #panes { height: 1fr; }
    ForwardStage Charts { width: 33; margin-left: 1; }
    ForwardStage.-wide Pictures { width: 3fr; }
    ForwardStage.-wide Charts { width: 2fr; }
    ForwardStage.-strip Charts, ForwardStage.-large Charts { display: none; }
    ForwardStage.-narrow #panes { layout: vertical; }
    ForwardStage.-narrow Pictures { height: 3fr; }
    ForwardStage.-narrow Charts { width: 1fr; height: 2fr; margin-left: 0; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._opened = False
        self._loaded: Loaded | None = None
        self._has_failed = False  # whether there will be no images until somebody does something
        self._pair = Pair()
        self._t = -1  # of A; −1 are the originals
        self._first = 0  # the image that comes first
        self._mode = self._before_strip = BESIDE
        self._noised = 0  # how many pictures were asked for; the newest wins
        self._x_t_error = 0.0  # the mean over the images
        self._seen_current: Run | None = None  # the workbench's current run, last time
        self._network: Network | None = None
        self._config: RunConfig | None = None  # of the network's run
        self._models: Models | None = None
        self._prober: Prober | None = None
        self._known: Known | None = None

    def body(self) -> ComposeResult:
        yield Static("", id="what", classes="line", markup=False)
        with Horizontal(id="panes"):
            yield Pictures(id="pictures", classes="pane")
            yield Charts(id="charts")
        yield Static("", id="figures-a", classes="line", markup=False)
        yield Static("", id="figures-b", classes="line", markup=False)

    def on_mount(self) -> None:
        self._choose_mode(BESIDE)

    def on_screen_resume(self) -> None:
        """Look with the network of the run that the other views show, when it is another one."""
        current = self.workbench.current_run
        fresh = current is not None and current != self._seen_current
        self._seen_current = current
        opens, self._opened = not self._opened, True
        if fresh and current is not None and list_checkpoints(current):
            self._load(Network(current), look=opens or self._mode == NETWORK)
        elif opens:
            self._load()

    def on_unmount(self) -> None:
        self._dismiss_prober()

    def on_resize(self, event: Resize) -> None:
        # The first one may come before the panes.
        for charts in self.query(Charts):
            charts.show_alone(event.size.width < _NARROW)

    @property
    def runs_shown(self) -> tuple[Run, ...]:
        return (self._network.run,) if self._network is not None else ()

    @property
    def pictures(self) -> Pictures:
        return self.query_one(Pictures)

    @property
    def charts(self) -> Charts:
        return self.query_one(Charts)

    # --- Data ----------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="load", exit_on_error=False)
    def _load(self, network: Network | None = None, *, after: str = "", look: bool = False) -> None:
        """Load the next data set after `after`, else that of the network's run, or the default."""
        worker, data_dir = get_current_worker(), self.workbench.data_dir
        loaded = self._loaded
        try:
            config = None if network is None else network.run.config()
            if after:
                name = next_dataset(after, data_dir)
            else:
                name = default_dataset(data_dir) if config is None else config.data.dataset
            if loaded is None or loaded.dataset != name:
                with sparing_the_training(self.workbench.training):
                    loaded = load_images(name, data_dir)
        except EngineError as error:
            self.post_message(ImagesFailed(error, network))
            return
        if not worker.is_cancelled:
            self.post_message(ImagesLoaded(loaded, network, config, look))

    def on_images_loaded(self, message: ImagesLoaded) -> None:
        opens = self._loaded is None
        self._dismiss_prober()
        self._loaded = message.loaded
        self._network, self._config = message.network, message.config
        if message.look:
            self._look()
        if opens:
            self._t = max(self._pair.a.timesteps * _OPENS_AT // 100 - 1, 0)
        self._show()

    def on_images_failed(self, message: ImagesFailed) -> None:
        self.workbench.complain(message.error)
        if self._loaded is None and message.network is not None:
            self._load()  # without the network there is still something to see
        elif self._loaded is None:
            self._has_failed = True
            self.pictures.say(str(message.error))
        self._tell()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None:
            return
        if isinstance(error, EngineError):
            self.workbench.complain(error)
            return
        text = clean(f"{type(error).__name__}: {error}", 300)
        self.notify(text, title="Not done", severity="error", timeout=20, markup=False)

    # --- The network ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Show what the network sees; it only knows the schedule of its own run."""
        if self._network is not None and self._config is not None:
            run = self._network.run
            own = Named(run.name, self._config.diffusion, run)
            self._set_pair(self._pair.beside(own))
            self._choose_mode(NETWORK)

    def _dismiss_prober(self) -> None:
        if self._prober is not None:
            self._prober.close()
        self._prober = self._known = None

    def _ask_network(self) -> None:
        """Ask about the images at t, and measure the errors while nobody asks."""
        if self._loaded is None or self._network is None:
            return
        if self._models is None:
            self._models = Models(self.workbench.device)
        if self._prober is None:
            self._prober = Prober(
                self._network,
                self._loaded,
                self._models,
                training=lambda: self.workbench.training,
                tell=self._pass_on,
            )
            self.pictures.forget_seen()
            self.charts.draw_errors((), 0, self._t)
        if self._prober.ask(self._t if self._t >= 0 else None):
            self._probe(self._prober)

    def _pass_on(self, prober: Prober, known: Known) -> None:
        self.post_message(Told(prober, known))

    @work(thread=True, group="probe", exit_on_error=False)
    def _probe(self, prober: Prober) -> None:
        prober.work()

    def on_told(self, message: Told) -> None:
        if message.prober is not self._prober:
            return
        before, self._known = self._known, message.known
        known = message.known
        if known.saved is not None:
            self.tell_saved(known.saved)
        if self._mode != NETWORK:
            return
        if before is None or known.errors != before.errors:
            self.charts.draw_errors(known.errors, known.of, self._t)
        if known.seen is not None and self._t >= 0:
            self.pictures.show_seen(known.seen, self._t)
        self._tell()

    def tell_saved(self, files: tuple[Path, Path]) -> None:
        """Say where a PNG and a GIF are."""
        png, gif = files
        text = clean(f"{png.resolve()} and {gif.name}")
        self.notify(text, title="Saved", timeout=12, markup=False)

    # --- Showing -------------------------------------------------------------------------------

    def _choose_mode(self, mode: str) -> None:
        self._mode = mode
        self.set_class(mode == STRIP, "-strip")
        self.charts.offer(tuple(ERROR_CURVES if mode == NETWORK else SCHEDULE_CURVES))
        self.pictures.choose(mode)

    def _set_pair(self, pair: Pair) -> None:
        """Other schedules; t stays at the same share of the way where T becomes another."""
        if self._loaded is not None and pair.a.timesteps != self._pair.a.timesteps:
            from engine.alignment import same_share

            self._t = same_share(self._t, self._pair.a.timesteps, pair.a.timesteps)
        self._pair = pair

    def _stations(self) -> list[tuple[str, int]]:
        """The article's percentages and their timesteps; −1 is the original."""
        from engine.forward import PERCENTS, station

        timesteps = self._pair.a.timesteps
        return [("original", -1), *((f"{p} %", station(p, timesteps)) for p in PERCENTS)]

    def _show(self) -> None:
        """Say where we are at once; the pictures follow from a thread."""
        loaded, pair = self._loaded, self._pair
        if loaded is None:
            return
        self._t = min(self._t, pair.a.timesteps - 1)
        self._noised += 1
        a, b = (loaded.shown(named.schedule) for named in (pair.a, pair.b))
        wanted: list[tuple[ForwardProcess, float]] = [(a, -1), (a, self._t)]
        if self._mode == STRIP:
            wanted = [(a, t) for _, t in self._stations()]
        elif self._mode == BESIDE:
            wanted = [(a, self._t), (b, pair.t_of_b(self._t))]
            self.charts.draw_schedules(pair, self._t)
        else:
            self.charts.move_cursor(self._t)
        self._noise(wanted, self._noised)
        if self._mode == NETWORK:
            self._ask_network()
        self._tell()

    @work(thread=True, exclusive=True, group="noise", exit_on_error=False)
    def _noise(self, wanted: list[tuple[ForwardProcess, float]], number: int) -> None:
        from engine.denoising import per_image_mse

        worker = get_current_worker()
        if worker.is_cancelled:  # a later t waits already
            return
        with sparing_the_training(self.workbench.training):
            pictures = tuple(process.pixels(t) for process, t in wanted)
            process, t = wanted[-1]
            error = per_image_mse(process.at(t), process.x_start).numpy()
        if not worker.is_cancelled:
            self.post_message(ImagesNoised(number, pictures, error))

    def on_images_noised(self, message: ImagesNoised) -> None:
        loaded, pair, t = self._loaded, self._pair, self._t
        if loaded is None or message.number != self._noised:
            return
        pictures, shown = self.pictures, message.pictures
        pictures.begin_with(self._first)
        if self._mode == STRIP:
            pictures.show_strip(shown, self._stations())
        elif self._mode == BESIDE:
            titles = texts.beside_titles(pair, t)
            pictures.show_beside(shown, titles, loaded.class_names)
        else:
            self._x_t_error = float(message.error.mean())
            pictures.show_noised(shown[0], shown[1], message.error, t, loaded.class_names)
            if self._known is not None and self._known.seen is not None and t >= 0:
                pictures.show_seen(self._known.seen, t)
            self._tell()

    def _tell(self) -> None:
        """The lines above and below the pictures."""
        loaded, pair, t = self._loaded, self._pair, self._t
        if loaded is None:
            return
        data = SOURCES[loaded.dataset].title
        above = [data, f"A {pair.a.words}", f"B {pair.b.words}", texts.alignment(pair, t)]
        below = [f"A {texts.figures(Reading.at(pair.a, t))}"]
        if self._mode == STRIP:
            above = [data, pair.a.words, f"T = {pair.a.timesteps}"]
            below = [texts.station_figures(pair.a, self._stations()), ""]
        elif self._mode == BESIDE:
            below.append(f"B {texts.figures(Reading.at(pair.b, pair.t_of_b(t)))}")
        else:
            above = [
                *texts.network_words(self._network, self._known),
                describe(pair.a.config),
                data,
            ]
            below = [
                texts.figures(Reading.at(pair.a, t)),
                texts.seen_figures(self._known, t, self._x_t_error),
            ]
        lines = ("what", " · ".join(above)), ("figures-a", below[0]), ("figures-b", below[1])
        for name, line in lines:
            self.query_one(f"#{name}", Static).update(clean(line))
