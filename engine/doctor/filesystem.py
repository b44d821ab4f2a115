"""The file system of the runs: every promise that a run folder relies on, tried.

What is made for that lies in one hidden folder, which is removed again.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.doctor.finding import Finding, State
from engine.doctor.mounts import Mount, mount_of
from engine.errors import RunError
from engine.runs import io
from engine.runs.folder import refuse_nowhere
from engine.runs.heartbeat import time_there
from engine.runs.lock import has_locks

GROUP = "runs folder"

_ELSEWHERE = "Choose another folder with --runs-dir or $DDPM_TUI_RUNS."
_FSYNCS = 5
_SLOW_FSYNC = 0.1  # seconds; a checkpoint takes half a dozen
_SKEW = 2.0  # seconds
_LITTLE_SPACE, _NO_SPACE = 2 << 30, 100 << 20  # bytes
_FEW_FILES, _NO_FILES = 10_000, 200


def filesystem(runs_dir: Path) -> Iterator[Finding]:
    """Findings for a runs folder; for its nearest parent where it does not exist yet.

    Nothing is left there, and the folder itself is not made.
    """
    try:
        refuse_nowhere(runs_dir)
    except RunError as error:
        yield Finding(GROUP, "path", "wrong", error.message, error.hint)
        return
    target = Path(os.path.abspath(runs_dir))  # noqa: PTH100 - also where it does not exist
    there = next((path for path in (target, *target.parents) if os.path.lexists(path)), target)
    if not there.is_dir():
        yield Finding(GROUP, "path", "wrong", f"{there} is not a folder", _ELSEWHERE)
        return
    there = there.resolve()
    found = str(target) if there == target.resolve() else f"{target}, will be made in {there}"
    yield Finding(GROUP, "path", "ok", found)
    mount = mount_of(there)
    if mount is not None:
        yield _kind(mount)
    probe = there / f".ddpm-tui-doctor-{secrets.token_hex(4)}"
    try:
        try:
            probe.mkdir()
        except OSError as error:
            yield _failed("write", error)
            yield from _room(there)
            return
        for name, check in _PROBES:
            try:
                yield check(probe)
            except OSError as error:
                yield _failed(name, error)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    yield from _room(there)


def _kind(mount: Mount) -> Finding:
    where = "over the network" if mount.is_network else "local"
    found = f"{mount.kind}, {where}, {mount.source} at {mount.point}"
    if mount.is_in_memory:
        found = f"{mount.kind}, in memory, at {mount.point}: runs are lost when the machine stops"
        fix = "Choose a folder on a disk with --runs-dir or $DDPM_TUI_RUNS."
        return Finding(GROUP, "type", "note", found, fix)
    if mount.kind == "overlay":
        found = f"overlay at {mount.point}: runs are lost with the container"
        return Finding(GROUP, "type", "note", found, "Mount a volume there, or choose --runs-dir.")
    return Finding(GROUP, "type", "ok", found)


def _failed(name: str, error: OSError) -> Finding:
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "Free some space, or choose another folder with --runs-dir.",
        errno.EDQUOT: "Your quota is used up: free some space, or choose --runs-dir.",
        errno.EROFS: f"It is mounted read-only. {_ELSEWHERE}",
        errno.EACCES: f"It is not yours to write. {_ELSEWHERE}",
        errno.EPERM: f"It is not yours to write. {_ELSEWHERE}",
    }
    fix = hints.get(error.errno or 0, _ELSEWHERE)
    return Finding(GROUP, name, "wrong", f"does not work: {reason}", fix)


# --- What is tried, in a folder of its own --------------------------------------------------------


def _writes(folder: Path) -> Finding:
    # Quotas show only when something is written.
    (folder / "large").write_bytes(bytes(1 << 20))
    (folder / "large").unlink()
    return Finding(GROUP, "write", "ok", "works")


def _locks(folder: Path) -> Finding:
    path = folder / "lock"
    first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not has_locks(first):
            return Finding(
                GROUP,
                "locks",
                "note",
                "there are none; a file with a heartbeat says who trains a run",
                "Nothing needs doing; for locks mount NFS without nolock, Lustre with flock.",
            )
        try:
            has_locks(second)
        except (BlockingIOError, PermissionError):
            return Finding(GROUP, "locks", "ok", "work, by flock")
        return Finding(GROUP, "locks", "wrong", "two can hold the same one", _ELSEWHERE)
    finally:
        os.close(first)
        os.close(second)


def _fsync(folder: Path) -> Finding:
    took = []
    for number in range(_FSYNCS):
        began = time.perf_counter()
        with (folder / f"synced-{number}").open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        took.append(time.perf_counter() - began)
    io.sync_folder(folder)
    typical = statistics.median(took)
    found = f"works, {1000 * typical:.1f} ms"
    if typical > _SLOW_FSYNC:
        fix = "Save less often: `--set training.checkpoint_every=N`, or choose a faster disk."
        return Finding(GROUP, "fsync", "note", f"{found}: every checkpoint waits for it", fix)
    return Finding(GROUP, "fsync", "ok", found)


def _rename(folder: Path) -> Finding:
    old, new = folder / "old", folder / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    with old.open("rb") as reader:
        new.replace(old)
        # Who has the old file open reads on in it.
        replaced = reader.read() == b"old" and old.read_bytes() == b"new"
    (folder / "from").mkdir()
    (folder / "to").mkdir()
    (folder / "from").rename(folder / "to")
    if not replaced:
        return Finding(GROUP, "rename", "wrong", "does not replace a file as a whole", _ELSEWHERE)
    return Finding(GROUP, "rename", "ok", "replaces files and folders as a whole")


def _exclusive(folder: Path) -> Finding:
    makes: tuple[tuple[str, Callable[[Path], object]], ...] = (
        ("file", lambda path: path.touch(exist_ok=False)),
        ("folder", lambda path: path.mkdir()),
    )
    for what, make in makes:
        make(folder / f"one-{what}")
        try:
            make(folder / f"one-{what}")
        except FileExistsError:
            continue
        return Finding(GROUP, "exclusive", "wrong", f"two can make the same {what}", _ELSEWHERE)
    return Finding(GROUP, "exclusive", "ok", "a name is given once")


def _clock(folder: Path) -> Finding:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        skew = time_there(descriptor) - time.time()
    finally:
        os.close(descriptor)
    if abs(skew) > _SKEW:
        words = f"the file system is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
        fix = "Set both clocks by NTP, here: `timedatectl set-ntp true`"
        return Finding(GROUP, "clock", "note", words, fix)
    return Finding(GROUP, "clock", "ok", "agrees with this machine's")


_PROBES: tuple[tuple[str, Callable[[Path], Finding]], ...] = (
    ("write", _writes),
    ("locks", _locks),
    ("fsync", _fsync),
    ("rename", _rename),
    ("exclusive", _exclusive),
    ("clock", _clock),
)


def _room(folder: Path) -> Iterator[Finding]:
    try:
        facts = os.statvfs(folder)
    except OSError as error:
        yield _failed("space", error)
        return
    free, total = facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
    if not total:
        return  # it does not count: what was written tells
    found = f"{_size(free)} of {_size(total)} free for you"
    fix = "Empty the trash: `ddpm-tui trash --empty`; or remove checkpoints that nobody needs."
    if free < _NO_SPACE:
        yield Finding(GROUP, "space", "wrong", found, fix)
    elif free < _LITTLE_SPACE:
        yield Finding(GROUP, "space", "note", found, fix)
    else:
        yield Finding(GROUP, "space", "ok", found)
    if facts.f_files:  # some file systems count none
        left = f"{facts.f_favail:,} more can be made"
        if facts.f_favail < _FEW_FILES:
            state: State = "wrong" if facts.f_favail < _NO_FILES else "note"
            fix = "Remove files, in the first place old runs: `ddpm-tui trash --empty`"
            yield Finding(GROUP, "files", state, left, fix)
        else:
            yield Finding(GROUP, "files", "ok", left)


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
