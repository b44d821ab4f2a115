"""Every dialog can be used at every size of the screen, also when that changes while it is open.

One table says how each dialog is opened; a dialog without a row in it fails the first test.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static

import ddpm_tui.views
from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import rows_of
from ddpm_tui.views.copied import SentToClipboard
from ddpm_tui.views.form import FormRow
from ddpm_tui.views.forward import schedule_form
from ddpm_tui.views.forward.choose import ChooseNetwork
from ddpm_tui.views.forward.schedules import PLAIN, Pair
from ddpm_tui.views.going_on import Palette
from ddpm_tui.views.help import HelpScreen
from ddpm_tui.views.inspect.chooser import ChooseRun
from ddpm_tui.views.jump import JumpLabel, panes
from ddpm_tui.views.leave import Leave
from ddpm_tui.views.new_run import NewRun
from ddpm_tui.views.runs.prompt import Prompt
from ddpm_tui.views.sample import forms
from ddpm_tui.views.sample.favourites import Favourites
from ddpm_tui.views.sample.painter import MaskPainter
from ddpm_tui.views.sample.settings import RunOffer, SampleSettings
from ddpm_tui.widgets.choice import Choice
from ddpm_tui.widgets.sheet import Sheet
from engine.config import SamplingConfig, make_config
from engine.runs.folder import Run, create_run
from engine.takes.favourites import add_favourite
from engine.takes.recipe import Recipe
from tests.tui.test_workbench import until

SMALL, USUAL, LARGE = (40, 12), (80, 24), (120, 40)
# As long as a name may be.
LONG_NAME = "a-run-with-a-long-name".ljust(64, "-")
RUNS = 30


@dataclass(frozen=True)
class Place:
    """What dialogs are opened over.

    Attributes:
        runs: newest first; the newest has class labels, checkpoints and favourites.
    """

    app: Workbench
    runs: tuple[Run, ...]

    @property
    def settings(self) -> SampleSettings:
        offer = RunOffer.read(self.runs[0])
        return SampleSettings(offer.defaults(quick=False), self.runs, self.app.runs_dir)

    @property
    def take(self) -> forms.Place:
        recipe = Recipe(self.runs[0].name, 100, SamplingConfig(), 0)
        return forms.Place(recipe, 5, 500, 2, ("bag", "coat", "dress"), lambda _: None)


# The class of a dialog, or the function that makes its form -> how it is opened.
DIALOGS: dict[str, Callable[[Place], ModalScreen[Any]]] = {
    "NewRun": lambda at: NewRun(at.app.runs_dir, None, free=lambda: False),
    "Leave": lambda _: Leave(LONG_NAME),
    "HelpScreen": lambda at: HelpScreen("sample", at.app.key_table),
    "Palette": lambda _: Palette(id="--command-palette"),
    "ChooseRun": lambda at: ChooseRun(at.runs, at.runs[-1]),
    "ChooseNetwork": lambda at: ChooseNetwork(at.app.runs_dir, None, at.runs[-1]),
    "SampleSettings": lambda at: at.settings,
    "Favourites": lambda at: Favourites(at.runs[0]),
    "MaskPainter": lambda _: MaskPainter(np.zeros((1, 28, 28), np.uint8)),
    "schedule_form.ask": lambda at: schedule_form.ask(Pair(PLAIN[0], PLAIN[1]), at.runs),
    "SentToClipboard": lambda _: SentToClipboard(f"ddpm-tui take {LONG_NAME} --seed 3"),
    "forms.ask": lambda at: forms.ask(at.take),
    "forms.renoise": lambda at: forms.renoise(at.take, 1000),
    "forms.branch": lambda at: forms.branch(at.take),
    "forms.start": lambda at: forms.start(at.take, "samples.png"),
    "forms.compare": lambda at: forms.compare(at.take, (100, 50)),
}
MORE_FORMS = ("schedule_form.ask", "forms.ask", "forms.renoise", "forms.branch", "forms.compare")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with all that a dialog can offer; there are no weights."""
    folder = tmp_path_factory.mktemp("dialogs") / "runs"
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k"},
        model={"class_conditional": True},
    )
    for number in range(RUNS):
        name = LONG_NAME if number == RUNS - 1 else f"run{number}"
        run = create_run(folder, config, name=name, command=["ddpm-tui", "train"])
        for step in (50, 100):
            checkpoint = run.checkpoints_path / f"step-{step:08d}"
            checkpoint.mkdir(parents=True)
            state = {"step": step, "eval_loss": 0.1, "elapsed": 1.0, "image_shape": [1, 28, 28],
                     "class_names": ["bag", "coat", "dress"], "parameters": 1}  # fmt: skip
            (checkpoint / "state.json").write_text(json.dumps(state))
            (checkpoint / "MANIFEST.json").write_text('{"sha256": {}}')
    for seed in range(20):
        recipe = Recipe(run.name, 100, SamplingConfig(), seed)
        add_favourite(run, recipe, 0, np.zeros((1, 28, 28), np.uint8))
    return folder


