"""What lies around the program: foreign modules, folders that are gone, links, odd encodings."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm_tui import cli, preferences
from engine.doctor.filesystem import filesystem
from engine.runs import folder as folders
from tests.engine.made_up_runs import make_run

PROGRAM = Path(cli.__file__).parents[2]
SCRIPT = "from ddpm_tui.cli import main; main()"  # what the console script does
Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Call a verb in this process: its exit code, what it printed, what it complained."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ddpm-tui", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return call


def started(
    *command: str, cwd: Path, path: Path | None = None, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Python with this program and, before it on PYTHONPATH, a folder of somebody else's."""
    given = [*([str(path)] if path else []), str(PROGRAM)]
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(given)},
        capture_output=True,
        text=True,
        preexec_fn=before,
        check=False,
    )


def one_sentence(text: str) -> str:
    assert "Traceback" not in text
    (line,) = text.splitlines()
    assert line.startswith("ddpm-tui: ")
    return line


# --- Foreign modules ---


@pytest.mark.parametrize("name", ["engine.py", "engine/__init__.py"])
@pytest.mark.parametrize("on_path", [True, False])
def test_a_foreign_engine_is_passed_over(tmp_path: Path, name: str, on_path: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise RuntimeError('not ours')")
    command = ("-c", SCRIPT) if on_path else ("-m", "ddpm_tui")
    done = started(*command, "runs", cwd=tmp_path, path=tmp_path if on_path else None)
    assert done.returncode == 0, done.stderr
    assert "No runs" in done.stdout


@pytest.mark.parametrize("name", ["random", "typing", "typer"])
def test_a_file_that_hides_a_module_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("mine = 1")
    done = started("-c", SCRIPT, "runs", cwd=tmp_path, path=tmp_path)
    assert done.returncode == 1
    assert f"'{tmp_path / name}.py' hides the module '{name}'" in one_sentence(done.stderr)
    beside = started("-m", "ddpm_tui", "runs", cwd=tmp_path)
    assert (beside.returncode, beside.stderr) == (0, "")


# --- PyTorch that does not load ---


@pytest.mark.parametrize(
    "source", ["mine = 1", "raise OSError('libtorch_cpu.so: no such file')", "raise MemoryError"]
)
@pytest.mark.parametrize("hides", [True, False])
def test_a_torch_that_does_not_load_is_an_error_of_ours(
    tmp_path: Path, source: str, hides: bool
) -> None:
    """Wherever it is imported, and as often: the workbench shows it in each view."""
    (tmp_path / "torch.py").write_text(source)
    twice = (
        "import sys\n"
        "from ddpm_tui.imports import guard_torch\n"
        "from engine.errors import EngineError\n"
        f"if not {hides}: sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "guard_torch()\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        import torch\n"
        "    except EngineError as error:\n"
        "        print(error)\n"
    )
    said = started("-c", twice, cwd=tmp_path, path=tmp_path)
    first, second = said.stdout.splitlines()
    assert first == second
    assert ("hides the module 'torch'" if hides else "PyTorch cannot be loaded: ") in first


def test_a_tight_limit_of_memory_is_named(tmp_path: Path) -> None:
    import resource

    limit = 1 << 30
    done = started(
        *("-c", SCRIPT, "train", "--steps", "1"),
        cwd=tmp_path,
        before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1
    assert "in the 1.0 GiB of memory that this shell allows" in one_sentence(done.stderr)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", [["train", "--steps", "1"], ["runs"], ["show", "one"]])
def test_a_deleted_working_directory_is_named(tmp_path: Path, command: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = started("-c", SCRIPT, *command, cwd=gone, before=lambda: shutil.rmtree(gone))
    assert done.returncode == 1
    assert "he working directory has been deleted" in one_sentence(done.stderr)


# --- The folder of the runs ---


@pytest.mark.parametrize("target", ["/nowhere/at/all", "runs"], ids=["away", "loop"])
@pytest.mark.parametrize("inside", ["", "mine"])
def test_a_link_to_nowhere_is_no_empty_folder(
    tmp_path: Path, verb: Verb, target: str, inside: str
) -> None:
    link = tmp_path / "runs"
    link.symlink_to(target)
    runs_dir = str(link / inside)
    for command in (
        ["runs"],
        ["show", "x"],
        ["trash"],
        ["restore", "x"],
        ["train", "--steps", "1"],
    ):
        code, out, said = verb(*command, "--runs-dir", runs_dir)
        assert (code, out) == (1, ""), command
        assert f"{link} is a link that leads nowhere: it names {target}" in one_sentence(said)
    (finding,) = filesystem(link / inside)
    assert (finding.state, finding.name) == ("wrong", "path")
    assert "leads nowhere" in finding.found


def test_a_file_in_place_of_the_folder_is_said_to_be_one(tmp_path: Path, verb: Verb) -> None:
    (tmp_path / "runs").write_text("")
    for command in (["runs"], ["show", "x"], ["trash"]):
        _, _, said = verb(*command, "--runs-dir", str(tmp_path / "runs"))
        assert "Not a directory" in one_sentence(said)
    _, _, said = verb("train", "--steps", "1", "--runs-dir", str(tmp_path / "runs"))
    assert "is not a folder: name another one" in one_sentence(said)


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(folders.os, "scandir", refuse)
    for command in (["runs"], ["show", "x"], ["trash"]):
        code, _, said = verb(*command, "--runs-dir", str(tmp_path))
        assert code == 1
        assert f"Cannot read {tmp_path}: Permission denied" in one_sentence(said)


# --- Files that an editor saved ---


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, verb: Verb, newline: str) -> None:
    run = make_run(tmp_path / "runs", "one")
    for name in ("config.toml", "run.json", "status.json"):
        text = (run / name).read_text().replace("\n", newline)
        (run / name).write_bytes(text.encode("utf-8-sig"))
    code, out, said = verb("show", "one", "--runs-dir", str(tmp_path / "runs"))
    assert (code, said) == (0, "")
    assert "finished" in out
    own = tmp_path / "own.toml"
    own.write_bytes(f'theme = "paper"{newline}'.encode("utf-8-sig"))
    assert preferences.load(own).theme == "paper"
    preferences.remember_theme(own, "dark")
    assert preferences.load(own).theme == "dark"


BROKEN = {
    "UTF-16": ("preset = 'default'\n".encode("utf-16"), "is not UTF-8 text: byte 0 is 0xff"),
    "UTF-16 without a mark": ("a = 1\n".encode("utf-16-le"), "is not UTF-8 text: it has null"),
    "latin-1": (b"# caf\xe9\n", "is not UTF-8 text: byte 5 is 0xe9"),
    "no TOML": (b"[data]\nname\n", "is not valid TOML: "),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_has_one_sentence_everywhere(
    tmp_path: Path, verb: Verb, data: bytes, reason: str
) -> None:
    runs_dir = tmp_path / "runs"
    run = make_run(runs_dir, "one")
    make_run(runs_dir, "two")
    (run / "config.toml").write_bytes(data)
    _, listed, _ = verb("runs", "--json", "--runs-dir", str(runs_dir))
    assert '"unreadable"' in listed
    assert reason in listed
    told = {
        one_sentence(verb(*command, "--runs-dir", str(runs_dir))[2])
        for command in (["show", "one"], ["inspect", "one"], ["sample", "one"])
    }
    (sentence,) = told
    assert f"{run / 'config.toml'} {reason}" in sentence
