"""Where nothing can be written, a command says so, and what to do, before it begins to work."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from ddpm_tui.cli import main
from engine.errors import RunError
from engine.runs import io

COMMANDS = {
    "sample": ("sample", "tiny", "--num", "2", "--out", "{out}"),
    "take": ("take", "tiny", "--num", "1", "--out", "{out}"),
    "edit": ("edit", "renoise", "tiny", "--at", "5", "--back-to", "8", "--out", "{out}"),
    "export": ("export", "tiny", "--out", "{out}"),
    "evaluate": ("evaluate", "tiny", "--num", "256", "--out", "{out}"),
    "forward": ("forward", "--out", "{out}"),
    "--screenshot": ("--screenshot", "runs", "--out", "{out}.svg"),
    "train": ("train", "--dataset", "fashion-mnist-10k", "--steps", "1", "--runs-dir", "{out}"),
    "train --detach": (
        "train",
        "--detach",
        "--dataset",
        "fashion-mnist-10k",
        "--runs-dir",
        "{out}",
    ),
    "data get": ("data", "get", "mnist"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["below a file", "below a link that leads nowhere"])
def test_one_sentence_before_the_first_step(
    command: str,
    place: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    before = sorted(tmp_path.rglob("*"))
    if place == "below a file":
        (tmp_path / "there").write_text("")
    else:
        (tmp_path / "there").symlink_to(tmp_path / "unmounted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there" / "cache"))
    words = {"out": str(tmp_path / "there" / "out")}
    monkeypatch.setattr(
        sys, "argv", ["ddpm-tui", *(word.format_map(words) for word in COMMANDS[command])]
    )
    with pytest.raises(SystemExit) as end:
        main()
    out, said = capsys.readouterr()
    assert end.value.code == 1, said
    assert out == ""
    assert len(said.splitlines()) == 1, "no progress before it"
    assert str(tmp_path / "there") in said
    assert said.rstrip().endswith("."), "it says what to do"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "there"])


def test_no_extractor_is_trained_that_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.data.dataset import load
    from engine.evaluate import extractor

    (tmp_path / "cache").write_text("")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(extractor, "train_classifier", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(RunError, match="Cannot write in"):
        extractor.find_extractor(replace(load("fashion-mnist-10k"), name="hats"))


def test_without_a_temporary_folder_it_is_said_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(RunError) as error, io.temporary_folder("ddpm-tui-"):
        pass
    assert "TMPDIR" in error.value.hint


def test_what_is_to_be_done_names_the_part_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    (tmp_path / "file").write_text("")
    for place, words in (("link", "leads nowhere"), ("file", "is not a folder")):
        with pytest.raises(RunError) as error:
            io.check_writable(tmp_path / place / "out")
        assert error.value.hint.startswith(f"{tmp_path / place} ")
        assert words in error.value.hint