@pytest.fixture
def place(runs_dir: Path) -> Place:
    names = [LONG_NAME, *(f"run{number}" for number in reversed(range(RUNS - 1)))]
    app = Workbench(runs_dir, reads_devices=False)
    return Place(app, tuple(Run(runs_dir / name) for name in names))


# --- What a person can see -----------------------------------------------------------------------


def seen(widget: Widget) -> Region:
    """What can be seen of a widget, where its containers and the screen end."""
    return widget.screen.find_widget(widget).visible_region


def whole(widget: Widget) -> bool:
    """Whether nothing of a widget is cut off, and nothing lies over it."""
    region, screen = widget.region, widget.screen
    if not region.area or seen(widget) != region:
        return False
    corners = (region.offset, region.bottom_right - (1, 1))
    return all(widget in screen.get_widget_at(x, y)[0].ancestors_with_self for x, y in corners)


def text_of(app: Workbench) -> str:
    return "\n".join(strip.text for strip in rows_of(app))


def problems(app: Workbench) -> Iterator[str]:
    """What is wrong with the dialog that is open, as it is shown now."""
    screen = app.screen
    focused = screen.focused
    if isinstance(focused, OptionList):
        if seen(focused).height < 3:
            yield f"{seen(focused).height} rows of the list are seen"
        option = focused.highlighted_option
        words = str(option.prompt).split() if option else []
        if not isinstance(screen, Palette) and not set(words) <= set(text_of(app).split()):
            yield f"{option!r} is highlighted and not in sight"
    elif focused is not None and not whole(focused):
        yield f"{focused!r} has the focus and is not in sight: {seen(focused)}"
    elif isinstance(focused, Input | Choice):
        if seen(focused).width < 12:
            yield f"{focused!r} shows {seen(focused).width} cells of what is typed"
        if isinstance(focused.parent, FormRow) and not whole(focused.parent):
            yield f"the label of {focused!r} is not in sight"
    for sheet in screen.query(Sheet):
        if seen(sheet).height < 3:
            yield f"{seen(sheet).height} rows of the sheet are seen"
    for button in screen.query(Button):
        if button.display and not whole(button):
            yield f"{button!r} is not in sight"
    for problem in screen.query("#problem"):
        if problem.display and problem.region.area and not whole(problem):
            yield "what is wrong is not in sight"
    # The palette is Textual's, where escape is common knowledge.
    if "esc" not in text_of(app) and not screen.query("Leave #stay, #--input"):
        yield "no key is shown that leads back"
    for frame in screen.query(".dialog"):
        shown = [child for child in frame.children if child.display and child.region.area]
        for one, other in combinations(shown, 2):
            if one.region.overlaps(other.region):
                yield f"{one!r} and {other!r} overlap"


async def look(pilot: Pilot[None], app: Workbench, where: str) -> list[str]:
    await pilot.pause()
    width, height = app.size
    return [f"{where} at {width}x{height}: {problem}" for problem in problems(app)]


async def resize(pilot: Pilot[None], app: Workbench, size: tuple[int, int]) -> None:
    await pilot.resize_terminal(*size)
    assert app.size == size


# --- The tests -----------------------------------------------------------------------------------


def dialogs_of_the_product() -> set[str]:
    """The dialogs by class, those that are a form by the function that makes it."""
    found = set()
    for module in pkgutil.walk_packages(ddpm_tui.views.__path__, "ddpm_tui.views."):
        for name, member in vars(import_module(module.name)).items():
            if getattr(member, "__module__", "") != module.name:
                continue
            if inspect.isclass(member) and issubclass(member, ModalScreen):
                found.add(name)
            elif inspect.isfunction(member):
                answer = str(member.__annotations__.get("return", ""))
                if answer.startswith("Question["):
                    found.add(f"{module.name.rpartition('.')[2]}.{name}")
    return found


def test_every_dialog_has_a_row() -> None:
    # What forms are, and what the others are made of.
    assert set(DIALOGS) == dialogs_of_the_product() - {"Question", "DialogScreen"}


@asynccontextmanager
async def opened(place: Place, name: str) -> AsyncIterator[tuple[Pilot[None], ModalScreen[Any]]]:
    """A dialog on a large screen. At the end, on a small one, escape leads back."""
    app = place.app
    async with app.run_test(size=LARGE) as pilot:
        below = app.screen
        dialog = DIALOGS[name](place)
        await app.push_screen(dialog)
        await until_filled(pilot, dialog)
        yield pilot, dialog
        await resize(pilot, app, SMALL)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is below


