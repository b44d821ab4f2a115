"""The pictures that somebody wanted to find again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ddpm_tui.report import age
from ddpm_tui.sanitize import clean
from ddpm_tui.views.base import for_display
from ddpm_tui.views.dialog import Dialog, DialogScreen, Options
from ddpm_tui.widgets.pixels import PixelGrid
from engine.errors import EngineError
from engine.images import read_png
from engine.runs.folder import Run
from engine.takes.recipe import FromNoise, Recipe
from engine.takes.text import format_origin, format_turn

if TYPE_CHECKING:
    from engine.takes.favourites import Favourite


def words_of(recipe: Recipe) -> str:
    """A take in a line: how it is sampled, where it starts, what is done to it."""
    sampling = recipe.sampling
    parts = [f"step {recipe.checkpoint:,}", sampling.sampler, f"seed {recipe.seed}"]
    parts += [sampling.prompt] if sampling.prompt else []
    if not isinstance(recipe.origin, FromNoise):
        parts.append(f"from {format_origin(recipe.origin)} at strength {recipe.origin.strength:g}")
    parts += [format_turn(turn) for turn in recipe.turns]
    parts += [f"versus {key} {value}" for key, value in recipe.versus.items()]
    return " · ".join(parts)


class Favourites(DialogScreen["Favourite | None"]):
    """Returns the favourite whose take should be performed again, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("j", "move('down')", "Down", show=False),
        Binding("k", "move('up')", "Up", show=False),
        Binding("x,delete", "remove", "Remove"),
    ]
    DEFAULT_CSS = """
    Favourites .dialog { width: 90; height: 90%; }
    Favourites Options { height: 1fr; }
    Favourites PixelGrid { height: 15; }
    Favourites.-short PixelGrid, Favourites.-tiny PixelGrid { display: none; }
    Favourites Static { height: auto; color: $foreground 75%; }
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._of_run = run
        self._kept: list[Favourite] = []

    def compose(self) -> ComposeResult:
        keys = ("enter performs it again", "x removes it", "esc back")
        with Dialog(f"Favourites of {self._of_run.name}", keys):
            yield Static("", id="none", markup=False)
            yield Options()
            yield PixelGrid("")

    def on_mount(self) -> None:
        self._read()
        self.query_one(OptionList).focus()

    def _read(self) -> None:
        from engine.takes.favourites import list_favourites

        try:
            self._kept = list_favourites(self._of_run)[::-1]
        except EngineError as error:
            self._say(str(error))
            return
        empty = "None yet. s in the Sample view keeps the picture that is chosen there."
        self._say("" if self._kept else empty)
        options = self.query_one(OptionList)
        options.clear_options()
        for kept in self._kept:
            told = f"{age(time.time() - kept.added).rjust(4)}  picture {kept.picture} · "
            options.add_option(Option(clean(told + words_of(kept.recipe), 200)))
        if self._kept:
            options.highlighted = 0
        else:
            self.query_one(PixelGrid).clear()

    def _say(self, text: str) -> None:
        said = self.query_one("#none", Static)
        said.update(clean(text))
        said.display = bool(text)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        thumbnail = self._kept[event.option_index].thumbnail
        grid = self.query_one(PixelGrid)
        try:
            pixels = None if thumbnail is None else read_png(thumbnail)[0]
        except EngineError:
            pixels = None
        if pixels is None:
            grid.clear("There is no picture of it.")
        else:
            grid.show(for_display(pixels))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._kept[event.option_index])

    def action_move(self, direction: str) -> None:
        options = self.query_one(OptionList)
        if direction == "down":
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_remove(self) -> None:
        from engine.takes.favourites import remove_favourite

        at = self.query_one(OptionList).highlighted
        if at is None or not self._kept:
            return
        try:
            remove_favourite(self._of_run, self._kept[at])
        except EngineError as error:
            self._say(str(error))
        else:
            self._read()
