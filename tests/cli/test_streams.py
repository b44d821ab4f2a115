"""Output is not the work: no stream that is lost, full or odd ends a command or shows a traceback.

One table of all commands, tried with each kind of stream.
"""

from __future__ import annotations

import json
import os
import shlex
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
from tests.cli.conftest import run_cli
from tests.cli.streams import HEAVY, LIGHT, ODD, WHOLE, Commands, Ended, Streams, commands
from tests.one_quick import one_quick

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
    ["edit", "renoise", "tiny", "--at", "4", "--back-to", "8", "--num", "1"],
    ["edit", "branch", "tiny", "--at", "4", "--num", "1"],
    ["edit", "interpolate", "tiny", "--seeds", "0,1"],
    ["edit", "start", "tiny", "--from-test", "0"],
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


# Those that are unlike each other.
_FEW = ["latin-1", "all closed", "stdout full", "both broken"]
_QUICK_FIRST = [
    *_FEW,
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ODD if kind not in _FEW),
]


_VERBS = sorted(_verbs(typer.main.get_command(app)))
_HELP = [["--help"], *([*verb, "--help"] for verb in _VERBS)]


def _is_training(command: list[str]) -> bool:
    return command[:1] in (["train"], ["resume"]) and "--help" not in command


def test_every_command_is_in_the_table() -> None:
    tried = _WITHOUT_TORCH + _WITH_TORCH
    missing = [verb for verb in _VERBS if not any([*verb] == c[: len(verb)] for c in tried)]
    assert not missing


def _folder(folder: Path, trained: Path) -> Path:
    """A folder with runs of its own, which the commands may change."""
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
        # Not the text itself: some of it is measured, and other letters stand in it.
        if bool(text) != bool(whole.out):
            wrong.append(f"it printed {text!r}")
        if "--json" in command:
            for line in text.splitlines():
                json.loads(line)
    return [f"ddpm-tui {' '.join(command)}: {each}: {said.decode('latin-1')}" for each in wrong]


def _all(started: Commands, table: list[list[str]], streams: Streams, folder: Path) -> list[Ended]:
    return [started.run(*command, streams=streams, cwd=folder) for command in table]


Table = tuple[Commands, list[list[str]], list[Ended]]


def _begun(started: Commands, table: list[list[str]], folder: Path) -> Table:
    return started, table, _all(started, table, WHOLE, folder)


@pytest.fixture(scope="module")
def light(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """What needs no torch, and how each of it ends with whole streams."""
    with commands(LIGHT) as started:
        yield _begun(started, _WITHOUT_TORCH, _folder(tmp_path_factory.mktemp("light"), trained))


@pytest.fixture(scope="module")
def heavy(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """The same of what needs it."""
    with commands(HEAVY) as started:
        yield _begun(started, _WITH_TORCH, _folder(tmp_path_factory.mktemp("heavy"), trained))


def _all_wrong(tried: Table, streams: Streams, folder: Path) -> str:
    started, table, whole = tried
    ended = _all(started, table, streams, folder)
    wrong = [
        line
        for command, first, second in zip(table, whole, ended, strict=True)
        for line in _wrong(command, streams, first, second)
    ]
    return "\n".join(wrong)


@pytest.mark.parametrize("kind", _QUICK_FIRST)
def test_no_stream_ends_a_command(light: Table, trained: Path, tmp_path: Path, kind: str) -> None:
    assert _all_wrong(light, ODD[kind], _folder(tmp_path, trained)) == ""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["latin-1", "both full"])
def test_no_stream_ends_a_command_that_loads_torch(
    heavy: Table, trained: Path, tmp_path: Path, kind: str
) -> None:
    assert _all_wrong(heavy, ODD[kind], _folder(tmp_path, trained)) == ""


@pytest.mark.slow
def test_no_stream_ends_a_help_page(tmp_path: Path) -> None:
    with commands(LIGHT) as started:
        tried = _begun(started, _HELP, tmp_path)
        wrong = [
            _all_wrong(tried, streams, tmp_path) for streams in (ODD["ascii"], ODD["stdout full"])
        ]
    assert "".join(wrong) == ""


def _train(*more: str) -> list[str]:
    return [sys.executable, "-m", "ddpm_tui", "train", *_SMALL, "--name", "new", *more]


def _finished(folder: Path, steps: int, why: str) -> None:
    run = Run(folder / "runs/new")
    assert (run.status().state, run.status().step) == ("finished", steps)
    assert (run.checkpoints_path / f"step-{steps:08}").is_dir()
    log = run.log_path.read_text()
    assert log.count("cannot write to") == 1, log
    assert f"({why}); the training goes on" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("more", one_quick([["--json"], []]))
def test_a_training_outlives_the_tee_that_it_is_piped_to(tmp_path: Path, more: list[str]) -> None:
    train = [*_train("--steps", "30"), *more]
    with (
        subprocess.Popen(
            train, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as training,
        subprocess.Popen(
            ["tee", "log"], cwd=tmp_path, stdin=training.stdout, stdout=subprocess.PIPE
        ) as tee,
    ):
        assert training.stdout is not None and tee.stdout is not None
        training.stdout.close()
        tee.stdout.readline()  # the name of the run
        tee.send_signal(signal.SIGHUP)
        tee.wait()
        assert training.wait(240) == 0
    _finished(tmp_path, 30, "Broken pipe")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "why", "more"),
    [
        ("> /dev/full 2>&1", "No space left on device", "--json"),
        (">&- 2>&- <&-", "it is closed", "--quiet"),
    ],
)
def test_a_training_goes_on_without_its_output(
    tmp_path: Path, where: str, why: str, more: str
) -> None:
    command = f"{shlex.join(_train('--steps', '3', more))} {where}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
    _finished(tmp_path, 3, why)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["> /dev/full 2>&1", ">&- 2>&- <&-"])
def test_a_detached_training_needs_no_output_of_who_starts_it(tmp_path: Path, where: str) -> None:
    command = f"{shlex.join(_train('--steps', '1000000', '--detach'))} {where}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
    run = Run(tmp_path / "runs/new")
    assert run.status().state == "running"
    assert run_cli("stop", "new", cwd=tmp_path).returncode == 0
    assert run.status().state == "stopped"
    assert "Traceback" not in run.log_path.read_text()


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("runs > /dev/full", 1, "cannot write to standard output (No space left on device)"),
        ("runs >&-", 1, "cannot write to standard output (it is closed)"),
        ("keys | head -n 1", 0, ""),
        ("--help | true", 0, ""),
        ("nonsense <&- >&- 2>&-", 2, ""),
    ],
)
def test_a_shell_sees_it_so(tmp_path: Path, line: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$PYTHON" -m ddpm_tui {line}'],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr == (f"ddpm-tui: {said}\n" if said else "")


@pytest.mark.parametrize(("closing", "prints"), [(">&-", "sys.stdout"), ("2>&-", "sys.stderr")])
def test_no_file_gets_the_number_of_a_closed_stream(
    tmp_path: Path, closing: str, prints: str
) -> None:
    (tmp_path / "command.py").write_text(
        "import sys\n"
        "from ddpm_tui.streams import unfailing_streams\n"
        "with unfailing_streams():\n"
        "    kept = open('kept', 'w')\n"
        f"    print('lost', file={prints})\n"
        "    sys.exit()\n"
    )
    line = f"{shlex.quote(sys.executable)} command.py {closing}"
    subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert (tmp_path / "kept").read_text() == ""
