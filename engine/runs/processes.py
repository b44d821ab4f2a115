"""Which process makes something, in a few characters, so that others can tell whether it lives.

What a process of another machine does, or of a container with process ids of its own, cannot be
told; nor where the system has no `/proc`.
"""

from __future__ import annotations

import os
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

# Of `maker`: where process ids are unique, the process id, when it began.
MAKER = r"[0-9a-f]{8}-[0-9a-f]{1,8}-[0-9a-f]{1,16}"


def kernel() -> str:
    """This boot of this machine, and within it the namespace in which process ids are unique.

    Returns:
        "" where that is not known.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def maker() -> str:
    """This process, for a file name (see `MAKER`); "" where that cannot be known."""
    return _maker(os.getpid())


@cache
def _maker(pid: int) -> str:
    where, began = kernel(), _began(pid)
    return f"{_digest(where)}-{pid:x}-{began:x}" if where and began is not None else ""


def is_alive(written: str) -> bool | None:
    """Whether the process that `maker` named still runs.

    Returns:
        None where that cannot be known from here: it is of another machine, or nobody was named.
    """
    if not re.fullmatch(MAKER, written):
        return None
    where, pid, began = written.split("-")
    here = kernel()
    if not here or where != _digest(here):
        return None
    number = int(pid, 16)
    if has_ended(number):
        return False
    now = _began(number)
    # A process id is given again; one whose start is hidden from us may be the same.
    return now is None or now == int(began, 16)


def has_ended(pid: int) -> bool:
    """Whether there is no process of this id in this namespace, or only what its parent has not
    taken notice of."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return (_stat(pid) or ["?"])[0] in ("Z", "X")


def _began(pid: int) -> int | None:
    """When a process began, in clock ticks since the boot; None where that cannot be seen."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else None


def _stat(pid: int) -> list[str]:
    """What `/proc` says of a process, from its state on: its name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _digest(where: str) -> str:
    return sha256(where.encode()).hexdigest()[:8]
