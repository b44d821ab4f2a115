"""`ddpm-tui` in a process of its own, which need not load PyTorch again.

Loading it is most of what a small command takes, up to ten seconds where it trains. Here one
process has loaded it, with nothing of this project, and every command is started as a copy of that
one. So each still has its own folder, environment, streams and exit code, and imports what it uses.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_SECONDS = 240
# The optimizers of PyTorch load its compiler.
_LOADED = ["torch", "torch._dynamo", "torch.utils.flop_counter", "torchvision", "numpy", "typer"]
_LOADED += ["pydantic.main", "pydantic.functional_validators", "pydantic.type_adapter"]
_LOADED += ["imageio.v3", "tests.support.forked"]


@cache
def _loaded() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    return context


def _command(args: tuple[str, ...], cwd: Path, env: dict[str, str], out: Path, err: Path) -> None:
    streams = [os.open(os.devnull, os.O_RDONLY)]
    streams += [os.open(path, os.O_WRONLY | os.O_APPEND) for path in (out, err)]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ddpm-tui", *args]

    from ddpm_tui.cli import main

    main()


def start(*args: str, cwd: Path, env: dict[str, str], out: Path, err: Path) -> ForkServerProcess:
    """Begin `ddpm-tui ARGUMENTS`; what it says goes to the two files, its standard input is empty.

    Whoever starts it joins it.
    """
    out.touch()
    err.touch()
    process = _loaded().Process(target=_command, args=(args, cwd, env, out, err))
    process.start()
    return process


def run_started(*args: str, cwd: Path, env: dict[str, str]) -> CompletedProcess[str]:
    """What `ddpm-tui ARGUMENTS` said and how it ended."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = start(*args, cwd=cwd, env=env, out=out, err=err)
        process.join(_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"ddpm-tui {' '.join(args)} took more than {_SECONDS} s")
        code = process.exitcode
        assert code is not None
        return CompletedProcess(args, code, out.read_text(), err.read_text())
