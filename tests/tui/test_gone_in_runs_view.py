"""What the Runs view says of a run that somebody else takes away under the hands of its reader."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ddpm_tui.views.runs import RunsView
from engine.runs import keeping
from engine.runs.folder import Run
from tests.engine.made_up_runs import make_run
from tests.one_quick import one_quick
from tests.tui.test_runs_view import Hands, at
from tests.tui.test_workbench import until

WAYS: dict[str, tuple[Callable[[Run], object], str]] = {
    "removed": (lambda run: shutil.rmtree(run.path), "r is no longer in"),
    "deleted": (keeping.delete, "r was deleted and is in the trash"),
    "renamed": (lambda run: keeping.rename(run, "s"), "r was renamed to s"),
}
# The keys of what is done to the run under the cursor.
KEYS: dict[str, tuple[str, ...]] = {
    "open": ("enter",),
    "resume": ("r",),
    "sample": ("s",),
    "export": ("e",),
    "archive": ("a",),
    "delete": ("d",),
    "tag": ("t", "x", "enter"),
    "note": ("m",),
    "rename": ("R", "x", "enter"),
}
FORMS = {"tag": ("t", "x", "enter"), "note": ("m", "x", "enter"), "rename": ("R", "x", "enter")}


@asynccontextmanager
async def at_a_stale_list(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Hands, list[str]]]:
    """The Runs view with the run `r`, which it does not list anew; and what it says in passing."""
    make_run(runs, "r")
    async with at(runs) as hands:
        monkeypatch.setattr(RunsView, "_look", lambda _view: None)
        if hands.view._timer is not None:
            hands.view._timer.stop()
        await until(lambda: not hands.view._listing_now, hands.pilot)
        said: list[str] = []
        monkeypatch.setattr(
            type(hands.app), "notify", lambda _app, text, **_more: said.append(text)
        )
        yield hands, said


@pytest.mark.parametrize("way", one_quick(WAYS))
@pytest.mark.parametrize("deed", KEYS)
async def test_every_key_says_in_one_sentence_what_became_of_the_run(
    deed: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    leave, sentence = WAYS[way]
    async with at_a_stale_list(runs, monkeypatch) as (hands, said):
        leave(Run(runs / "r"))
        await hands.press(*KEYS[deed])
        await until(lambda: bool(said), hands.pilot)
        await hands.pilot.pause()
        assert [sentence in text for text in said] == [True]
        assert not (runs / "r").exists()


@pytest.mark.parametrize("way", one_quick(WAYS))
@pytest.mark.parametrize("form", FORMS)
async def test_a_form_that_is_open_already_says_it_too(
    form: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    leave, sentence = WAYS[way]
    opens, *rest = FORMS[form]
    async with at_a_stale_list(runs, monkeypatch) as (hands, said):
        await hands.press(opens)
        leave(Run(runs / "r"))
        await hands.press(*rest)
        await until(lambda: bool(said), hands.pilot)
        await hands.pilot.pause()
        assert [sentence in text for text in said] == [True]
        assert not (runs / "r").exists()


@pytest.mark.parametrize("way", one_quick(WAYS))
@pytest.mark.parametrize("deed", ["archive", "tag", "note"])
async def test_undo_says_it_too(
    deed: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    leave, sentence = WAYS[way]
    async with at_a_stale_list(runs, monkeypatch) as (hands, said):
        await hands.press(*FORMS.get(deed, KEYS[deed]))
        await until(lambda: any("undoes it" in text for text in said), hands.pilot)
        leave(Run(runs / "r"))
        said.clear()
        await hands.press("u")
        await until(lambda: bool(said), hands.pilot)
        await hands.pilot.pause()
        assert [sentence in text for text in said] == [True]
        assert not (runs / "r").exists()


# What was done, how what is undone then leaves, and what is said.
UNDONE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "rename, then renamed": (
        "rename",
        lambda runs: keeping.rename(Run(runs / "rx"), "s"),
        "rx was renamed to s",
    ),
    "rename, then deleted": (
        "rename",
        lambda runs: keeping.delete(Run(runs / "rx")),
        "rx was deleted and is in the trash",
    ),
    "rename, then removed": (
        "rename",
        lambda runs: shutil.rmtree(runs / "rx"),
        "rx is no longer in",
    ),
    "rename, then the old name taken": (
        "rename",
        lambda runs: make_run(runs, "r"),
        "There is already a run 'r'",
    ),
    "delete, then brought back": (
        "delete",
        lambda runs: keeping.restore(keeping.list_trash(runs)[0]),
        "r is not in the trash any more, and there is a run 'r'",
    ),
    "delete, then the trash emptied": ("delete", keeping.empty_trash, "r is no longer in"),
    "delete, then brought back and renamed": (
        "delete",
        lambda runs: keeping.rename(keeping.restore(keeping.list_trash(runs)[0]), "s"),
        "r was renamed to s",
    ),
    "delete, then the old name taken": (
        "delete",
        lambda runs: make_run(runs, "r"),
        "There is already a run 'r'",
    ),
}


@pytest.mark.parametrize("case", UNDONE)
async def test_undo_of_a_name_or_a_place_says_what_became_of_the_run(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    deed, leave, sentence = UNDONE[case]
    async with at_a_stale_list(runs, monkeypatch) as (hands, said):
        await hands.press(*KEYS[deed])
        await until(lambda: any("undoes it" in text for text in said), hands.pilot)
        leave(runs)
        said.clear()
        await hands.press("u")
        await until(lambda: bool(said), hands.pilot)
        await hands.pilot.pause()
        assert [sentence in text for text in said] == [True]


async def test_of_several_that_left_it_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    make_run(runs, "q")
    async with at_a_stale_list(runs, monkeypatch) as (hands, said):
        await hands.press("A")
        keeping.rename(Run(runs / "q"), "s")
        keeping.delete(Run(runs / "r"))
        await hands.press("a")
        await until(lambda: bool(said), hands.pilot)
        await hands.pilot.pause()
        (text,) = said
        assert "It failed for 1 more." in text
