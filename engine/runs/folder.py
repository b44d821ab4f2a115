"""The run folder: create, open, list, lock, status. It is the truth that every viewer reads.

No torch and no pydantic here: listing runs has to be instant.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, NoRoomError, RunError
from engine.runs import io, moved, publishing
from engine.runs.litter import clear_abandoned
from engine.runs.lock import Ownership, is_owned, owning
from engine.runs.outside import decoded, is_a, is_number, read_bytes, refuse_links

if TYPE_CHECKING:
    from engine.config import RunConfig

SCHEMA_VERSION = 1
STATES = ("created", "running", "paused", "finished", "stopped", "failed")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBERED = re.compile(r"run(\d{1,9})", re.ASCII)
_HIGHEST = ".highest"
# What a training writes into or in place of, besides files that it replaces.
_WRITTEN = (".lock", "checkpoints", "samples", "requests", "metrics.jsonl", "train.log")
# Bytes; one that is written has a tenth of that, and reading one costs its square.
_MAX_CONFIG = 1 << 17


def default_runs_dir() -> Path:
    """$DDPM_TUI_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("DDPM_TUI_RUNS") or "runs")


def check_name(name: str) -> str:
    """A run name that is safe as a folder name.

    Raises:
        ConfigError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a run name",
            "Use letters, digits, '.', '_' and '-', starting with a letter or digit, 64 at most.",
        )
    return name


@dataclass(frozen=True)
class Status:
    """What a run is doing, as status.json says it.

    Attributes:
        state: one of `STATES`.
        reason: why it failed or stopped, for a person.
        step, total_steps: training steps done and planned.
        loss: smoothed training loss at the last logged step.
        eval_loss: loss of the EMA weights on held-out images at the last checkpoint.
        images_per_second: training speed, previews and checkpoints not counted.
        elapsed: seconds of training so far, pauses not counted.
        updated: Unix time of the last change.
        device: for a person, such as `cpu (2 threads)`.
        host, pid: where the trainer runs or ran.
    """

    state: str = "created"
    reason: str = ""
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    images_per_second: float | None = None
    elapsed: float = 0.0
    updated: float = 0.0
    device: str = ""
    host: str = ""
    pid: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Status:
        """What status.json says.

        Raises:
            RunError: a value is of another type.
        """
        kept: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in values:
                continue
            value, default = values[field.name], field.default
            if default is None and not is_number(value):
                fits, value = isinstance(value, float | None), None  # NaN is no figure
            else:
                number = default is None or isinstance(default, float)
                fits = is_a(value, (int, float) if number else type(default))
            if not fits:
                raise RunError(f"status.json: {field.name} is {values[field.name]!r:.80}")
            kept[field.name] = value
        return cls(**kept)


@dataclass(frozen=True)
class Run:
    """A run folder. Holds nothing but its path; every question is answered from the disk."""

    path: Path

    def __post_init__(self) -> None:
        moved.remember(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def log_path(self) -> Path:
        return self.path / "train.log"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples_path(self) -> Path:
        return self.path / "samples"

    @property
    def exports_path(self) -> Path:
        return self.path / "exports"

    def folder_for(self, *parts: str) -> Path:
        """A folder of the run to write into, made if it is not there.

        Raises:
            RunError: it cannot be made, or the run or the folder is a link to somewhere else.
        """
        self.refuse_links(parts)
        folder = self.path
        for part in parts:
            folder = folder / part
            io.make_folder(folder)
        return folder

    def output_folder(self, kind: str, out: Path | None) -> Path:
        """Where a command writes what it makes: a folder of the run, or another; made if need be.

        Args:
            kind: the run's folder where `out` is None, such as `samples`.

        Raises:
            RunError: it cannot be made, or the run or its folder is a link to somewhere else.
        """
        if out is None:
            return self.folder_for(kind)
        io.make_folder(out, parents=True)
        return out

    def check_output(self, kind: str, out: Path | None) -> None:
        """Find out before long work whether its result can be written, see `output_folder`.

        What commands that were killed have left half made there is removed.

        Raises:
            RunError: nothing can be written there.
        """
        if out is None:
            self.refuse_links([kind])
        prepare_output(out or self.path / kind, own=out is None)

    def refuse_links(self, *inside: Iterable[str]) -> None:
        """Nothing is written into what is not the run's own.

        Raises:
            RunError: the run, or one of these paths in it, is a link to somewhere else.
        """
        if self.path.is_symlink():
            there = self.path.resolve()
            raise RunError(
                f"{self.path} is a link to {there}, and nothing is written through a link",
                f"Name the folder that it is in: --runs-dir {there.parent}",
            )
        refuse_links(self.path, *inside)

    def info(self) -> dict[str, Any]:
        """run.json.

        Raises:
            RunError: missing, unreadable, or written by a newer version of the program.
        """
        values = io.read_json(self.path / "run.json")
        version = values.get("schema_version")
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise RunError(
                f"{self.name} has run-folder version {version}, this program knows up to "
                f"{SCHEMA_VERSION}",
                "Open it with a newer ddpm-tui.",
            )
        moved.remember(self.path, values)
        return values

    def check_here(self) -> None:
        """For what would otherwise find nothing: a run that is gone has no checkpoints either.

        Raises:
            RunGoneError: it was deleted, renamed or removed.
        """
        if gone := moved.gone(self.path):
            raise gone

    def config(self) -> RunConfig:
        """config.toml, validated.

        Raises:
            RunError: missing or unreadable.
            ConfigError: not a valid config.
        """
        from engine.config import validate

        with suppress(RunError):
            self.info()  # by which it is known again when it has moved
        return validate(self.config_values(), f"{self.name}/config.toml")

    def config_values(self) -> dict[str, Any]:
        """config.toml as plain values, not validated; cheap, for listings and exports.

        Raises:
            RunError: missing or unreadable.
        """
        from engine.runs import sections

        with io.explained("read", self.config_path):
            data = read_bytes(self.config_path, _MAX_CONFIG)
        try:
            text = decoded(data)
        except ValueError as error:
            raise RunError(f"{self.config_path} is not UTF-8 text: {error}") from None
        try:
            return sections.loads(text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.config_path} is not valid TOML: {error}") from None

    def status(self) -> Status:
        """status.json; a run whose trainer is gone without a word is `stopped`, with the reason.

        Whether the trainer is there is decided by the lock that it holds, not by a time or a pid.
        """
        status = self._written_status()
        if status.state in ("running", "paused") and not self.is_locked():
            # Read again: its last word may have come in between.
            status = self._written_status()
            if status.state in ("running", "paused"):
                return replace(status, state="stopped", reason="the trainer ended without a word")
        return status

    def _written_status(self) -> Status:
        try:
            values = io.read_json(self.path / "status.json")
        except RunError:
            # It is not synced when it is written, so a machine that goes down may leave it empty,
            # torn or not there. What the run has come to is not lost with it.
            return self._status_without_file()
        return Status.from_json(values)

    def _status_without_file(self) -> Status:
        from engine.runs.checkpoint import list_checkpoints

        created, training = self.info().get("created"), self.config_values().get("training")
        checkpoints = list_checkpoints(self)
        return Status(
            state="running" if self.is_locked() else "stopped",
            reason="its status was lost",
            step=checkpoints[-1].step if checkpoints else 0,
            total_steps=training.get("steps", 0) if isinstance(training, dict) else 0,
            updated=created if isinstance(created, int | float) else 0.0,
        )

    def write_status(self, status: Status) -> None:
        """Replace status.json; on a full disk, write over it.

        Raises:
            RunError: it cannot be written.
        """
        stamped = replace(status, updated=time.time(), host=socket.gethostname(), pid=os.getpid())
        path = self.path / "status.json"
        try:
            io.write_json(path, asdict(stamped), durable=False)
        except NoRoomError:
            if not path.exists():
                raise
            io.overwrite_json(path, asdict(stamped))

    def log(self, message: str) -> None:
        """Append a line to train.log, with the time."""
        io.append_line(self.log_path, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}")

    def lock(self) -> AbstractContextManager[Ownership]:
        """Own the run inside the block; the lock dies with the process.

        Raises:
            RunError: another process, or another thread of this one, is training it; it was moved
                away; or what it writes would go somewhere else through a link.
        """
        self.refuse_links(*([name] for name in _WRITTEN))
        return owning(self.path)

    def is_locked(self) -> bool:
        """Whether somebody trains this run."""
        return is_owned(self.path)


def prepare_output(folder: Path, *, own: bool = False) -> None:
    """Find out whether a folder can be written into, and remove what killed commands left there.

    Args:
        folder: need not be there; then whether it can be made.
        own: nobody but this program writes there.

    Raises:
        RunError: nothing can be written there.
    """
    io.check_writable(folder)
    clear_abandoned(folder, others=own)


def environment(command: list[str]) -> dict[str, Any]:
    """env.json: versions, host and command line, so that a result can be traced."""
    packages = ("ddpm-tui", "torch", "torchvision", "numpy", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "packages": {package: installed_version(package) for package in packages},
        "command": command,
    }


def installed_version(package: str) -> str:
    """The version of a package; a checkout of this program runs without being installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def create_run(
    runs_dir: Path, config: RunConfig, *, name: str | None = None, command: list[str] | None = None
) -> Run:
    """Make a new run folder, numbered `run1`, `run2`, … or named.

    It appears complete or not at all. The rename that gives it its name alone decides who gets it,
    so that many processes may create runs at once. A number is not given twice, also when its run
    was deleted.

    Raises:
        ConfigError: the name is not a run name.
        RunError: the name is taken, or the folder cannot be written.
    """
    from engine.config import to_toml

    if name:
        check_name(name)
        if os.path.lexists(runs_dir / name):
            raise _taken(runs_dir, name)
    traced = environment(command or sys.argv)
    refuse_nowhere(runs_dir)
    io.check_writable(runs_dir)
    io.make_folder(runs_dir, parents=True)
    with publishing.unpublished_folder(runs_dir / (name or "run")) as folder:
        draft = Run(folder)
        io.make_folder(draft.samples_path)
        io.make_folder(draft.checkpoints_path)
        io.write_synced(draft.config_path, to_toml(config).encode())
        io.write_json(folder / "env.json", traced)
        draft.write_status(Status(total_steps=config.training.steps))
        io.sync(folder / "status.json")
        for path in [runs_dir / name] if name else _numbered(runs_dir):
            io.write_json(
                folder / "run.json",
                {
                    "schema_version": SCHEMA_VERSION,
                    "name": path.name,
                    "created": time.time(),
                    "tags": [],
                    "parent": None,
                },
            )
            if publishing.claim(folder, path):
                created = Run(path)
                created.info()  # not to be taken for an earlier run of that name
                return created
        raise _taken(runs_dir, path.name)


