"""What the list has no room for, of the run under the cursor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

from ddpm_tui.report import duration, figure
from ddpm_tui.sanitize import clean
from ddpm_tui.views.runs.listing import Row

_LABEL = 10


class Details(Widget):
    """One fact a line where it is tall; one after the other where it is not."""

    DEFAULT_CSS = """
    Details { padding: 0 1; color: $foreground; background: $surface; }
    Details > .details--label { color: $foreground 60%; }
    Details > .details--name { color: $primary; text-style: bold; }
    Details > .details--bad { color: $error; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"details--label", "details--name", "details--bad"}
    ALLOW_SELECT = False

    facts: reactive[tuple[tuple[str, str], ...]] = reactive(())

    def show(self, row: Row | None) -> None:
        """Tell of a run, or of none. Drawn again only when it reads differently."""
        self.facts = () if row is None else tuple(_facts(row))

    def render(self) -> RenderResult:
        width, height = self.content_size
        below = height > 2 * _LABEL
        text = Text(no_wrap=not below, overflow="ellipsis")
        used = 0
        for label, value in self.facts:
            style = {"run": "name", "reason": "bad"}.get(label, "")
            shown = Text(value, self._style(style) if style else "")
            if below:
                text.append(label.ljust(_LABEL), self._style("label"))
                lines = shown.wrap(self.app.console, max(width - _LABEL, 1))
                text.append(Text("\n" + " " * _LABEL).join(lines))
                text.append("\n")
                continue
            piece = Text.assemble((f"{label} ", self._style("label")), shown)
            if label == "run":
                piece = shown
            gap = "" if not used else "  "
            if used and used + len(gap) + piece.cell_len > width:
                gap, used = "\n", 0
            text.append(gap)
            text.append(piece)
            used += len(gap.strip("\n")) + piece.cell_len
        return text

    def _style(self, part: str) -> str:
        return str(self.get_component_rich_style(f"details--{part}"))


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    """What there is to tell, the most wanted first."""
    yield "run", clean(row["name"])
    if row["reason"]:
        yield "reason", clean(row["reason"], 400)
    if row["state"] == "unreadable":
        yield "folder", clean(row["path"])
        return
    if row["notes"]:
        yield "note", clean(row["notes"])
    if row["tags"]:
        yield "tags", clean(" ".join(row["tags"]))
    yield "state", clean(row["state"]) + (", archived" if row["archived"] else "")
    yield "step", f"{row['step']:,} of {row['total_steps']:,}"
    yield "loss", figure(row["loss"])
    yield "held-out", figure(row["eval_loss"])
    yield "network", clean(f"{row['model']} ({row['preset']})")
    yield "data", clean(row["dataset"])
    yield "trained", duration(row["elapsed"])
    if row["images_per_second"]:
        yield "speed", f"{row['images_per_second']:,.0f} images/s"
    yield "created", _day(row["created"])
    yield "folder", clean(row["path"])


def _day(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "–"
