"""Standard streams that end no command.

A reader may leave, a disk may be full, a terminal may die, and a shell may close a stream from the
start. What a command does is not what it prints: so a write never raises here. A failure is kept,
and becomes one sentence and an exit code at the end. Imports nothing heavy: every command begins
here.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = {1: "standard output", 2: "standard error"}


class _Writer(io.RawIOBase):
    """A descriptor to which a write always seems to succeed.

    Attributes:
        failed: the `errno` of the first write that did not; None while there is none.
    """

    def __init__(self, descriptor: int) -> None:
        self.failed: int | None = None
        self._descriptor = descriptor

    @property
    def name(self) -> str:
        return _NAMES[self._descriptor]

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        rest = whole = memoryview(data).cast("B")
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # another program left the terminal or pipe like this
                    select.select([], [self._descriptor], [])
        except OSError as error:
            # Tried again at the next write: a full disk may have room by then.
            self.failed = self.failed or error.errno
        return len(whole)


class _Text(io.TextIOWrapper):
    """Text over a `_Writer`; what its encoding lacks is replaced."""

    @property
    def buffer(self) -> NoReturn:
        # Typer would take it and write UTF-8 where the encoding is ASCII.
        raise AttributeError("only text is written here")


_writers: dict[int, _Writer] = {}
_decides_exit_code = True


@contextmanager
def unfailing_streams() -> Iterator[None]:
    """Around the whole of a command, which ends by `SystemExit`: no write to standard output or
    standard error raises inside.

    Lost standard output is said at the end on standard error, and makes of exit code 0 a 1. A
    reader that left is no error: nothing is said of it. Streams that somebody replaced, as tests
    do, are left alone.
    """
    global _decides_exit_code
    _decides_exit_code = True
    _fill_closed()
    _writers.clear()
    if sys.stdin is None and sys.__stdin__ is None:
        _install("stdin", open(0, encoding="utf-8", closefd=False))  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        _install("stdout", _wrapped(sys.stdout, 1))
    if sys.stderr is sys.__stderr__:
        _install("stderr", _wrapped(sys.stderr, 2))
    try:
        yield
    except SystemExit as end:
        raise SystemExit(_exit_code(end.code)) from None


def failure() -> str | None:
    """What is wrong with a stream that was written to, as a clause; None while nothing is."""
    for descriptor, writer in _writers.items():
        if writer.failed is not None:
            # A shell closes it with `>&-`.
            closed = writer.failed == errno.EBADF
            why = "it is closed" if closed else os.strerror(writer.failed)
            return f"cannot write to {_NAMES[descriptor]} ({why})"
    return None


def keep_exit_code() -> None:
    """From now on lost output changes no exit code: what the command prints is not its result."""
    global _decides_exit_code
    _decides_exit_code = False


def _fill_closed() -> None:
    """Put /dev/null where a standard stream is closed, before another file gets its number.

    Writing there fails as before: it is open for reading only.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)


def _install(name: str, stream: TextIO) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)  # Textual draws on this one of standard error


def _wrapped(stream: TextIO | None, descriptor: int) -> TextIO:
    writer = _writers[descriptor] = _Writer(descriptor)
    is_unbuffered = False
    if isinstance(stream, io.TextIOWrapper):
        is_unbuffered = stream.write_through
        try:
            stream.flush()
        except OSError as error:
            writer.failed = error.errno
    return _Text(
        writer,
        encoding=stream.encoding if stream is not None else "utf-8",
        errors="replace",
        line_buffering=descriptor == 2 or writer.isatty(),
        write_through=is_unbuffered,
    )


def _exit_code(code: object) -> object:
    """The exit code of a command that ends with `code`, after the last of its output."""
    if 1 not in _writers:
        return code
    sys.stdout.flush()
    failed = _writers[1].failed
    if failed is None or failed == errno.EPIPE:
        return code
    print(f"ddpm-tui: {failure()}", file=sys.stderr)
    return code or int(_decides_exit_code)
