"""The program, Python and the packages, held against what the program asks for."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

from engine.doctor.finding import Finding

GROUP = "versions"
_PROGRAM = "ddpm-tui"
# Those that decide most; the others share a line unless something is wrong with them.
_NAMED = ("torch", "torchvision", "textual")

_REQUIREMENT = re.compile(r"([\w.-]+)\s*\(?([^;()]*)")
_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


def versions() -> Iterator[Finding]:
    """A finding for the program, Python and each package that has something to say."""
    try:
        program = metadata.metadata(_PROGRAM)
    except metadata.PackageNotFoundError:
        yield Finding(
            GROUP,
            _PROGRAM,
            "wrong",
            "is not installed, only its source is here",
            "In the clone: `pip install .`",
        )
        return
    yield Finding(GROUP, _PROGRAM, "ok", program["Version"])
    wanted = program["Requires-Python"] or ""
    yield _held(platform.python_version(), wanted, "python", "Make a venv with a newer Python.")
    others = []
    for line in metadata.requires(_PROGRAM) or ():
        if ";" in line:
            continue  # of an extra
        match = _REQUIREMENT.match(line)
        assert match is not None
        name, bounds = match[1], match[2].strip()
        fix = f"`pip install '{name}{bounds}'`"
        try:
            found = _held(metadata.version(name), bounds, name, fix)
        except metadata.PackageNotFoundError:
            found = Finding(GROUP, name, "wrong", "is not installed", fix)
        if found.state != "ok" or name in _NAMED:
            yield found
        else:
            others.append(f"{name} {metadata.version(name)}")
    if others:
        yield Finding(GROUP, "others", "ok", ", ".join(others))


def _held(version: str, bounds: str, name: str, fix: str) -> Finding:
    """A version against bounds such as `<9,>=8.2`."""
    for sign, bound in _BOUND.findall(bounds):
        below = _numbers(version) < _numbers(bound)
        if below == (sign == ">="):
            words = "is older than" if sign == ">=" else "is not older than"
            return Finding(GROUP, name, "wrong", f"{version} {words} {bound}", fix)
    floor = next((bound for sign, bound in _BOUND.findall(bounds) if sign == ">="), "")
    return Finding(GROUP, name, "ok", f"{version} (needs {floor})" if floor else version)


def _numbers(version: str) -> list[int]:
    """2.14.1+cu130 as [2, 14, 1]; trailing zeros say nothing."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
