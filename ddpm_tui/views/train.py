"""The Train view: loss, samples, devices and log of one run, live; keys to steer it."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from ddpm_tui import keys
from ddpm_tui.feed import RunChanged, RunFeed, Snapshot
from ddpm_tui.report import duration, figure
from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import View, for_display
from ddpm_tui.widgets.chart import LineChart, Series
from ddpm_tui.widgets.gauges import DevicePanel
from ddpm_tui.widgets.pixels import PixelGrid
from ddpm_tui.worker import PreviewPicture, TrainingNews
from engine.runs.folder import Run
from engine.telemetry import Telemetry

NOTHING = "No run is open. n trains a new one, 1 lists the runs."


class Facts(Widget):
    """Two lines: what is trained, and how far it is."""

    DEFAULT_CSS = """
    Facts { height: 2; padding: 0 1; }
    Facts > .facts--name { text-style: bold; }
    Facts > .facts--quiet { color: $foreground 65%; }
    Facts > .facts--good { color: $success; text-style: bold; }
    Facts > .facts--attention { color: $warning; text-style: bold; }
    Facts > .facts--bad { color: $error; text-style: bold; }
    Facts > .facts--bar { color: $primary; }
    Facts > .facts--rest { color: $foreground 20%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "facts--name",
        "facts--quiet",
        "facts--good",
        "facts--attention",
        "facts--bad",
        "facts--bar",
        "facts--rest",
    }
    _STATE = {  # noqa: RUF012
        "running": "good",
        "finished": "good",
        "paused": "attention",
        "stopped": "attention",
        "failed": "bad",
    }

    snapshot: reactive[Snapshot | None] = reactive(None)

    def render(self) -> RenderResult:
        if self.snapshot is None:
            return ""
        lines = self._what(self.snapshot), self._how_far(self.snapshot)
        for line in lines:
            line.truncate(self.content_size.width, overflow="ellipsis")
        return Text("\n").join(lines)

    def _add(self, text: Text, part: str, kind: str) -> None:
        text.append(clean(part), self.get_component_rich_style(f"facts--{kind}", partial=True))

    def _what(self, snapshot: Snapshot) -> Text:
        """run1  running  unet · fashion-mnist · linear T=1000 · batch 64 · cpu (2 threads)"""
        text, status, config = Text(), snapshot.status, snapshot.config
        self._add(text, snapshot.run.name, "name")
        self._add(text, f"  {status.state}", self._STATE.get(status.state, "quiet"))
        if status.reason:
            self._add(text, f": {status.reason}", "quiet")
        diffusion = config["diffusion"]
        parts = (
            config["model"]["name"],
            config["data"]["dataset"],
            f"{diffusion['beta_schedule']} T={diffusion['num_train_timesteps']}",
            f"batch {config['data']['batch_size']}",
            status.device,
        )
        self._add(text, "  " + " · ".join(part for part in parts if part), "quiet")
        return text

    def _how_far(self, snapshot: Snapshot) -> Text:
        """━━━━━━ 365/1,500 24%  144 images/s  3:20 left  loss 0.0550 …"""
        text, status = Text(), snapshot.status
        share = status.step / status.total_steps if status.total_steps else 0.0
        width = max(8, min(40, self.size.width // 6))
        done = round(share * width)
        self._add(text, "━" * done, "bar")
        self._add(text, "━" * (width - done), "rest")
        self._add(text, f" {status.step:,}/{status.total_steps:,} {share:.0%}", "name")
        for part in self._figures(snapshot):
            self._add(text, f"  {part}", "quiet")
        return text

    def _figures(self, snapshot: Snapshot) -> list[str]:
        status, last = snapshot.status, snapshot.last
        figures = []
        if status.images_per_second:
            figures.append(f"{status.images_per_second:,.0f} images/s")
        if status.state in ("running", "paused") and status.step:
            left = (status.total_steps - status.step) * status.elapsed / status.step
            figures.append(f"{duration(left)} left")
        elif status.elapsed:
            figures.append(f"took {duration(status.elapsed)}")
        figures.append(f"loss {figure(status.loss)}")
        if status.eval_loss is not None:
            figures.append(f"held-out {figure(status.eval_loss)}")
        if math.isfinite(last.get("grad_norm", math.nan)):
            figures.append(f"lr {last['lr']:.2g}  grad {last['grad_norm']:.2f}")
        if snapshot.checkpoints:
            figures.append(f"checkpoints {', '.join(map(str, snapshot.checkpoints))}")
        return figures


class TrainView(View):
    """One run, live."""

    VIEW = "train"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("train")]

    DEFAULT_CSS = """
    TrainView #panes { height: 1fr; }
    TrainView #left { width: 1fr; }
    TrainView #right { width: 1fr; }
    TrainView .pane {
        border: round $foreground 25%;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
    }
    TrainView #chart { height: 1fr; }
    TrainView #devices { padding: 0 1; max-height: 12; }
    TrainView #log {
        height: 7; color: $foreground 60%; padding: 0 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    TrainView.-narrow #log { display: none; }
    TrainView.-narrow #devices { max-height: 6; }
    TrainView.-empty #panes, TrainView.-empty Facts { display: none; }
    TrainView #nothing { display: none; padding: 2 4; }
    TrainView.-empty #nothing { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._feed: RunFeed | None = None
        self._painting = False

    def body(self) -> ComposeResult:
        yield Facts()
        yield Static(NOTHING, id="nothing")
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                chart = LineChart(
                    message="The loss appears with the first steps.", id="chart", classes="pane"
                )
                chart.border_title = "loss"
                chart.log_y = True
                yield chart
                devices = DevicePanel(id="devices", classes="pane")
                devices.border_title = "devices"
                yield devices
                log = Static("", id="log", classes="pane", markup=False)
                log.border_title = "log"
                yield log
            grid = PixelGrid(
                "The first samples are painted in a moment.", id="grid", classes="pane"
            )
            grid.border_title = "samples"
            with Vertical(id="right"):
                yield grid

    @property
    def _run(self) -> Run | None:
        return self._feed.run if self._feed else None

    def on_mount(self) -> None:
        self.watch(self.app, "telemetry", self._show_telemetry)

    def on_screen_resume(self) -> None:
        run = self.workbench.current_run
        self.set_class(run is None, "-empty")
        if run is not None and run != self._run:
            self._watch(run)

    def on_unmount(self) -> None:
        if self._feed is not None:
            self._feed.close()

    def _watch(self, run: Run) -> None:
        """Follow another run from now on."""
        if self._feed is not None:
            self._feed.close()
        self._painting = False
        self.query_one(Facts).snapshot = None
        self.query_one(LineChart).set_series([])
        waiting = self.workbench.trains(run) and not self.workbench.torch_ready
        self.query_one(PixelGrid).clear(
            "Loading torch and the data …" if waiting else "No samples yet."
        )
        self._feed = RunFeed(run, self.post_message)
        self._feed.start()

    # --- What arrives --------------------------------------------------------------------------

    def on_run_changed(self, message: RunChanged) -> None:
        snapshot = message.snapshot
        if snapshot.run != self._run:
            return
        self.query_one(Facts).snapshot = snapshot
        self.query_one(LineChart).set_series(
            [
                Series("raw", snapshot.steps, snapshot.losses, "primary", dim=True),
                Series("smoothed", snapshot.smooth_steps, snapshot.smooth_losses, "primary"),
            ]
        )
        log = self.query_one("#log", Static)
        room = max(log.content_size.height, 1)
        log.update("\n".join(clean(line, 300) for line in snapshot.log[-room:]))
        if snapshot.grid is not None and not self._painting:
            grid = self.query_one(PixelGrid)
            grid.show(for_display(snapshot.grid))
            grid.border_title = f"samples at step {snapshot.grid_step:,}"
        self.refresh_bindings()

    def show_frame(self, picture: PreviewPicture) -> None:
        """A frame of the grid that is being painted in this process."""
        if not (self.is_mounted and self.workbench.trains(self._run)):
            return
        self._painting = picture.index + 1 < picture.num_steps
        grid = self.query_one(PixelGrid)
        grid.offer(for_display(picture.pixels))
        grid.border_title = (
            f"painting step {picture.step:,}: t = {picture.t}"
            if self._painting
            else f"samples at step {picture.step:,}"
        )

    def on_news(self, message: TrainingNews) -> None:
        """An event of a training in this process; the feed brings what it means."""
        from engine.events import CheckpointSaved

        if isinstance(message.event, CheckpointSaved) and message.run == self._run:
            event = message.event
            self.notify(
                f"Checkpoint at step {event.step:,}, held-out loss {event.eval_loss:.4f}",
                markup=False,
            )

    def _show_telemetry(self, telemetry: Telemetry | None) -> None:
        if telemetry is not None:
            self.query_one(DevicePanel).update(telemetry)

    # --- Keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that make no sense now leave the footer."""
        trained_here = self.workbench.trains(self._run)
        if action in ("toggle_pause", "checkpoint", "preview", "stop"):
            return trained_here
        if action in ("resume", "new"):
            return not trained_here
        return True

    def _ask(self, what: str) -> bool:
        """Pass a request to the training; say so when this run is not trained here."""
        training = self.workbench.training
        if training is None or not self.workbench.trains(self._run):
            return False
        training.request(what)
        self.workbench.show_activity()
        return True

    def action_toggle_pause(self) -> None:
        training = self.workbench.training
        paused = training is not None and training.paused
        self._ask("go on" if paused else "pause")

    def action_checkpoint(self) -> None:
        self._ask("checkpoint")

    def action_preview(self) -> None:
        self._ask("preview")

    def action_stop(self) -> None:
        if self._ask("stop"):
            self.notify("Saving a checkpoint, then stopping.")

    def action_log_y(self) -> None:
        chart = self.query_one(LineChart)
        chart.log_y = not chart.log_y

    def action_new(self) -> None:
        self.workbench.new_run()

    def action_resume(self) -> None:
        if self._run is not None:
            self.workbench.resume_run(self._run)

    def action_sample(self) -> None:
        if self._run is not None:
            self.workbench.sample_run(self._run)
