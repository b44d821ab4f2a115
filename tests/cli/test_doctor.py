"""`ddpm-tui doctor`: its report, its JSON, its exit code, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_tui.doctor.report import cleaned, group_report, last_words
from ddpm_tui.doctor.settings import settings
from ddpm_tui.doctor.terminal import terminal
from engine.doctor.finding import Finding
from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]
GROUPS = ["versions", "devices", "data", "runs folder", "terminal", "settings"]


def test_json_lists_every_finding_and_the_code_says_whether_one_is_wrong(
    cli: Cli, tmp_path: Path
) -> None:
    done = cli("doctor", "--json", "--runs-dir", "new/runs", "--device", "cpu")
    findings = json.loads(done.stdout)
    assert list(dict.fromkeys(finding["group"] for finding in findings)) == GROUPS
    for finding in findings:
        assert list(finding) == ["group", "name", "state", "found", "fix"]
        assert finding["state"] in ("ok", "note", "wrong")
        assert finding["found"]
        assert bool(finding["fix"]) == (finding["state"] != "ok"), finding
    states = {finding["name"]: finding["state"] for finding in findings}
    assert states["locks"] == states["rename"] == states["--device"] == "ok"
    assert done.returncode == int("wrong" in states.values()), findings
    assert done.stderr == ""
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".ddpm*"))


def test_the_exit_code_says_that_something_is_wrong(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("doctor", "--runs-dir", "file", "--data-dir", "nowhere", "--device", "cuda:77")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in GROUPS] == GROUPS
    wrong = [line.split()[1] for line in lines if line.startswith("  WRONG")]
    assert wrong == ["--device", "check", "path"]
    assert lines[-1].startswith("3 things wrong; ")
    assert "\x1b" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_broken_torch_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open \\x1b[31m')")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "ddpm_tui", "doctor"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stdout.split())  # a long path makes several lines of it
    assert "WRONG torch" in said
    assert "/torch.py' hides the module 'torch' that the program needs" in said
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_on_a_terminal_it_is_coloured_and_fits(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ddpm_tui", "doctor"]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=theirs) as process:
        os.close(theirs)
        out = b""
        while True:
            try:
                out += os.read(ours, 1 << 16)
            except OSError:
                break
    os.close(ours)
    assert process.returncode in (0, 1), out
    assert b"\x1b[32mok" in out
    from ddpm_tui.sanitize import clean

    assert max(len(clean(line)) for line in out.decode().splitlines()) <= 80


# --- The terminal --------------------------------------------------------------------------------


def looked(size: tuple[int, int] | None = (120, 40), **environ: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in terminal(environ, size)}


def test_a_good_terminal_has_nothing_to_note() -> None:
    found = looked(TERM="xterm-kitty", LANG="de_DE.UTF-8")
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["colours"].found == "truecolor, by TERM=xterm-kitty"
    assert found["graphics"].found.startswith("kitty's protocol")


def test_a_session_over_ssh_is_told_how_to_get_truecolor() -> None:
    found = looked((70, 20), TERM="xterm-256color", LANG="C", SSH_CONNECTION="10.0.0.7 22 10.0.0.1")
    assert found["link"].found == "over SSH from 10.0.0.7"
    assert found["size"].state == found["colours"].state == found["characters"].state == "note"
    assert "`export COLORTERM=truecolor`" in found["colours"].fix
    assert "`export LC_ALL=C.UTF-8`" in found["characters"].fix


def test_tmux_is_told_how_to_pass_truecolor_on() -> None:
    found = looked(TERM="tmux-256color", TMUX="/tmp/tmux-0/default,1,0", LC_ALL="C.utf8")
    assert found["colours"].found == "256, by TERM=tmux-256color, TMUX"
    assert "terminal-features" in found["multiplexer"].fix
    assert found["graphics"].state == "note"
    told = looked(TERM="tmux-256color", TMUX="x", COLORTERM="truecolor", LC_ALL="C.utf8")
    assert told["multiplexer"].state == told["colours"].state == "ok"


def test_screen_and_no_colour_are_noted() -> None:
    assert "Use tmux" in looked(TERM="screen-256color", STY="1.pts")["multiplexer"].fix
    assert "`unset NO_COLOR`" in looked(TERM="xterm", NO_COLOR="1")["colours"].fix
    assert looked(None)["size"].state == "ok"
    assert looked()["colours"].found == "none, since TERM is not set"


# --- Settings and the report ---------------------------------------------------------------------


def test_a_config_file_that_cannot_be_used_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("theme = ")
    (file, *others) = settings({"DDPM_TUI_CONFIG": str(path), "OMP_NUM_THREADS": "many"})
    assert file.state == "wrong"
    assert [(finding.name, finding.state) for finding in others] == [("OMP_NUM_THREADS", "wrong")]
    path.write_text("")
    (file, data) = settings({"DDPM_TUI_CONFIG": str(path), "DDPM_TUI_DATA": "/nowhere"})
    assert (file.state, data.state) == ("ok", "note")


def test_the_report_is_aligned_wraps_and_keeps_commands_whole() -> None:
    findings = [
        Finding("g", "short", "ok", "fine"),
        Finding("g", "a", "wrong", "does not work at all", "Type this: `make it so now`."),
        Finding("g", "a_name_that_is_too_long", "note", "x\x1b[2Jy", "Do."),
    ]
    text = group_report([cleaned(finding) for finding in findings], 50, color=False)
    assert text.splitlines() == [
        "g",
        "  ok    short             fine",
        "  WRONG a                 does not work at all",
        "                          → Type this:",
        "                            `make it so now`.",
        "  note  a_name_that_is_too_long",
        "                          xy",
        "                          → Do.",
    ]
    assert last_words(findings) == "1 thing wrong; 1 note."
    assert last_words(findings[:1]) == "Nothing is wrong; nothing to note."
