"""What signals do to a command that is no training, from its first line to its last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_tui import ending
from ddpm_tui.ending import Received
from ddpm_tui.headless.signals import Signals
from engine.config import make_config
from engine.runs.folder import create_run
from engine.runs.requests import Requests


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_signal_insists_only_when_one_of_its_kind_is_older_than_the_grace() -> None:
    clock = Clock()
    received = Received(clock)
    assert not received.add(signal.SIGUSR1)
    assert not received.add(signal.SIGUSR1), "timeout sends each twice"
    clock.now += ending.GRACE - 0.01
    assert not received.add(signal.SIGUSR1)
    clock.now += 0.02
    assert not received.add(signal.SIGTERM), "it is the first of its kind"
    assert received.add(signal.SIGUSR1)
    clock.now += ending.GRACE
    assert received.add(signal.SIGTERM)
    assert (received.name, received.exit_code) == ("SIGUSR1", 75)


# A command of the length of a test: what `ddpm-tui` does, with another verb.
_COMMAND = """
import os, signal, sys
from ddpm_tui import cli, ending
ending.GRACE = {grace}

def come(*names):
    for name in names:
        os.kill(os.getpid(), signal.Signals["SIG" + name])

def verb():
    {body}

cli._verb = verb
sys.argv = ["ddpm-tui", "it"]
{before}
cli.main()
"""


def command(
    body: str, folder: Path, *, before: str = "", grace: float = 5.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _COMMAND.format(body=body, before=before, grace=grace)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


@pytest.mark.parametrize(
    ("first", "code", "said"),
    [
        ("INT", 130, "interrupted"),
        ("TERM", 75, "ended by SIGTERM; nothing half done counts"),
        ("USR1", 75, "ended by SIGUSR1; nothing half done counts"),
    ],
)
def test_what_comes_while_a_command_clears_up_lets_it(
    tmp_path: Path, first: str, code: int, said: str
) -> None:
    body = f"""
    try:
        come("{first}")
    finally:
        come("INT", "TERM", "USR1", "INT", "TERM", "USR1")
        print("cleared up", flush=True)
    """
    done = command(body, tmp_path)
    assert (done.returncode, done.stdout) == (code, "cleared up\n")
    assert done.stderr == f"ddpm-tui: {said}\n"


def test_a_second_one_after_the_grace_ends_a_command_at_once(tmp_path: Path) -> None:
    body = """
    try:
        come("TERM")
    finally:
        come("TERM")
        print("cleared up", flush=True)
    """
    done = command(body, tmp_path, grace=0.0)
    assert (done.returncode, done.stdout) == (75, "")
    assert "ended at once by a second SIGTERM" in done.stderr


def test_nothing_is_raised_inside_of_an_import(tmp_path: Path) -> None:
    """An extension, or a module that tries what there is, would take it for its own error."""
    (tmp_path / "slow.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('loaded', flush=True)\n"
        "except BaseException:\n"
        "    print('lost', flush=True)\n"
    )
    done = command("import slow; signal.pause(); print('went on')", tmp_path)
    assert (done.returncode, done.stdout) == (75, "loaded\n")
    assert done.stderr == "ddpm-tui: ended by SIGTERM; nothing half done counts\n"


def test_no_signal_changes_the_exit_code_of_a_command_that_is_over(tmp_path: Path) -> None:
    before = "import atexit; atexit.register(come, 'INT', 'TERM', 'USR1', 'HUP', 'INT')"
    done = command("return 3", tmp_path, before=before)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_a_full_or_closed_standard_error_keeps_no_handler(tmp_path: Path) -> None:
    """Nobody reads the pipe, and nothing waits for it."""
    run = create_run(tmp_path, make_config(dataset_size=100), name="mine", command=[])
    requests = Requests(run)
    own, (reader, writer) = os.dup(2), os.pipe()
    try:
        os.set_blocking(writer, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, bytes(65536))
        os.set_blocking(writer, True)
        os.dup2(writer, 2)
        with Signals(run, requests):
            os.kill(os.getpid(), signal.SIGTERM)
            assert requests.next() == "stop"
    finally:
        os.dup2(own, 2)
        for each in (own, reader, writer):
            os.close(each)
    assert requests.stopped_by == "SIGTERM"


def test_a_training_gives_the_handlers_back(tmp_path: Path) -> None:
    run = create_run(tmp_path, make_config(dataset_size=100), name="mine", command=[])
    kinds = (*ending.ENDING, signal.SIGHUP)
    before = [signal.getsignal(each) for each in kinds]
    with Signals(run, Requests(run)):
        assert [signal.getsignal(each) for each in kinds] != before
    assert [signal.getsignal(each) for each in kinds] == before
