"""Keeping runs in order: archive, trash, tags, notes, names; and taking that back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textual import work
from textual.message import Message

from ddpm_tui.sanitize import clean
from ddpm_tui.views.runs import deeds
from ddpm_tui.views.runs.choosing import Choosing
from ddpm_tui.views.runs.deeds import Act, Deed
from engine.errors import RunError
from engine.runs.folder import Run, check_name
from engine.runs.keeping import MAX_NOTE, check_tag
from engine.runs.moved import TRASH

# What can be undone; each of ten thousand runs has its own part in it.
_UNDOS = 50


class DeedDone(Message):
    """Something was done to runs, or was undone.

    Attributes:
        told: what to say of it when there was nothing that it could not be done to.
    """

    def __init__(self, deed: Deed, told: str, *, undone: bool) -> None:
        super().__init__()
        self.deed = deed
        self.told = told
        self.undone = undone


class Keeping(Choosing):
    """The keys that change what a run is called and where it is listed."""

    def __init__(self) -> None:
        super().__init__()
        self._deeds: list[Deed] = []

    def action_archive(self) -> None:
        runs = self.marked_runs()
        places, shown = self.listing.places, self.listing.shown
        archived = not all(shown[places[run.name]].get("archived") for run in runs)
        key = self.workbench.key_table["runs.archived"].display
        where = f"in the archive ({key} lists it)" if archived else "out of the archive"
        self._do(runs, partial(deeds.archive, archived=archived), where)

    def action_delete(self) -> None:
        self._do(self.marked_runs(), deeds.delete, f"in {self.workbench.runs_dir / TRASH}")

    def action_tag(self) -> None:
        if not (runs := self.marked_runs()):
            return
        known = {tag for row in self.listing.rows for tag in row.get("tags", ())}

        def tag(text: str) -> None:
            words = text.split()
            for word in words:
                if not word.startswith("-"):
                    check_tag(word)
            if words:
                self._do(runs, partial(deeds.tag, words=words), f"tagged {text.strip()}")
            self._list.focus()

        self._prompt.ask(
            f"tag {clean(deeds.of_runs(runs), 30)}",
            tag,
            hint="base lr3 gives tags, -base takes one away",
            words=[clean(tag) for tag in known],
            left=self._list.focus,
        )

    def action_note(self) -> None:
        if not (run := self._selected()):
            return

        def note(text: str) -> None:
            self._do([run], partial(deeds.note, text=text.strip()), "noted")
            self._list.focus()

        row = self._list.chosen_row or {}
        self._prompt.ask(
            f"note on {clean(run.name, 30)}",
            note,
            value=clean(row.get("notes", "")),
            hint="what to remember of it",
            longest=MAX_NOTE,
            left=self._list.focus,
        )

    def action_rename(self) -> None:
        row = self._list.chosen_row
        if row is None:
            return
        run = Run(Path(row["path"]))

        def rename(text: str) -> None:
            if text != run.name:
                check_name(text)
                self._do([run], partial(deeds.rename, name=text), f"now {text}")
            self._list.focus()

        self._prompt.ask(
            f"rename {clean(run.name, 30)} to",
            rename,
            value=clean(run.name),
            longest=64,
            changed=check_name,
            left=self._list.focus,
        )

    def action_undo(self) -> None:
        if self._deeds:
            self._undo(self._deeds.pop())
        else:
            self.notify("Nothing was done to runs that could be undone.")

    @work(thread=True, group="deeds", exit_on_error=False)
    def _do(self, runs: Sequence[Run], act: Act, told: str) -> None:
        deed = deeds.do(runs, act)
        self.post_message(DeedDone(deed, f"{deed.subject}: {told}", undone=False))

    @work(thread=True, group="deeds", exit_on_error=False)
    def _undo(self, deed: Deed) -> None:
        back = deeds.undo(deed)
        self.post_message(DeedDone(back, f"{deed.subject}: undone", undone=True))

    def on_deed_done(self, message: DeedDone) -> None:
        deed = message.deed
        current = self.workbench.current_run
        for step in deed.steps:
            if step.before == current:
                self.workbench.current_run = step.after
            if step.after is not None and (message.undone or step.after != step.before):
                self._list.follow(step.after.name)
        if deed.steps:
            hint = ""
            if not message.undone:
                self._deeds = [*self._deeds[1 - _UNDOS :], deed]
                hint = f"; {self.workbench.key_table['runs.undo'].display} undoes it"
            self.notify(clean(message.told + hint), timeout=8, markup=False)
        if deed.errors:
            first, more = deed.errors[0], len(deed.errors) - 1
            others = f"It failed for {more:,} more." if more else ""
            hint = " · ".join(part for part in (first.hint, others) if part)
            self.workbench.complain(RunError(first.message, hint))
        self._look()
