"""What a run folder holds is from outside: it may have been made by anybody, with anything in it.

Files are read up to a bound, and only if they are files: a pipe would never end, a device neither.
What a link leads to may be read, for whoever looks at a run can read it anyway. Nothing is written,
removed or copied into an export through a link inside of a run folder; a run that is itself a link
to a folder elsewhere is listed and sampled from, and nothing is written into it.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeGuard

from engine.errors import RunError

# Of a file that is read as a whole and parsed. The largest that the program writes, the figures of
# an evaluation of a thousand classes, have a few hundred kilobytes.
MAX_TEXT = 8 << 20


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading, and nothing else.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read, or is no file.
    """
    # A pipe that nobody writes into would be waited for here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
        return open(descriptor, "rb")  # noqa: PTH123 - a number, not a path
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, limit: int = MAX_TEXT) -> bytes:
    """All of a file that is not larger than it may be.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read, is no file, or has more than `limit` bytes.
    """
    with open_file(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
    return data


def decoded(data: bytes) -> str:
    """The text of a file that a person may have edited: UTF-8, without a byte-order mark.

    Raises:
        ValueError: it is in another encoding, or no text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong, at = error.object[error.start], error.start
        raise ValueError(f"byte {at:,} is 0x{wrong:02x}; save it as UTF-8") from None
    if "\0" in text:  # as in UTF-16
        raise ValueError("it has null bytes; save it as UTF-8")
    return text


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of JSON is a number that a float can hold."""
    return is_a(value, (int, float))


def is_a(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value of JSON is of a type. True is no number, nor is what no float can hold."""
    if isinstance(value, bool):
        return kind is bool
    if not isinstance(value, kind):
        return False
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False


def refuse_links(folder: Path, *inside: Iterable[str], deed: str = "written through") -> None:
    """Nothing is written, removed or handed on through a link.

    Args:
        folder: itself no matter.
        inside: the parts of paths below it; they need not be there.
        deed: what would be done.

    Raises:
        RunError: one of them is a link.
    """
    for parts in inside:
        path = folder
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise RunError(
                    f"{path} is a link, and nothing is {deed} a link",
                    "Put what it leads to in its place.",
                )
