"""The keys of pictures in a view that has some."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from textual.app import ComposeResult
from textual.reactive import reactive

from ddpm_tui.keys import KEYS, KeyTable
from ddpm_tui.preferences import Preferences
from ddpm_tui.shell import Shell
from ddpm_tui.views.pictures import PictureView
from ddpm_tui.widgets.pixels import PixelGrid
from engine.errors import ConfigError


class Gallery(PictureView):
    VIEW = "train"

    def body(self) -> ComposeResult:
        for name in ("one", "other"):
            yield PixelGrid(id=name)

    def on_mount(self) -> None:
        frame = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
        for grid in self.query(PixelGrid):
            grid.show(frame)
            grid.entitle("samples")


class Pictures(Shell):
    MODES: ClassVar[Any] = {"train": Gallery}
    activity: reactive[str] = reactive("")

    def on_mount(self) -> None:
        self.switch_mode("train")


def titles(app: Pictures) -> set[str]:
    return {str(grid.border_title) for grid in app.screen.query(PixelGrid)}


async def test_keys_page_zoom_and_pan_all_pictures_in_step() -> None:
    app = Pictures(Preferences())
    async with app.run_test(size=(28 * 4 + 3, 32)) as pilot:
        await pilot.pause()
        one = app.screen.query_one("#one", PixelGrid)
        assert titles(app) == {"samples · showing 4 of 10 · } more"}
        await pilot.press("}", "}")
        assert titles(app) == {"samples · showing 2 of 10 · } more · page 3/3"}
        await pilot.press("{", "{")
        assert titles(app) == {"samples · showing 4 of 10 · } more"}
        await pilot.press("<")
        assert titles(app) == {"samples"}, "all of them"
        await pilot.press("<", ">", ">")
        assert one.arrangement.partial
        at = one.arrangement.cut
        await pilot.press("shift+down")
        assert one.arrangement.cut[1] > at[1]
        await pilot.press("shift+up", "shift+up", "shift+up", "shift+up")
        assert one.arrangement.cut[1] == 0
        await pilot.press("Z")
        assert titles(app) == {"samples · showing 4 of 10 · } more"}


async def test_the_title_tells_the_key_that_a_person_has_for_it() -> None:
    with pytest.raises(ConfigError, match=r"train\.weights"):
        KeyTable(KEYS, {"pictures.next": "e"})
    table = KeyTable(KEYS, {"pictures.next": "f7"})
    app = Pictures(Preferences(key_table=table))
    async with app.run_test(size=(28 * 4 + 3, 32)) as pilot:
        await pilot.pause()
        assert titles(app) == {"samples · showing 4 of 10 · f7 more"}
        await pilot.press("f7")
        assert titles(app) == {"samples · showing 4 of 10 · f7 more · page 2/3"}
