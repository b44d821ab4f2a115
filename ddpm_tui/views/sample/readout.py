"""The lines and panes of figures beside the pictures."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.containers import Vertical
from textual.events import Show
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from ddpm_tui.views.sample.recording import Recording
from ddpm_tui.widgets.histogram import Histogram
from ddpm_tui.widgets.pixels import PixelGrid
from engine.runs.scores import Score


class LookPane(PixelGrid):
    """A grid that asks for its picture when it comes into sight."""

    class Exposed(Message):
        """It can be seen from now on."""

    def on_show(self, _event: Show) -> None:
        self.post_message(self.Exposed())


class Readout(Widget):
    """Figures in one line; in two where it has two."""

    DEFAULT_CSS = """
    Readout { height: 1; padding: 0 1; }
    """

    parts: reactive[tuple[str, str]] = reactive(("", ""))

    def render(self) -> RenderResult:
        text = Text(no_wrap=True, overflow="ellipsis")
        between = "\n" if self.size.height > 1 else " · "
        return text.append(between.join(part for part in self.parts if part))


class Figures(Vertical):
    """Statistics and histogram of x_t, and the evaluation of the checkpoint."""

    DEFAULT_CSS = """
    Figures {
        display: none; width: 32; margin-left: 1;
        border-top: solid $foreground 25%; border-title-color: $foreground 80%;
    }
    Figures Static { height: auto; padding: 0 1 1 1; }
    """
    BORDER_TITLE = "values of x_t · dots: normal"

    def compose(self) -> ComposeResult:
        yield Static("", id="statistics", markup=False)
        yield Histogram()

    def show(self, recording: Recording, index: int, score: Score | None) -> None:
        """The figures of a frame, and those of the checkpoint where it was evaluated."""
        figures = recording.statistics(index)
        rows = [
            ("mean", f"{figures.mean:+.3f}"),
            ("std", f"{figures.std:.3f}"),
            ("lowest", f"{figures.low:+.3f}"),
            ("highest", f"{figures.high:+.3f}"),
            ("beyond ±1", f"{figures.clipped:.1%}"),
        ]
        if score is not None:
            rows.append(("Fréchet", f"{score.frechet:.3g}"))
            if score.floor is not None:
                rows.append(("of real", f"{score.floor:.3g}"))
        told = "\n".join(f"{name:<12}{value:>8}" for name, value in rows)
        if score is not None:
            told += f"\nby {score.sampling}\nn = {score.n:,}"
        self.query_one("#statistics", Static).update(told.replace("-", "−"))
        self.query_one(Histogram).show(recording.values(index).numpy())
