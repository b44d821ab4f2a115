"""What a run was made with, and the files of its folder."""

from __future__ import annotations

import shlex
from typing import Any

from ddpm_tui.inspection.rows import BLANK, Row, fact, prose, size, title
from ddpm_tui.inspection.study import Folder, Study
from engine.errors import EngineError
from engine.runs.folder import Run, Status


def rows(study: Study, width: int) -> list[Row]:
    """The page."""
    run, folder = study.subject.run, study.folder
    if run is None:
        return prose("A preset has no folder: train it, and its versions, command line and files "
                     "are listed here.", width)  # fmt: skip
    if folder is None:
        return []
    shown = [title("Run"), *fact("folder", str(run.path.resolve()), width)]
    shown += _state(run, width)
    shown += [BLANK, title("Environment")]
    environment = folder.environment
    if environment:
        for name in ("python", "platform", "host"):
            shown += fact(name, str(environment.get(name, "–")), width)
        packages = environment.get("packages")
        if isinstance(packages, dict):
            listed = ", ".join(f"{name} {version}" for name, version in packages.items())
            shown += fact("packages", listed, width)
        shown += fact("command line", _command(environment.get("command")), width)
    else:
        shown += prose("env.json is missing or cannot be read.", width, "note")
    shown += [BLANK, title("Files"), *_files(folder, width), BLANK, title("Checkpoints")]
    return shown + _checkpoints(folder, width)


def _state(run: Run, width: int) -> list[Row]:
    try:
        status: Status = run.status()
    except EngineError as error:
        return fact("state", str(error), width)
    why = f": {status.reason}" if status.reason else ""
    shown = fact("state", f"{status.state}{why}, step {status.step:,} of {status.total_steps:,}",
                 width)  # fmt: skip
    if status.device:
        shown += fact("device", f"{status.device} of {status.host}", width)
    return shown


def _command(command: Any) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list) else "–"


def _files(folder: Folder, width: int) -> list[Row]:
    total = sum(taken for _, _, taken in folder.sizes)
    shown = []
    for name, count, taken in folder.sizes:
        files = f", {count:,} files" if name.endswith("/") else ""
        shown += fact(name, f"{size(taken)}{files}", width)
    return shown + fact("in all", f"{size(total)}", width)


def _checkpoints(folder: Folder, width: int) -> list[Row]:
    if not folder.checkpoints:
        return prose("None yet.", width)
    shown = []
    for checkpoint, loss in folder.checkpoints:
        held_out = "–" if loss is None else f"held-out loss {loss:.4f}"
        best = ", the best" if checkpoint.step == folder.best else ""
        shown += fact(f"step {checkpoint.step:,}", held_out + best, width)
    return shown


def about(study: Study) -> str:
    """One line: how much there is."""
    folder = study.folder
    if study.subject.run is None or folder is None:
        return ""
    count, total = len(folder.checkpoints), sum(taken for _, _, taken in folder.sizes)
    return f"{size(total)}, {count} checkpoint{'s' * (count != 1)}"
