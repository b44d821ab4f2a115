"""What is trained, how far it is, and its figures, in two or three lines that are never cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

from ddpm_tui.feed import Snapshot
from ddpm_tui.report import duration, figure
from ddpm_tui.sanitize import clean

_GOOD = {"running": "good", "finished": "good", "failed": "bad"}
# Whose reason has a line of its own.
_TOLD_IN_FULL = {"failed": "bad", "paused": "attention"}
# On a terminal lower than this, the figures share a line with the progress.
_ROOMY = 22


@dataclass(frozen=True)
class Part:
    """A piece of a line; `weight` says how early it goes when the line is too long, 0 never."""

    text: str
    kind: str = "quiet"
    weight: int = 1


def fitting(parts: Sequence[Part], width: int, gap: int = 2) -> list[Part]:
    """Without the parts that have to go, so that the rest stands whole in `width` cells."""
    kept = [part for part in parts if part.text]
    while kept and sum(cell_len(part.text) + gap for part in kept) - gap > width:
        heaviest = max(part.weight for part in kept)
        if heaviest == 0:
            break
        last = max(i for i, part in enumerate(kept) if part.weight == heaviest)
        del kept[last]
    return kept


class Facts(Widget):
    """The lines on top of the Train view."""

    DEFAULT_CSS = """
    Facts { height: auto; padding: 0 1; }
    Facts > .facts--name { text-style: bold; }
    Facts > .facts--quiet { color: $foreground 65%; }
    Facts > .facts--figure { color: $foreground; }
    Facts > .facts--good { color: $success; text-style: bold; }
    Facts > .facts--attention { color: $warning; text-style: bold; }
    Facts > .facts--bad { color: $error; text-style: bold; }
    Facts > .facts--bar { color: $primary; }
    Facts > .facts--rest { color: $foreground 20%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "facts--name",
        "facts--quiet",
        "facts--figure",
        "facts--good",
        "facts--attention",
        "facts--bad",
        "facts--bar",
        "facts--rest",
    }

    snapshot: reactive[Snapshot | None] = reactive(None)

    trained_here: reactive[bool] = reactive(False)
    """Whether this process trains the run."""

    def watch_snapshot(self, before: Snapshot | None, now: Snapshot | None) -> None:
        """Ask for another height only where it may change: a layout repaints the whole screen."""
        if before is None or now is None or before.status.reason != now.status.reason:
            self.refresh(layout=True)

    def render(self) -> RenderResult:
        snapshot = self.snapshot
        if snapshot is None:
            return ""
        width = self.content_size.width
        lines = [self._line(self._what(snapshot), width)]
        kind = _TOLD_IN_FULL.get(snapshot.status.state)
        if snapshot.status.reason and kind:
            reason = Text()
            self._add(reason, Part(snapshot.status.reason, kind))
            lines += reason.wrap(self.app.console, max(width, 1))[:2]
        if self.screen.size.height >= _ROOMY:
            lines.append(self._line(self._how_far(snapshot), width))
            lines.append(self._line(self._figures(snapshot), width))
        else:
            lines.append(self._line([*self._how_far(snapshot), *self._figures(snapshot)], width))
        return Text("\n").join(lines)

    def _add(self, text: Text, part: Part) -> None:
        style = self.get_component_rich_style(f"facts--{part.kind}", partial=True)
        text.append(clean(part.text), style)

    def _line(self, parts: Sequence[Part], width: int) -> Text:
        text = Text(no_wrap=True)
        for part in fitting(parts, width):
            if text:
                text.append("  ")
            if part.kind == "bar":
                done = part.text.count("━")
                self._add(text, Part("━" * done, "bar"))
                self._add(text, Part("─" * (len(part.text) - done), "rest"))
            else:
                self._add(text, part)
        text.truncate(width, overflow="ellipsis")
        return text

    def _what(self, snapshot: Snapshot) -> list[Part]:
        """run1  running  unet · fashion-mnist  linear, T = 1,000  batch 64  cpu (2 threads)"""
        status, config = snapshot.status, snapshot.config
        diffusion = config["diffusion"]
        state = Part(status.state, _GOOD.get(status.state, "attention"), 0)
        parts = [Part(snapshot.run.name, "name", 0), state]
        if status.state in ("running", "paused") and not self.trained_here:
            parts.append(Part(f"by process {status.pid} on {status.host}", weight=1))
        elif status.reason and status.state not in _TOLD_IN_FULL:
            parts.append(Part(status.reason, weight=2))
        return [
            *parts,
            Part(f"{config['model']['name']} · {config['data']['dataset']}", weight=2),
            Part(status.device, weight=3),
            Part(f"batch {config['data']['batch_size']}", weight=4),
            Part(f"{diffusion['beta_schedule']} T={diffusion['num_train_timesteps']:,}", weight=5),
        ]

    def _how_far(self, snapshot: Snapshot) -> list[Part]:
        """━━━━━──────  365 of 1,500 steps  24 %  3:20 left  144 images/s"""
        status = snapshot.status
        share = min(status.step / status.total_steps, 1.0) if status.total_steps else 0.0
        width = max(10, min(40, self.size.width // 5))
        done = round(share * width)
        if status.state in ("running", "paused") and status.step:
            left = (status.total_steps - status.step) * status.elapsed / status.step
            time = f"{duration(left)} left"
        else:
            time = f"took {duration(status.elapsed)}" if status.elapsed else ""
        speed = status.images_per_second
        return [
            Part("━" * done + "─" * (width - done), "bar", 4),
            Part(f"{status.step:,} of {status.total_steps:,} steps", "name", 0),
            Part(f"{share:.0%}", "figure", 3),
            Part(time, weight=2),
            Part(f"{speed:,.0f} images/s" if speed else "", weight=1),
        ]

    def _figures(self, snapshot: Snapshot) -> list[Part]:
        """loss 0.0550  held-out 0.0561  grad 0.21  lr 0.0029  0 skipped  Fréchet 5.7 …"""
        status, last = snapshot.status, snapshot.curves.last
        parts = [Part(f"loss {figure(status.loss)}", "figure", 0)]
        if status.eval_loss is not None:
            parts.append(Part(f"held-out {figure(status.eval_loss)}", "figure", 3))
        if math.isfinite(last.get("grad_norm", math.nan)):
            parts.append(Part(f"grad {last['grad_norm']:.2f}", weight=4))
        if math.isfinite(last.get("lr", math.nan)):
            parts.append(Part(f"lr {last['lr']:.2g}", weight=5))
        skipped = snapshot.curves.skipped
        parts.append(Part(f"{skipped:,} skipped", "attention" if skipped else "quiet", 5))
        if snapshot.scores:
            score = snapshot.scores[-1]
            floor = "" if score.floor is None else f" (real {score.floor:.2g})"
            parts.append(Part(f"Fréchet {score.frechet:.3g}{floor}", "figure", 5))
        if snapshot.checkpoints:
            count = len(snapshot.checkpoints)
            parts.append(Part(f"saved at {snapshot.checkpoints[-1]:,}, {count} kept", weight=6))
        return parts