def _taken(runs_dir: Path, name: str) -> RunError:
    return RunError(
        f"There is already a run {name!r} in {runs_dir}",
        f"Choose another --name, or go on with it: ddpm-tui resume {name}",
    )


def _numbered(runs_dir: Path) -> Iterator[Path]:
    """Names for a new run, from the first number on that no run ever had."""
    highest = runs_dir / _HIGHEST
    used = [0]
    with io.explained("read", runs_dir):
        names = [entry.name for entry in runs_dir.iterdir()]
        with suppress(FileNotFoundError):
            lines = read_bytes(highest).split()
            used += [int(line) for line in lines if re.fullmatch(rb"\d{1,9}", line)]
    used += [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    number = max(used)
    while True:
        number += 1
        path = runs_dir / f"run{number}"
        if not os.path.lexists(path):
            # Before a run has it, so that a crash cannot forget it. One line a number: appends
            # from several processes cannot undo one another.
            io.append_line(highest, str(number))
            io.sync(highest)
            yield path


def open_run(runs_dir: Path, name: str) -> Run:
    """An existing run by name.

    Raises:
        ConfigError: the name is no run name (a path, for one).
        RunGoneError: the run of that name was deleted or renamed.
        RunError: there is no such run; the message lists those nearby.
    """
    path = runs_dir / check_name(name)
    if (path / "run.json").is_file():
        run = Run(path)
        run.info()
        return run
    gone = moved.find_moved(path)
    if gone.now is not None:
        raise gone
    names = [run.name for run in list_runs(runs_dir)]
    if names:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise RunError(f"There is no run {name!r} in {runs_dir}", f"Runs there: {shown}.")
    raise RunError(
        f"There is no run {name!r}: {runs_dir} holds no runs yet",
        "Start one with `ddpm-tui train`, or name the folder with --runs-dir.",
    )


def list_runs(runs_dir: Path) -> list[Run]:
    """The runs in a folder, newest first. A folder that does not exist holds none."""
    found = []
    # One stat a run and no more: ten thousand runs have to list in a second.
    for name in names_in(runs_dir):
        path = runs_dir / name
        try:
            created = (path / "run.json").stat().st_mtime_ns
        except OSError:
            continue
        found.append((created, Run(path)))
    return [run for _, run in sorted(found, key=lambda item: item[0], reverse=True)]


def names_in(runs_dir: Path) -> list[str]:
    """What lies in a folder of runs, hidden things left out; a missing folder holds nothing.

    Raises:
        RunError: it cannot be read, or is a link that leads nowhere.
    """
    try:
        with os.scandir(runs_dir) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        refuse_nowhere(runs_dir)
        return []
    except OSError as error:
        refuse_nowhere(runs_dir)
        raise RunError(
            f"Cannot read {runs_dir}: {error.strerror}", "Name another folder with --runs-dir."
        ) from error


def refuse_nowhere(runs_dir: Path) -> None:
    """A link to a disk that is not mounted is no empty folder of runs.

    Raises:
        RunError: the folder, or one above it, is a link that leads nowhere; or it is named from a
            working directory that was deleted.
    """
    if not runs_dir.is_absolute():
        try:
            os.getcwd()  # noqa: PTH109
        except OSError:
            raise RunError(
                f"There is no {runs_dir}: the working directory has been deleted",
                "Go to a folder that is there, such as `cd ~`, or name the whole path with "
                "--runs-dir.",
            ) from None
    for folder in (runs_dir, *runs_dir.parents):
        if os.path.islink(folder) and not os.path.exists(folder):  # noqa: PTH110, PTH114 - loops
            raise RunError(
                f"{folder} is a link that leads nowhere: it names {os.readlink(folder)}",  # noqa: PTH115
                "Mount the disk that it is on, mend the link, or name another folder with "
                "--runs-dir.",
            )
