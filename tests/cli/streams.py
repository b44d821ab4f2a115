"""`ddpm-tui` with standard streams that are closed, full, broken or of an odd encoding.

One process has loaded what the commands import, and every command is a fork of it. It gets its
streams as the interpreter makes them, and ends as an interpreter ends: with the last flush, and the
exit code that a failed one gives.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Stream = Literal["file", "closed", "full", "broken"]

# `engine.config` builds models of pydantic, most of which is loaded only then.
LIGHT = ["ddpm_tui.cli.verbs", "engine.config", "engine.runs.folder", "numpy", "plotext"]
HEAVY = [*LIGHT, "torch", "torch._dynamo", "torchvision", "imageio.v3", "engine.train"]


@dataclass(frozen=True)
class Streams:
    """What the standard streams of a command are."""

    stdout: Stream = "file"
    stderr: Stream = "file"
    stdin: Literal["empty", "closed"] = "empty"
    encoding: str = "utf-8"

    @property
    def loses_output(self) -> bool:
        """What is printed is lost, and nobody chose so by leaving."""
        return self.stdout in ("closed", "full")


WHOLE = Streams()
ODD = {
    "latin-1": Streams(encoding="latin-1"),
    "ascii": Streams(encoding="ascii"),
    "stdin closed": Streams(stdin="closed"),
    "stdout closed": Streams(stdout="closed"),
    "stderr closed": Streams(stderr="closed"),
    "all closed": Streams("closed", "closed", "closed"),
    "stdout full": Streams(stdout="full"),
    "stderr full": Streams(stderr="full"),
    "both full": Streams("full", "full"),
    "stdout broken": Streams(stdout="broken"),
    "stderr broken": Streams(stderr="broken"),
    "both broken": Streams("broken", "broken"),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what arrived of what it said."""

    code: int
    out: bytes
    err: bytes


class Commands:
    """Starts commands, one after the other."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, *args: str, streams: Streams, cwd: Path) -> Ended:
        server = self._server
        assert server.stdin is not None and server.stdout is not None
        case = {"args": args, "streams": asdict(streams), "cwd": str(cwd)}
        print(json.dumps(case), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return Ended(code, *((cwd / name).read_bytes() for name in ("stdout", "stderr")))


@contextmanager
def commands(loaded: list[str]) -> Iterator[Commands]:
    """Args:
    loaded: the modules that need not be imported again by each.
    """
    command = [sys.executable, "-m", "tests.cli.streams", *loaded]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield Commands(server)
        assert server.stdin is not None
        server.stdin.close()


def _serve() -> None:
    for name in [*sys.argv[1:], "tests.support.forked"]:
        importlib.import_module(name)
    if train := sys.modules.get("engine.train"):
        vars(train)["_EVAL_IMAGES"] = 32
    while line := sys.stdin.readline():
        case = json.loads(line)
        if (child := os.fork()) == 0:
            _become(case["args"], Streams(**case["streams"]), Path(case["cwd"]))
            from ddpm_tui.cli import main

            main()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(args: list[str], streams: Streams, cwd: Path) -> None:
    os.chdir(cwd)
    os.environ["PYTHONIOENCODING"] = streams.encoding
    sys.argv = ["ddpm-tui", *args]
    for name in ("stdout", "stderr"):
        Path(name).write_bytes(b"")
    opened = {
        0: None if streams.stdin == "closed" else os.open(os.devnull, os.O_RDONLY),
        1: _opened("stdout", streams.stdout),
        2: _opened("stderr", streams.stderr),
    }
    for number, descriptor in opened.items():
        if descriptor is None:
            os.close(number)
        else:
            os.dup2(descriptor, number)
            os.close(descriptor)
    made = [
        None if descriptor is None else _text(number, streams.encoding)
        for number, descriptor in opened.items()
    ]
    sys.stdin, sys.stdout, sys.stderr = made  # type: ignore[assignment]
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = made  # type: ignore[misc,assignment]


def _opened(name: str, stream: Stream) -> int | None:
    match stream:
        case "closed":
            return None
        case "full":
            return os.open("/dev/full", os.O_WRONLY)
        case "broken":
            reader, writer = os.pipe()
            os.close(reader)
            return writer
        case "file":
            return os.open(name, os.O_WRONLY | os.O_APPEND)


def _text(number: int, encoding: str) -> io.TextIOWrapper:
    opened = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(opened, encoding=encoding, errors=errors, line_buffering=number == 2)


if __name__ == "__main__":
    _serve()