@pytest.mark.parametrize(
    "name",
    [
        # Forms as those of the other rows.
        pytest.param(name, marks=pytest.mark.slow) if name in MORE_FORMS else name
        for name in DIALOGS
    ],
)
async def test_every_field_is_reached_by_tab_and_seen_with_the_buttons(
    place: Place, name: str
) -> None:
    app, wrong = place.app, []
    async with opened(place, name) as (pilot, dialog):
        fields = list(dialog.focus_chain)
        reached = set()
        for size in (SMALL, USUAL):
            await resize(pilot, app, size)
            for _ in fields or [None]:
                wrong += await look(pilot, app, f"{dialog.focused!r}")
                reached.add(dialog.focused)
                await pilot.press("tab")
        if name not in ("HelpScreen", "Palette", "ChooseRun"):  # whose lists follow the one field
            assert reached >= set(fields)
        for size in (LARGE, SMALL, USUAL, SMALL, LARGE):
            await resize(pilot, app, size)
            wrong += await look(pilot, app, f"resized, {dialog.focused!r}")
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.slow
@pytest.mark.parametrize("name", DIALOGS)
async def test_whatever_has_the_focus_stays_in_sight_while_the_size_changes(
    place: Place, name: str
) -> None:
    app, wrong = place.app, []
    async with opened(place, name) as (pilot, dialog):
        for field in list(dialog.focus_chain) or [None]:
            dialog.set_focus(field)
            for size in (SMALL, USUAL, SMALL, LARGE):
                await resize(pilot, app, size)
                wrong += await look(pilot, app, f"resized, {field!r}")
                assert dialog.focused is field
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.parametrize(
    ("name", "field", "text"),
    [
        ("NewRun", "name", "../x"),
        ("NewRun", "lr", "x"),
        ("SampleSettings", "prompt", "zebra"),
        ("forms.branch", "copies", "x"),
        ("schedule_form.ask", "b-end", "x"),
    ],
)
async def test_what_is_typed_and_what_is_wrong_with_it_are_seen(
    place: Place, name: str, field: str, text: str
) -> None:
    app = place.app
    async with opened(place, name) as (pilot, dialog):
        await resize(pilot, app, SMALL)
        box = dialog.query_one(f"#{field}", Input)
        box.focus()
        await pilot.press(*["backspace"] * len(box.value), *text, "enter")
        for size in (SMALL, USUAL, SMALL):
            await resize(pilot, app, size)
            assert not await look(pilot, app, name)
            problem = str(dialog.query_one("#problem", Static).render())
            assert problem and " ".join(problem.split()[:3]) in " ".join(
                text_of(app).replace("│", " ").split()
            )
            assert text in text_of(app)


async def test_a_line_below_the_list_shows_what_is_typed(place: Place) -> None:
    app = place.app
    async with app.run_test(size=SMALL) as pilot:
        await until(lambda: "a-run" in text_of(app), pilot)
        for key in ("slash", "t", "m", "R"):
            await pilot.press(key)
            box = app.screen.query_one(Prompt).query_one(Input)
            assert box.has_focus, key
            for size in (LARGE, SMALL, USUAL, SMALL):
                await resize(pilot, app, size)
                assert not [text for text in await look(pilot, app, key) if "esc" not in text]
                assert whole(box) and box.region.width >= 12
            await pilot.press("escape")


async def test_the_field_for_a_timestep_is_seen(place: Place) -> None:
    app = place.app
    app.current_run = place.runs[0]
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("5", "right")
        await until(lambda: "β" in text_of(app) or "alpha" in text_of(app), pilot)
        await pilot.press("g")
        box = app.screen.query_one("#go-to", Input)
        for size in (LARGE, SMALL, USUAL, SMALL):
            await resize(pilot, app, size)
            assert box.has_focus and whole(box)
        await pilot.press("escape")
        assert not box.has_focus


async def test_the_letters_of_a_jump_go_where_their_panes_go(place: Place) -> None:
    app = place.app
    app.current_run = place.runs[0]
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("2", "semicolon")
        for size in (SMALL, USUAL, LARGE):
            await resize(pilot, app, size)
            await pilot.pause()
            shown = {label.region.offset for label in app.screen.query(JumpLabel) if label.display}
            there = {pane.region.offset for pane in panes(app.screen)}
            assert shown and shown <= there
        await pilot.press("escape")
        assert not app.screen.query(JumpLabel)


async def until_filled(pilot: Pilot[None], dialog: ModalScreen[Any]) -> None:
    """Wait for what a list gets from a worker."""
    for options in dialog.query(OptionList):
        if isinstance(dialog, Palette):
            await pilot.press(*"save")
        await until(lambda options=options: options.option_count > 0, pilot)
