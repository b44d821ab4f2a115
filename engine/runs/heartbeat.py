"""Who owns a folder where the file system has no locks: an exclusive file with a heartbeat.

The owner makes `.owner-000001`, exclusively, and touches it every few seconds. A file that has not
been touched for `STALE` seconds, by the file system's own clock, is nobody's. Whoever wants the
folder then does not replace that file, since two who both found it stale could replace each other's
new one: the next number is made, exclusively, and the highest number owns. The highest file is
never removed, also not when its owner lets go, so no number comes twice and of any two owners one
sees a higher number than its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from engine.runs import processes

BEAT = 5.0  # seconds between two touches
STALE = 6 * BEAT

_OWNER = re.compile(r"\.owner-(\d{6,9})")
_MOST = 1000  # bytes of an owner's file that are read
# The clock of a file system is asked again after so many seconds by those who only look.
_CLOCK_FOR = 60.0
_clocks: dict[int, tuple[float, float]] = {}  # by device: its time, and ours of that moment


class OwnedError(Exception):
    """Somebody else owns the folder."""


class Heartbeat:
    """Owns a folder until `close`, or until another process has taken it over.

    The folder may be renamed meanwhile.

    Args:
        folder: must exist and be writable.

    Attributes:
        lost: whether another process has been found to own the folder.

    Raises:
        OwnedError: somebody owns it.
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.lost = False
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._number, self._file = _claim(self._folder)
        except BaseException:
            os.close(self._folder)
            raise
        self._touched = _uptime()
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()

    def still_beats(self) -> bool:
        """Whether the folder is still owned; asks the disk only if the beat is late, as it is after
        this process, or its machine, has slept."""
        if _uptime() - self._touched > 2 * BEAT:
            self._beat()
        return not self.lost

    def close(self) -> None:
        """Let go of the folder."""
        self._ended.set()
        self._thread.join()
        if not self.lost:
            # As old as can be: the next one need not wait.
            with suppress(OSError):
                os.utime(self._file, (0, 0))
        os.close(self._file)
        os.close(self._folder)

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT):
            self._beat()

    def _beat(self) -> None:
        # A file system that does not answer now may do so at the next beat.
        with self._guard, suppress(OSError):
            # Listed first: a file that was taken over must not look alive for its sake.
            self.lost = self.lost or _numbers(self._folder)[-1:] != [self._number]
            if not self.lost:
                os.utime(self._file)
                self._touched = _uptime()


def is_beating(folder: Path) -> bool:
    """Whether somebody owns the folder by a heartbeat. It need not be writable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        numbers = _numbers(descriptor)
        return bool(numbers) and _is_alive(descriptor, numbers[-1], _recent_time(descriptor))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def time_there(folder: int) -> float:
    """Unix time by the clock of the file system, which may be another machine's.

    Args:
        folder: descriptor of a folder on it, in which a file is made and removed.

    Raises:
        OSError: nothing can be made there.
    """
    name = f".clock-{secrets.token_hex(4)}.tmp"
    probe = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.utime(probe)
        return os.fstat(probe).st_mtime
    finally:
        os.close(probe)
        os.unlink(name, dir_fd=folder)


def _recent_time(folder: int) -> float:
    """`time_there`, asked at most once a minute; our own clock where nothing can be written."""
    device, now = os.fstat(folder).st_dev, _uptime()
    there, asked = _clocks.get(device, (0.0, -_CLOCK_FOR))
    if now - asked >= _CLOCK_FOR:
        try:
            there = time_there(folder)
        except OSError:
            return time.time()
        asked = _uptime()
        _clocks[device] = there, asked
    return there + (now - asked)


def _claim(folder: int) -> tuple[int, int]:
    """The number and the descriptor of a new owner's file."""
    while True:
        numbers = _numbers(folder)
        if numbers and _is_alive(folder, numbers[-1], time_there(folder)):
            raise OwnedError
        number = numbers[-1] + 1 if numbers else 1
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            file = os.open(_name(number), flags, 0o666, dir_fd=folder)
        except FileExistsError:
            continue
        try:
            os.write(file, json.dumps(_myself()).encode())
            # Who was slow between looking and making may have made an old number anew.
            if _numbers(folder)[-1] == number:
                for old in numbers:
                    with suppress(OSError):
                        os.unlink(_name(old), dir_fd=folder)
                return number, file
        except BaseException:
            os.utime(file, (0, 0))
            os.close(file)
            raise
        os.close(file)
        os.unlink(_name(number), dir_fd=folder)


def _name(number: int) -> str:
    return f".owner-{number:06}"


def _numbers(folder: int) -> list[int]:
    return sorted(int(match[1]) for name in os.listdir(folder) if (match := _OWNER.fullmatch(name)))


def _is_alive(folder: int, number: int, now: float) -> bool:
    # Opened and not only asked for its state: NFS then asks its server.
    try:
        file = os.open(_name(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        return now - os.fstat(file).st_mtime < STALE and not _has_died(os.read(file, _MOST))
    finally:
        os.close(file)


def _myself() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "kernel": processes.kernel()}


def _has_died(text: bytes) -> bool:
    """Whether the owner was a process of this very machine that is no more."""
    try:
        owner = json.loads(text)
        kernel, pid = owner["kernel"], owner["pid"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False  # it is being written
    if not kernel or kernel != processes.kernel() or not isinstance(pid, int) or pid <= 0:
        return False
    return processes.has_ended(pid)


def _uptime() -> float:
    """Seconds that go on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
