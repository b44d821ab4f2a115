"""`rename`, `tag`, `note`, `archive`, `delete`, `restore` and `trash`: runs kept in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm_tui.cli.options import Json, RunName, RunsDir, print_json, resolve_runs_dir
from ddpm_tui.sanitize import clean

if TYPE_CHECKING:
    from engine.runs.folder import Run

RunNames = Annotated[
    list[str],
    typer.Argument(help="Names of runs, as `ddpm-tui runs` lists them.", metavar="RUN..."),
]


def rename(
    run: RunName,
    name: Annotated[str, typer.Argument(help="The name that it shall have.", metavar="NAME")],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Give a run another name."""
    from engine.runs.keeping import rename as rename_run

    renamed = rename_run(_folder_of(runs_dir, run), name)
    _tell(as_json, {"name": renamed.name, "path": str(renamed.path)}, f"{run} is now {name}")


def tag(
    run: RunName,
    tags: Annotated[
        list[str] | None, typer.Argument(help="Tags that it shall have.", metavar="[TAG...]")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="A tag that it shall not have; may be repeated.", metavar="TAG"),
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Give a run tags, take some away, and say which it has."""
    from engine.runs.keeping import change_tags

    found = change_tags(_folder_of(runs_dir, run), tags or (), remove or ())
    _tell(as_json, {"name": run, "tags": found}, " ".join(found) or f"{run} has no tags")


def note(
    run: RunName,
    text: Annotated[
        str | None, typer.Argument(help='What to note; "" takes the note away.', metavar="[TEXT]")
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Note something about a run, or say what was noted."""
    from engine.runs.keeping import note_of, write_note

    folder = _folder_of(runs_dir, run)
    if text is not None:
        write_note(folder, text)
    found = note_of(folder)
    _tell(as_json, {"name": run, "notes": found}, found or f"{run} has no note")


def archive(runs: RunNames, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Keep runs out of the list; `restore` brings them back."""
    from engine.runs.keeping import set_archived

    for folder in [_folder_of(runs_dir, name) for name in runs]:
        set_archived(folder, True)
        facts = {"name": folder.name, "archived": True}
        _tell(as_json, facts, f"{folder.name} is in the archive")


def delete(runs: RunNames, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Move runs to the trash; `restore` brings them back."""
    from engine.runs.keeping import delete as delete_run

    for folder in [_folder_of(runs_dir, name) for name in runs]:
        trashed = delete_run(folder)
        facts = {"name": trashed.name, "trash": str(trashed.path)}
        text = f"{trashed.name} is in {trashed.path}; `ddpm-tui restore {trashed.name}` undoes it"
        _tell(as_json, facts, text)


def restore(runs: RunNames, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Bring runs back from the archive or the trash."""
    for name in runs:
        back = _restored(resolve_runs_dir(runs_dir), name)
        _tell(as_json, {"name": back.name, "path": str(back.path)}, f"{back.name} is back")


def trash(
    runs_dir: RunsDir = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Remove the deleted runs for good.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the deleted runs, the last one first."""
    import time

    from ddpm_tui.report import age, table
    from engine.runs.keeping import empty_trash, list_trash

    folder = resolve_runs_dir(runs_dir)
    if empty:
        count = empty_trash(folder)
        _tell(as_json, {"removed": count}, f"Removed for good: {count:,}")
        return
    found = list_trash(folder)
    if as_json:
        print_json([{"name": t.name, "deleted": t.deleted, "path": str(t.path)} for t in found])
    elif not found:
        print(f"Nothing is deleted in {clean(str(folder))}.")
    else:
        rows = [[t.name, f"{age(time.time() - t.deleted)} ago", str(t.path)] for t in found]
        print(table(["RUN", "DELETED", "FOLDER"], rows, right={1}))


def _folder_of(runs_dir: Path | None, name: str) -> Run:
    """The run of that name, also one whose run.json is damaged or whose name would not be given.

    Raises:
        EngineError: there is none.
    """
    from engine.runs.folder import Run, open_run

    folder = resolve_runs_dir(runs_dir)
    path = folder / name
    listed = path.parent == folder and path.name == name and not name.startswith(".")
    if listed and (path / "run.json").exists():
        return Run(path)
    return open_run(folder, name)


def _restored(folder: Path, name: str) -> Run:
    from engine.errors import RunError
    from engine.runs.folder import Run
    from engine.runs.keeping import list_trash, restore, set_archived

    run = Run(folder / name)
    if (run.path / "run.json").exists() and run.info().get("archived"):
        set_archived(run, False)
        return run
    for trashed in list_trash(folder):
        if name in (trashed.name, trashed.path.name):
            return restore(trashed)
    raise RunError(
        f"No run {name!r} is in the archive or the trash of {folder}",
        "`ddpm-tui runs --archived` and `ddpm-tui trash` list what is there.",
    )


def _tell(as_json: bool, facts: dict[str, Any], text: str) -> None:
    """One line: for a script, or for a person."""
    if as_json:
        print_json(facts)
    else:
        print(clean(text))
