"""Output is not the work: no stream that is lost, full or odd ends a command or shows a traceback.

One table of all commands, tried with each kind of stream.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ddpm_tui.cli.verbs import app
from engine.runs.folder import Run
from tests.cli.streams import HEAVY, LIGHT, ODD, WHOLE, Commands, Ended, Streams, commands

_SMALL = (
    *("--dataset", "fashion-mnist-10k", "--batch-size", "4", "--num-train-timesteps", "8"),
    *("--set", "model.block_out_channels=[16, 32]", "--set", "training.preview_every=0"),
    *("--set", "training.log_every=1"),
)

# In this order in one folder: a command that did not do its work makes a later one fail.
_WITHOUT_TORCH = [
    ["--version"],
    ["runs"],
    ["runs", "--json"],
    ["tag", "tiny", "β"],
    ["note", "tiny", "β → ∞ 漢字 😀"],
    ["runs", "--json", "--filter", "tag:β"],
    ["show", "tiny"],
    ["show", "tiny", "--json"],
    ["show", "tiny", "--plot"],
    ["compare", "tiny"],
    ["compare", "tiny", "--json"],
    ["rename", "tiny", "other"],
    ["archive", "other"],
    ["delete", "other"],
    ["trash"],
    ["restore", "other"],
    ["rename", "other", "tiny"],
    ["export", "tiny"],
    ["config"],
    ["keys"],
    ["data"],
    ["data", "get", "nonsense"],
    ["edit"],
    ["stop", "tiny"],
    ["resume", "tiny"],
    ["watch", "tiny"],
    ["nonsense"],
    ["runs", "--nonsense"],
    [],
]
_WITH_TORCH = [
    ["train", *_SMALL, "--steps", "2", "--name", "new"],
    ["train", *_SMALL, "--steps", "2", "--name", "newer", "--json"],
    ["resume", "new"],
    ["sample", "tiny", "--num", "1", "--steps", "2"],
    ["sample", "tiny", "--num", "1", "--steps", "2", "--json"],
    ["take", "tiny", "--num", "1", "--steps", "2"],
    ["take", "tiny", "--num", "1", "--steps", "2", "--json"],
    ["edit", "renoise", "tiny", "--steps", "4"],
    ["edit", "branch", "tiny", "--steps", "4"],
    ["edit", "interpolate", "tiny", "--steps", "4"],
    ["edit", "start", "tiny", "--steps", "4", "--image", "missing.png"],
    ["edit", "inpaint", "tiny", "--steps", "4", "--mask", "nonsense"],
    ["edit", "invert", "tiny", "--steps", "4", "--image", "missing.png"],
    ["edit", "switch", "tiny", "--steps", "4"],
    ["evaluate", "tiny", "--num", "2", "--device", "nonsense"],
    ["bench", "--device", "nonsense"],
    ["inspect", "tiny"],
    ["inspect", "tiny", "--json"],
    ["forward", "--num", "1", "--num-train-timesteps", "4"],
    ["import", "missing.pt"],
    ["doctor"],
    ["doctor", "--json"],
]


def _verbs(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, verb in group.commands.items():
        yield (*before, name)
        if hasattr(verb, "commands"):
            yield from _verbs(verb, (*before, name))


_VERBS = sorted(_verbs(typer.main.get_command(app)))
_HELP = [["--help"], *([*verb, "--help"] for verb in _VERBS)]


def _is_training(command: list[str]) -> bool:
    return command[:1] in (["train"], ["resume"]) and "--help" not in command


def test_every_command_is_in_the_table() -> None:
    tried = _WITHOUT_TORCH + _WITH_TORCH
    missing = [verb for verb in _VERBS if not any([*verb] == c[: len(verb)] for c in tried)]
    assert not missing


@pytest.fixture(scope="module")
def light() -> Iterator[Commands]:
    with commands(LIGHT) as started:
        yield started


@pytest.fixture(scope="module")
def heavy() -> Iterator[Commands]:
    with commands(HEAVY) as started:
        yield started


def _folder(parent: Path, name: str, trained: Path) -> Path:
    folder = parent / name
    shutil.copytree(trained, folder / "runs")
    return folder


def _wrong(command: list[str], streams: Streams, whole: Ended, ended: Ended) -> list[str]:
    """What is not as it should be."""
    loses = streams.loses_output and bool(whole.out)
    code = 1 if loses and whole.code == 0 and not _is_training(command) else whole.code
    wrong = [] if ended.code == code else [f"exit code {ended.code}, not {code}"]
    said = ended.out + ended.err
    wrong += [word for word in ("Traceback", "Exception ignored") if word.encode() in said]
    if loses and streams.stderr == "file" and b"cannot write to standard output" not in ended.err:
        wrong.append("nothing is said of it")
    if streams.stdout == "broken" and b"cannot write" in ended.err:
        wrong.append("a reader may leave")
    if streams.stdout == "file":
        text = ended.out.decode(streams.encoding)
        lines = len(whole.out.splitlines())
        if not _is_training(command) and len(ended.out.splitlines()) != lines:
            wrong.append(f"{text!r} has not the {lines} lines of the whole")
        if "--json" in command:
            for line in text.splitlines():
                json.loads(line)
    return [f"ddpm-tui {' '.join(command)}: {each}: {said.decode('latin-1')}" for each in wrong]


def _tried(
    started: Commands, table: list[list[str]], streams: Streams, parent: Path, trained: Path
) -> list[str]:
    """The table once with whole streams, once with these; what is wrong with the latter."""
    expected, folder = (_folder(parent, name, trained) for name in ("whole", "odd"))
    wrong = []
    for command in table:
        whole = started.run(*command, streams=WHOLE, cwd=expected)
        ended = started.run(*command, streams=streams, cwd=folder)
        wrong += _wrong(command, streams, whole, ended)
    return wrong


@pytest.mark.parametrize("kind", ODD)
def test_no_stream_ends_a_command(light: Commands, trained: Path, tmp_path: Path, kind: str) -> None:
    wrong = _tried(light, _WITHOUT_TORCH + _HELP, ODD[kind], tmp_path, trained)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ODD)
def test_no_stream_ends_a_command_that_loads_torch(
    heavy: Commands, trained: Path, tmp_path: Path, kind: str
) -> None:
    wrong = _tried(heavy, _WITH_TORCH, ODD[kind], tmp_path, trained)
    assert not wrong, "\n".join(wrong)
