"""What is done to runs from the list, each with what undoes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.errors import EngineError
from engine.runs import keeping
from engine.runs.folder import Run


@dataclass(frozen=True)
class Step:
    """What was done to one run.

    Attributes:
        before: the run as it was called.
        after: as it is called now; None: it is in the trash.
        undo: takes it back and returns the run as it is called then.
    """

    before: Run
    after: Run | None
    undo: Callable[[], Run]


Act = Callable[[Run], Step]


@dataclass(frozen=True)
class Deed:
    """What was done to some runs.

    Attributes:
        steps: in the order in which they were done.
        errors: of the runs that it could not be done to.
    """

    steps: tuple[Step, ...]
    errors: tuple[EngineError, ...]

    @property
    def subject(self) -> str:
        """The run by its name as it was, several by their number."""
        return of_runs([step.before for step in self.steps])


def of_runs(runs: Sequence[Run]) -> str:
    """One run by its name, several by their number."""
    return runs[0].name if len(runs) == 1 else f"{len(runs):,} runs"


def do(runs: Sequence[Run], act: Act) -> Deed:
    """Do something to every run; one that refuses does not keep it from the others."""
    steps, errors = [], []
    for run in runs:
        try:
            steps.append(act(run))
        except EngineError as error:
            errors.append(error)
    return Deed(tuple(steps), tuple(errors))


def undo(deed: Deed) -> Deed:
    """Take a deed back, the last step first."""

    def back(step: Step) -> Step:
        run = step.undo()
        return Step(step.after or step.before, run, lambda: run)

    steps, errors = [], []
    for step in reversed(deed.steps):
        try:
            steps.append(back(step))
        except EngineError as error:
            errors.append(error)
    return Deed(tuple(steps), tuple(errors))


# --- The acts ------------------------------------------------------------------------------------


def archive(run: Run, archived: bool) -> Step:
    before = bool(run.info().get("archived"))
    keeping.set_archived(run, archived)

    def back() -> Run:
        keeping.set_archived(run, before)
        return run

    return Step(run, run, back)


def delete(run: Run) -> Step:
    trashed = keeping.delete(run)
    return Step(run, None, lambda: keeping.restore(trashed))


def rename(run: Run, name: str) -> Step:
    renamed = keeping.rename(run, name)
    return Step(run, renamed, lambda: keeping.rename(renamed, run.name))


def tag(run: Run, words: Sequence[str]) -> Step:
    """Words are tags to give; those with a minus before them are taken away."""
    add = [word for word in words if not word.startswith("-")]
    remove = [word[1:] for word in words if word.startswith("-")]
    before = set(keeping.tags_of(run))
    after = set(keeping.change_tags(run, add, remove))

    def back() -> Run:
        keeping.change_tags(run, before - after, after - before)
        return run

    return Step(run, run, back)


def note(run: Run, text: str) -> Step:
    before = keeping.note_of(run)
    keeping.write_note(run, text)

    def back() -> Run:
        keeping.write_note(run, before)
        return run

    return Step(run, run, back)
