"""Runs kept in order from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddpm_tui import cli
from tests.engine.made_up_runs import make_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    make_run(folder, "run1", 1, loss=0.3, tags=["base"])
    make_run(folder, "run2", 2, loss=0.1, state="failed", reason="CUDA out of memory")
    make_run(folder, "run3", 3, loss=0.2, notes="the one with the long warm-up")
    monkeypatch.setenv("DDPM_TUI_RUNS", str(folder))
    return folder


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Call a verb in this process: its exit code, what it printed, what it complained."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ddpm-tui", *arguments])
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def listed(verb, *arguments: str) -> list[str]:
    return [row["name"] for row in json.loads(verb("runs", "--json", *arguments)[1])]


def test_runs_are_filtered_and_sorted(runs: Path, verb) -> None:
    assert listed(verb) == ["run3", "run2", "run1"]
    assert listed(verb, "--sort", "loss") == ["run2", "run3", "run1"]
    assert listed(verb, "--filter", "-state:failed loss:<0.25") == ["run3"]
    assert listed(verb, "--filter", "base") == ["run1"]
    code, out, err = verb("runs", "--filter", "tag:(")
    assert (code, out) == (2, "")
    assert "is not a regular expression" in err
    assert verb("runs", "--filter", "nothing")[:2] == (0, "No run matches.\n")


def test_an_archived_run_is_listed_on_request_and_brought_back(runs: Path, verb) -> None:
    assert verb("archive", "run1", "run2")[:2] == (
        0,
        "run1 is in the archive\nrun2 is in the archive\n",
    )
    assert listed(verb) == ["run3"]
    assert listed(verb, "--archived") == ["run3", "run2", "run1"]
    _, out, err = verb("runs")
    assert "run1" not in out
    assert "2 archived; --archived lists them too." in err
    assert "failed (archived)" in verb("runs", "--archived")[1]
    assert verb("restore", "run1")[1] == "run1 is back\n"
    assert listed(verb) == ["run3", "run1"]


def test_tags_and_notes_are_told_and_shown(runs: Path, verb) -> None:
    assert verb("tag", "run1", "lr3", "--remove", "base")[1] == "lr3\n"
    assert json.loads(verb("tag", "run1", "--json")[1]) == {"name": "run1", "tags": ["lr3"]}
    assert verb("note", "run3")[1] == "the one with the long warm-up\n"
    assert verb("note", "run1", "keep")[1] == "keep\n"
    header, *rows = verb("runs")[1].splitlines()
    assert header.endswith("TAGS")
    assert rows[-1].endswith("lr3")
    told = verb("show", "run1")[1]
    assert "tags        lr3" in told
    assert "note        keep" in told
    assert verb("note", "run1", "")[1] == "run1 has no note\n"


def test_a_deleted_run_says_where_it_is_and_comes_back(runs: Path, verb) -> None:
    code, out, _ = verb("delete", "run1")
    trashed = next((runs / ".trash").iterdir())
    assert (code, out) == (
        0,
        f"run1 is in {trashed}; `ddpm-tui restore run1` undoes it\n",
    )
    assert listed(verb, "--archived") == ["run3", "run2"]
    (row,) = json.loads(verb("trash", "--json")[1])
    assert (row["name"], row["path"]) == ("run1", str(trashed))
    assert json.loads(verb("restore", "run1", "--json")[1])["path"] == str(runs / "run1")
    assert verb("trash")[1] == f"Nothing is deleted in {runs}.\n"
    verb("delete", "run1", "run2")
    assert json.loads(verb("trash", "--empty", "--json")[1]) == {"removed": 2}
    code, _, err = verb("restore", "run1")
    assert code == 1
    assert "No run 'run1' is in the archive or the trash" in err


def test_a_rename_is_told_and_a_taken_name_refused(runs: Path, verb) -> None:
    assert verb("rename", "run1", "best")[:2] == (0, "run1 is now best\n")
    code, _, err = verb("rename", "best", "run2")
    assert code == 1
    assert "already a run 'run2'" in err
    assert set(listed(verb)) == {"best", "run2", "run3"}


@pytest.mark.parametrize("verb_name", ["tag", "note", "archive", "delete", "restore"])
@pytest.mark.parametrize("name", ["nowhere", "../runs", ".trash", ".", ""])
def test_what_is_no_run_is_left_alone(runs: Path, verb, verb_name: str, name: str) -> None:
    code, out, err = verb(verb_name, name)
    assert code in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    assert set(listed(verb)) == {"run1", "run2", "run3"}


def test_hostile_text_does_not_reach_the_terminal(runs: Path, verb) -> None:
    name = "\x1b]0;evil\x07run"
    make_run(runs, name, 9, tags=["\x1b[31mtag"], notes="\x1b[2Jnote [bold]x[/]")
    for arguments in (("runs",), ("note", name), ("tag", name), ("delete", name), ("trash",)):
        code, out, err = verb(*arguments)
        assert code == 0, err
        assert "\x1b" not in out + err
        assert "\x07" not in out + err
    verb("restore", name)
    assert verb("note", name)[1] == "note [bold]x[/]\n"
