"""The Train view: loss, samples, loss by timestep, devices and log of one run; keys to steer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from ddpm_tui import keys
from ddpm_tui.feed import RunChanged, RunFeed, RunUnread, Snapshot
from ddpm_tui.sanitize import clean
from ddpm_tui.views.panes import PanedView
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.views.train.curves import CurveChart
from ddpm_tui.views.train.facts import Facts
from ddpm_tui.views.train.log import LogPane
from ddpm_tui.views.train.pictures import GridHistory
from ddpm_tui.widgets.gauges import DevicePanel
from ddpm_tui.widgets.heat import HeatStrip
from ddpm_tui.worker import PreviewPicture, TrainingNews, sparing_the_training
from engine.errors import EngineError
from engine.runs.folder import Run
from engine.runs.metrics import TIMESTEP_BUCKETS
from engine.runs.requests import Request, ask
from engine.telemetry import Telemetry

if TYPE_CHECKING:
    from engine.images import Pixels

NOTHING = "No run is open. n trains a new one, 1 lists the runs."
_STEERING = ("toggle_pause", "checkpoint", "preview", "stop", "new", "resume", "sample")
# Enough columns for any screen; the strip takes what it has room for.
_HEAT_COLUMNS = 200


class TrainView(PanedView, PictureView):
    """One run, live."""

    VIEW = "train"
    AUTO_FOCUS = "#chart"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("train")]
    PANES = ("chart", "heat", "devices", "pictures", "log")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-middle"), (34, "-high")]  # noqa: RUF012 - as in View

    DEFAULT_CSS = """
    TrainView #chart { height: 2fr; padding-right: 1; }
    TrainView #pictures { height: 1fr; padding-right: 1; }
    TrainView #heat { height: 1fr; max-height: 19; padding-right: 1; display: none; }
    TrainView.-high.-by-t #heat { display: block; }
    TrainView #devices { padding: 0 1; max-height: 10; }
    TrainView.-high #devices { max-height: 11; }
    TrainView.-low #devices { display: none; }
    TrainView #log { height: 7; display: none; }
    TrainView.-high #log { display: block; }
    TrainView.-empty #panes, TrainView.-empty Facts { display: none; }
    TrainView #nothing { display: none; padding: 2 4; }
    TrainView.-empty #nothing { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._feed: RunFeed | None = None
        self._snapshot: Snapshot | None = None
        self._offered: tuple[object, ...] = ()
        self._frame = (-1, -1)
        self._devices_elsewhere = False

    def body(self) -> ComposeResult:
        yield Facts()
        yield Static(NOTHING, id="nothing")
        with Horizontal(id="panes"):
            with Vertical(id="left", classes="column"):
                yield CurveChart(log_y=True, id="chart", classes="pane")
                heat = HeatStrip("No losses by timestep yet.", id="heat", classes="pane")
                heat.border_title = "loss by timestep t"
                yield heat
                devices = DevicePanel(id="devices", classes="pane")
                devices.border_title = "devices"
                yield devices
            with Vertical(id="right", classes="column"):
                yield GridHistory(id="pictures", classes="pane")
                yield LogPane(id="log", classes="pane")

    @property
    def _run(self) -> Run | None:
        return self._feed.run if self._feed else None

    @property
    def runs_shown(self) -> tuple[Run, ...]:
        return (self._feed.run,) if self._feed else ()

    @property
    def _chart(self) -> CurveChart:
        return self.query_one(CurveChart)

    @property
    def _pictures(self) -> GridHistory:
        return self.query_one(GridHistory)

    @property
    def _log(self) -> LogPane:
        return self.query_one(LogPane)

    def on_mount(self) -> None:
        for name in ("heat", "devices"):
            self.query_one(f"#{name}").can_focus = True
        self.watch(self.app, "telemetry", self._show_telemetry)

    def on_screen_resume(self) -> None:
        run = self.workbench.current_run
        self.set_class(run is None, "-empty")
        if run is not None and run != self._run:
            self._watch(run)
        elif self._feed is not None:
            self._look(self._feed)

    def on_unmount(self) -> None:
        if self._feed is not None:
            self._feed.close()

    def _watch(self, run: Run) -> None:
        """Follow another run from now on."""
        if self._feed is not None:
            self._feed.close()
        self._snapshot, self._frame = None, (-1, -1)
        self.query_one(Facts).snapshot = None
        self._chart.show_run(None)
        self._log.show_lines(())
        self._show_heat(None)
        waiting = self.workbench.trains(run) and not self.workbench.torch_ready
        self._pictures.clear("Loading torch and the data …" if waiting else "No samples yet.")
        self._feed = RunFeed(run, self.post_message)
        self._feed.start()

    # --- What arrives --------------------------------------------------------------------------

    def on_run_changed(self, message: RunChanged) -> None:
        feed = self._feed
        if feed is not None and message.run == feed.run and self.is_current:
            self._look(feed)

    def on_run_unread(self, message: RunUnread) -> None:
        if message.run == self._run:
            self._pictures.clear(clean(str(message.error)))
            self.workbench.complain(message.error)

    def _look(self, feed: RunFeed) -> None:
        """Draw the newest snapshot; while another view is shown, it waits in the mailbox."""
        snapshot = feed.snapshots.take()
        if snapshot is None:
            return
        before, self._snapshot = self._snapshot, snapshot
        facts = self.query_one(Facts)
        facts.trained_here = self.workbench.trains(snapshot.run)
        facts.snapshot = snapshot
        if before is None or (
            (before.curves, before.scores, before.held_out)
            != (snapshot.curves, snapshot.scores, snapshot.held_out)
        ):
            self._chart.show_run(snapshot)
            self._show_heat(snapshot)
        self._log.show_lines(snapshot.log)
        self._show_devices(before, snapshot)
        if not snapshot.previews.ema and snapshot.config["training"]["preview_every"] == 0:
            self._pictures.clear("This run paints no samples while it trains; p paints one now.")
        else:
            self._pictures.show_run(snapshot)
        offered = (facts.trained_here, snapshot.status.state)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _show_heat(self, snapshot: Snapshot | None) -> None:
        heat = self.query_one(HeatStrip)
        known = snapshot is not None and snapshot.curves.knows_timesteps
        self.set_class(known, "-by-t")
        if snapshot is None or not known:
            heat.show(np.empty((0, 0)), (), (0.0, 0.0))
            return
        first, last = self._chart.span
        values = snapshot.curves.loss_by_t(first, last, _HEAT_COLUMNS)
        total = snapshot.config["diffusion"]["num_train_timesteps"]
        labels = [f"{bucket * total // TIMESTEP_BUCKETS:,}" for bucket in range(TIMESTEP_BUCKETS)]
        # Losses differ by orders of magnitude, both over t and over time.
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.where(values > 0, np.log10(values), np.nan)
        heat.show(logarithms, labels, (first, last), lambda value: f"{10**value:.3g}")

    def show_frame(self, picture: PreviewPicture) -> None:
        """A frame of the grid that is being painted in this process."""
        run = self._run
        if run is None or not (self.is_mounted and self.workbench.trains(run)):
            return

        def convert() -> None:
            # Waits for the device, on a thread of its own.
            with sparing_the_training(self.workbench.training):
                pixels = picture.pixels()
            self.app.call_from_thread(show, pixels)

        def show(pixels: Pixels) -> None:
            at = (picture.step, picture.index)
            if run == self._run and self.is_mounted and at > self._frame:
                self._frame = at
                finished = picture.index + 1 >= picture.num_steps
                self._pictures.show_frame(pixels, picture.step, picture.t, finished=finished)

        self.run_worker(convert, thread=True, group="frame", exit_on_error=False)

    def on_news(self, message: TrainingNews) -> None:
        """An event of a training in this process; the feed brings what it means."""
        from engine.events import CheckpointSaved

        if isinstance(message.event, CheckpointSaved) and message.run == self._run:
            event = message.event
            self.notify(
                f"Checkpoint at step {event.step:,}, held-out loss {event.eval_loss:.4f}",
                markup=False,
            )

    def on_grid_history_wanted(self, message: GridHistory.Wanted) -> None:
        if self._feed is not None:
            self._feed.look_at(message.step)

    def _show_telemetry(self, telemetry: Telemetry | None) -> None:
        if telemetry is not None and not self._devices_elsewhere:
            self.query_one(DevicePanel).update(telemetry)

    def _show_devices(self, before: Snapshot | None, snapshot: Snapshot) -> None:
        """Another trainer tells of its own machine and process."""
        status, panel = snapshot.status, self.query_one(DevicePanel)
        trained = status.state in ("running", "paused")
        elsewhere = trained and not self.workbench.trains(snapshot.run)
        if elsewhere != self._devices_elsewhere:
            self._devices_elsewhere = elsewhere
            panel.forget()
            panel.border_title = f"devices of {clean(status.host)}" if elsewhere else "devices"
        fresh = before is None or before.devices is not snapshot.devices
        if elsewhere and fresh and snapshot.devices is not None:
            panel.update(snapshot.devices)

    # --- Keys: the training --------------------------------------------------------------------

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that make no sense now leave the footer."""
        if action in _STEERING and self.workbench.watches:
            return False
        if action in ("toggle_pause", "checkpoint", "preview", "stop"):
            return self._is_trained
        if action in ("resume", "new"):
            return not self.workbench.trains(self._run)
        return True

    @property
    def _is_trained(self) -> bool:
        """Whether there is a trainer to ask: here, or wherever the folder can be reached from."""
        snapshot = self._snapshot
        alive = snapshot is not None and snapshot.status.state in ("running", "paused")
        return alive or self.workbench.trains(self._run)

    def _ask(self, what: Request) -> bool:
        """Pass a request to whoever trains this run, if anybody does."""
        training, run = self.workbench.training, self._run
        if training is not None and self.workbench.trains(run):
            training.request(what)
            self.workbench.show_activity()
            if not self.workbench.torch_ready:
                self.notify("Torch still loads; it is done when the training begins.")
            return True
        if run is None or not self._is_trained:
            return False
        try:
            ask(run, what)
        except EngineError as error:
            self.workbench.complain(error)
            return False
        return True

    def action_toggle_pause(self) -> None:
        training, snapshot = self.workbench.training, self._snapshot
        if training is not None and self.workbench.trains(self._run):
            paused = training.paused
        else:
            paused = snapshot is not None and snapshot.status.state == "paused"
        self._ask("go on" if paused else "pause")

    def action_checkpoint(self) -> None:
        self._ask("checkpoint")

    def action_preview(self) -> None:
        self._ask("preview")

    def action_stop(self) -> None:
        if self._ask("stop"):
            self.notify("Saving a checkpoint, then stopping.")

    def action_new(self) -> None:
        self.workbench.new_run()

    def action_resume(self) -> None:
        if self._run is not None:
            self.workbench.resume_run(self._run)

    def action_sample(self) -> None:
        if self._run is not None:
            self.workbench.sample_run(self._run)

    # --- Keys: the chart and the samples -------------------------------------------------------

    @property
    def _on_pictures(self) -> bool:
        return self._pictures.has_focus

    def action_chart(self) -> None:
        self._chart.cycle()

    def action_zoom(self, times: int) -> None:
        self._chart.zoom_in(times)
        self._show_heat(self._snapshot)

    def action_log_y(self) -> None:
        self._chart.log_y = not self._chart.log_y

    def action_move(self, by: int) -> None:
        if self._on_pictures:
            self._pictures.scrub(by)
        else:
            self._chart.move(by)

    def action_edge(self, index: int) -> None:
        if self._on_pictures:
            self._pictures.scrub_to(index)
            return
        self._chart.jump(to_end=index == -1)
        if index == -1:
            self._pictures.scrub_to(-1)

    def action_scrub(self, by: int) -> None:
        self._pictures.scrub(by)

    def action_weights(self) -> None:
        self._pictures.cycle_weights()

    def action_scroll_log(self, by: int) -> None:
        self._log.scroll_lines(by)

    # --- Keys: one pane alone ------------------------------------------------------------------

    def action_full(self) -> None:
        if self.is_full:
            self.show_all()
        else:
            self.show_alone(self.focused)

    def action_log(self) -> None:
        if self._log.has_class("-alone"):
            self.show_all()
        else:
            self.show_alone(self._log)

    def action_back(self) -> None:
        if self.is_full:
            self.show_all()
        else:
            self._chart.jump(to_end=True)
