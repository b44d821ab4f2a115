"""The Runs view by keys and mouse, on made-up folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ddpm_tui.app import Workbench
from ddpm_tui.screenshot.files import rows_of
from ddpm_tui.views.runs import RunsView, choosing
from ddpm_tui.views.runs.columns import fitting
from ddpm_tui.views.runs.details import Details
from ddpm_tui.views.runs.prompt import Prompt
from ddpm_tui.views.runs.run_list import RunList
from ddpm_tui.views.train import TrainView
from engine.config import RunConfig, to_toml
from engine.runs import keeping
from engine.runs.folder import Run
from tests.engine.made_up_runs import make_run, make_runs
from tests.one_quick import one_quick
from tests.tui.test_workbench import until


class Hands:
    """Somebody at the Runs view."""

    def __init__(self, app: Workbench, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot
        assert isinstance(app.screen, RunsView)
        self.view = app.screen
        self.list = app.screen.query_one(RunList)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*(("space" if character == " " else character) for character in text))

    async def listed(self, *names: str) -> None:
        """Wait until these runs are listed, in this order."""
        await until(lambda: self.names == list(names), self.pilot, 20)

    @property
    def names(self) -> list[str]:
        return [row["name"] for row in self.view.listing.shown]

    @property
    def text(self) -> str:
        return "\n".join(strip.text for strip in rows_of(self.app))

    def row(self, name: str) -> str:
        """The line of a run as it is on the screen."""
        return next(line for line in self.text.splitlines() if line[1:].split()[:1] == [name])

    @property
    def where(self) -> str:
        return str(self.view.query_one("#where", Static).render())

    @property
    def told(self) -> str:
        return "\n".join(note.message for note in self.app._notifications)


@asynccontextmanager
async def at(runs_dir: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Hands]:
    app = Workbench(runs_dir, reads_devices=False)
    async with app.run_test(size=size, notifications=True) as pilot:
        hands = Hands(app, pilot)
        await until(lambda: bool(hands.view.listing.rows), pilot, 20)
        await pilot.pause()
        yield hands


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    make_run(folder, "one", 1, loss=0.3, tags=["base"])
    make_run(folder, "two", 2, loss=0.1, state="failed", reason="CUDA out of memory")
    make_run(folder, "three", 3, loss=0.2, notes="the one with the long warm-up")
    return folder


# --- Many runs ---


@pytest.mark.slow
async def test_of_many_runs_only_those_that_are_seen_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "runs", "real")
    read: list[str] = []
    monkeypatch.setattr(choosing, "tail_losses", lambda path: read.append(path.parent.name) or [])
    async with at(tmp_path / "runs") as hands:
        (row,) = hands.view.listing.rows
        many = [{**row, "name": f"run{i}", "updated": float(i)} for i in range(10_000)]
        made: list[str] = []
        cells = hands.list._cells
        monkeypatch.setattr(
            hands.list, "_cells", lambda row: made.append(row["name"]) or cells(row)
        )
        read.clear()
        monkeypatch.setattr(hands.view._index, "rows", lambda _seconds: many)
        await until(lambda: hands.view.listing.rows is many, hands.pilot, 20)
        await hands.pilot.pause()
        high = hands.list.rows_high
        assert set(made) == {f"run{i}" for i in range(high)}
        await until(lambda: set(read) == set(made), hands.pilot, 20)
        made.clear()
        await hands.press("end")
        assert {f"run{i}" for i in range(10_000 - high, 10_000)} <= set(made)
        assert len(set(made)) <= 2 * high, "what is scrolled over is not made"
        assert "run9999" in hands.text
        await until(lambda: read[-1] == "run9999", hands.pilot, 20)
        assert len(set(read)) <= 2 * high
        made.clear()
        await hands.press("slash")
        await hands.type("name:7$ -1")
        assert hands.names[:3] == ["run7", "run27", "run37"]
        assert len(made) < 30 * high


async def test_nothing_is_drawn_again_while_nothing_happens(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("down")
        drawn: list[int] = []
        render = hands.list.render_line
        hands.list.render_line = lambda y: drawn.append(y) or render(y)  # type: ignore[method-assign]
        for _ in range(3):
            hands.view.on_runs_listed(choosing.RunsListed(list(hands.view.listing.rows), 0.0))
            await hands.pilot.pause()
        assert drawn == []
        await hands.press("down")
        assert sorted(drawn) == [2, 3], "the line that the cursor leaves and the one it goes to"


async def test_the_list_follows_after_a_look_at_another_view(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("2", "1")
        status = runs / "one" / "status.json"
        status.write_text(json.dumps({**json.loads(status.read_text()), "state": "stopped"}))
        await until(lambda: "stopped" in hands.row("one"), hands.pilot, 20)


# --- Finding ---


async def test_a_filter_works_while_one_types_and_survives_a_bad_word(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("slash")
        await hands.type("loss:<0.25")
        assert hands.names == ["three", "two"]
        await hands.type(" (")
        assert hands.names == ["three", "two"], "the last good one holds"
        assert "'(' is not a regular expression" in hands.text
        await hands.press("enter")
        assert hands.view.query_one(Prompt).is_open, "it is not taken like this"
        await hands.press("backspace", "backspace")
        assert "regular expression" not in hands.text
        await hands.press("down", "enter")
        assert not hands.view.query_one(Prompt).is_open
        assert hands.list.chosen == "two", "arrows go to the list"
        assert "2 of 3 runs" in hands.where
        assert "filter loss:<0.25" in hands.where
        await hands.press("slash")
        await hands.type(" nothing")
        assert "No run matches" in hands.text
        await hands.press("escape")
        assert hands.names == ["three", "two", "one"]
        assert hands.list.has_focus


async def test_a_megabyte_in_the_filter_is_cut(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("slash")
        field = hands.view.query_one(Input)
        field.insert_text_at_cursor("a" * 1_000_000)
        await hands.pilot.pause()
        assert len(field.value) <= 500


async def test_columns_are_sorted_by_keys_and_by_clicks_on_their_titles(runs: Path) -> None:
    async with at(runs) as hands:
        assert "newest first" in hands.where
        await hands.press("o")
        assert hands.names == ["one", "three", "two"]
        assert "RUN↑" in hands.text
        await hands.press("O")
        assert hands.names == ["two", "three", "one"]
        assert "RUN↓" in hands.text
        x = next(strip.text for strip in rows_of(hands.app) if " LOSS" in strip.text).index("LOSS")
        await hands.pilot.click(hands.list, offset=(x, 0))
        assert hands.names == ["two", "three", "one"]
        assert "LOSS↑" in hands.text
        await hands.pilot.click(hands.list, offset=(x, 0))
        assert hands.names == ["one", "three", "two"]
        assert "by loss ↓" in hands.where


async def test_the_cursor_stays_on_its_run_whatever_comes_and_goes(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("j")
        assert hands.list.chosen == "two"
        make_run(runs, "four", 4)
        await hands.listed("four", "three", "two", "one")
        assert hands.list.chosen == "two"
        await hands.press("o")
        assert hands.list.chosen == "two"
        await hands.press("O")
        await hands.listed("two", "three", "one", "four")
        shutil.rmtree(runs / "two")
        await hands.listed("three", "one", "four")
        assert hands.list.chosen == "three", "the place of one that went is that of the next"


async def test_the_mouse_chooses_opens_and_marks(runs: Path) -> None:
    Run(runs / "three").config_path.write_text(to_toml(RunConfig()))
    async with at(runs) as hands:
        await hands.pilot.click(hands.list, offset=(5, 2))
        assert hands.list.chosen == "two"
        await hands.pilot.click(hands.list, offset=(1, 3))
        assert hands.view.marked_runs() == [Run(runs / "one")]
        await hands.pilot.click(hands.list, offset=(5, 30))
        assert hands.list.chosen == "one", "below the last one is nothing"
        await hands.pilot.click(hands.list, offset=(5, 1), times=2)
        assert isinstance(hands.app.screen, TrainView)
        assert hands.app.current_run == Run(runs / "three")


# --- Marks ---


async def test_what_is_done_to_several_is_done_to_marked_ones_that_are_listed(runs: Path) -> None:
    async with at(runs) as hands:
        assert hands.view.marked_runs() == [Run(runs / "three")], (
            "the chosen one, for want of marks"
        )
        await hands.press("space", "down", "space")
        assert hands.view.marked_runs() == [Run(runs / "three"), Run(runs / "one")]
        assert "2 marked" in hands.where
        await hands.press("slash", *"base", "enter")
        assert hands.view.marked_runs() == [Run(runs / "one")], "the other is out of sight"
        await hands.press("d")
        await until(lambda: not (runs / "one").exists(), hands.pilot, 20)
        assert (runs / "three").is_dir()
        await hands.press("escape")
        await hands.listed("three", "two")
        await hands.press("A", "A")
        assert "marked" not in hands.where
        await hands.press("A")
        assert len(hands.view.marked_runs()) == 2
        await hands.press("escape")
        assert "marked" not in hands.where


# --- Keeping ---


async def test_a_deleted_run_is_in_the_trash_and_u_brings_it_back(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("j", "d")
        await hands.listed("three", "one")
        assert hands.list.chosen == "one"
        (trashed,) = keeping.list_trash(runs)
        assert trashed.name == "two"
        assert f"two: in {runs / '.trash'}; u undoes it" in hands.told
        await hands.press("u")
        await hands.listed("three", "two", "one")
        assert hands.list.chosen == "two"
        await hands.press("u")
        assert "Nothing was done" in hands.told


async def test_undo_goes_back_step_by_step(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("a")
        await hands.listed("two", "one")
        await hands.press("R")
        await hands.press(*["backspace"] * 3, *"2nd", "enter")
        await hands.listed("2nd", "one")
        assert hands.list.chosen == "2nd"
        await hands.press("t", *"good", "enter")
        await until(lambda: keeping.tags_of(Run(runs / "2nd")) == ["good"], hands.pilot, 20)
        for _ in range(3):
            await until(lambda: len(hands.view._deeds) > 0, hands.pilot, 20)
            count = len(hands.view._deeds)
            await hands.press("u")
            await until(lambda count=count: len(hands.view._deeds) < count, hands.pilot, 20)
        await hands.listed("three", "two", "one")
        assert keeping.tags_of(Run(runs / "two")) == []


async def test_archived_runs_are_listed_on_request(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("A", "a")
        await until(lambda: "All runs are archived; v lists them." in hands.text, hands.pilot, 20)
        await hands.press("v")
        await hands.listed("three", "two", "one")
        assert hands.text.count("archived") >= 3
        await hands.press("escape", "a")
        await until(lambda: not Run(runs / "three").info()["archived"], hands.pilot, 20)
        await hands.press("v")
        await hands.listed("three")


async def test_tags_and_notes_are_typed_and_told_beside_the_list(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("m")
        field = hands.view.query_one(Input)
        assert field.value == "the one with the long warm-up"
        await hands.type("!")
        await hands.press("enter")
        await until(lambda: "long warm-up!" in hands.text, hands.pilot, 20)
        await hands.press("A", "t")
        await hands.type("-base lr3")
        await hands.press("enter")
        for name in ("one", "two", "three"):
            run = Run(runs / name)
            await until(lambda run=run: keeping.tags_of(run) == ["lr3"], hands.pilot, 20)
        await hands.press("t")
        await hands.type("a,b")
        await hands.press("enter")
        assert "'a,b' is not a tag" in hands.text
        await hands.press("escape", "down")
        assert "CUDA out of memory" in str(hands.view.query_one(Details).render())


async def test_a_name_is_checked_while_one_types_and_a_taken_one_refused(runs: Path) -> None:
    async with at(runs) as hands:
        await hands.press("R", *"/x")
        assert "is not a run name" in hands.text
        await hands.press("enter")
        assert hands.view.query_one(Prompt).is_open
        await hands.press("backspace", "backspace", *["backspace"] * 5, *"one", "enter")
        await until(lambda: "already a run 'one'" in hands.told, hands.pilot, 20)
        assert hands.names == ["three", "two", "one"]


async def test_a_run_that_is_trained_elsewhere_is_neither_moved_nor_renamed(runs: Path) -> None:
    with Run(runs / "two").lock():
        async with at(runs) as hands:
            await hands.press("A", "d")
            await until(lambda: "two is being trained" in hands.told, hands.pilot, 20)
            await hands.listed("two")
            assert "2 runs: in" in hands.told, "one that refuses does not keep it from the others"
            await hands.press("u")
            await hands.listed("three", "two", "one")


async def test_the_run_of_the_other_views_keeps_up(runs: Path) -> None:
    async with at(runs) as hands:
        hands.app.current_run = Run(runs / "three")
        await hands.press("R", *["backspace"] * 5, *"new", "enter")
        await hands.listed("new", "two", "one")
        assert hands.app.current_run == Run(runs / "new")
        await hands.press("d")
        await hands.listed("two", "one")
        assert hands.app.current_run is None


# --- Screens and texts of all kinds ---


@pytest.mark.parametrize("size", one_quick([(20, 5), (60, 18), (80, 24), (200, 60)]))
async def test_every_size_shows_the_list_and_takes_every_key(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    runs = make_runs(tmp_path / "runs", 30)
    async with at(runs, size) as hands:
        assert "run30" in hands.text
        keys = ["j", "space", "o", "O", "slash", "x", "escape", "end", "home", "pagedown", "t"]
        await hands.press(*keys, "escape", "a", "u", "v", "A", "escape")
        await hands.pilot.resize_terminal(60, 18)
        await hands.pilot.resize_terminal(*size)
        await hands.press("end")
        assert hands.list.chosen in hands.text


def test_columns_give_way_in_a_sensible_order(runs: Path) -> None:
    rows = [
        {
            "name": "a-rather-long-name-of-a-run",
            "dataset": "fashion-mnist-10k",
            "model": "unet",
            "step": 1500,
            "total_steps": 1500,
            "loss": 0.1,
            "eval_loss": 0.1,
            "tags": ["base", "lr3"],
        }
    ]
    before: set[str] = set()
    for width in range(5, 200):
        columns = fitting(rows, width)
        taken = sum(cells for _, cells in columns) + 2 * (len(columns) - 1)
        assert taken <= max(width, 8)
        titles = {column.title for column, _ in columns}
        assert before <= titles, "more room never shows less"
        before = titles
    assert len(before) == 10
    assert [c.title for c, _ in fitting(rows, 58)] == ["RUN", "STATE", "STEP", "LOSS", "AGE"]


async def test_hostile_names_tags_and_notes_are_text_and_no_more(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    evil = "\x1b]0;evil\x07\x1b[2J[bold red]x[/]\u202e"
    name = "\x1b[31mname[link=x]"
    make_run(runs, name, 1, tags=[evil, "[/"], notes=evil * 20, reason=evil)
    make_run(runs, "plain", 2)
    async with at(runs, (200, 60)) as hands:
        await hands.press("down")
        assert "[bold red]x[/]" in hands.text
        assert "name[link=x]" in hands.text
        for keys in (("m", "escape"), ("t", "escape"), ("R", "escape"), ("a",), ("u",), ("d",)):
            await hands.press(*keys)
            assert not set(hands.text) & {"\x1b", "\x07", "\u202e", "\x9b"}
        await hands.listed("plain")
        await hands.press("u")
        await hands.listed("plain", name)
        assert json.loads((runs / name / "run.json").read_text())["tags"] == [evil, "[/"]
