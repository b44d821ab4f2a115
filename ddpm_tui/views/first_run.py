"""What a newcomer sees: one key, and a first model learns to draw before their eyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

from ddpm_tui.keys import KeyTable
from ddpm_tui.sanitize import clean

if TYPE_CHECKING:
    from engine.config import RunConfig

# Previews are cheap enough that the trainer leaves out those that would cost too much time.
_PREVIEW_EVERY = 20
FIRST_COMMAND = ["ddpm-tui", "train", "--set", f"training.preview_every={_PREVIEW_EVERY}"]


def first_config(data_dir: Path | None) -> RunConfig:
    """The default preset on the largest data set that is here, with a preview every few steps."""
    # Not at the top: the first paint does not need them.
    from engine.config import make_config
    from engine.data import SOURCES, default_dataset

    name = default_dataset(data_dir)
    return make_config(
        dataset_size=SOURCES[name].train_count,
        data={"dataset": name},
        training={"preview_every": _PREVIEW_EVERY},
    )


class FirstRun(Static):
    """In place of an empty list."""

    DEFAULT_CSS = """
    FirstRun { height: 1fr; padding: 1 3; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("Reading the runs …", id=id, markup=False)

    def welcome(self, runs_dir: Path, table: KeyTable) -> None:
        """Say what is here and what to press."""
        text = Text()
        text.append("No runs yet. A diffusion model learns to turn noise into pictures.\n\n")
        actions = (
            ("runs.open", "watch a first model learn to draw pictures of clothing"),
            ("runs.new", "choose network, data and length first; see what it costs"),
            ("app.forward", "look at real pictures turning into noise"),
            ("app.keys", "all keys, and what the words mean"),
            ("app.leave", "quit; asks first when something would be lost"),
        )
        for id, what in actions:
            text.append(f"  {table[id].display:<8}", "bold")
            text.append(f"{what}\n", "bold" if id == "runs.open" else "")
        folder = clean(str(runs_dir.resolve()))
        text.append("\nWhile it learns, a grid of samples is painted from the same noise over ")
        text.append("and over. It needs no GPU; one makes it quicker.\n")
        text.append(f"\nA run is a folder in {folder}; it keeps config, checkpoints and pictures.")
        self.update(text)
