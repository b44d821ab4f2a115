"""File systems without `flock`, for processes that a test starts with this environment."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest


def without_flock(folder: Path, number: int = errno.ENOLCK) -> dict[str, str]:
    """What a process needs in its environment so that every `flock` fails.

    Args:
        folder: the library is compiled into it.
        number: the error.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a flock that fails needs a C compiler: apt-get install gcc")
    library = folder / "libnoflock.so"
    source = Path(__file__).with_name("flock.c")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "NO_FLOCK": str(number)}
