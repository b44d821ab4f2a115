"""`ddpm-tui keys`, and `--screenshot`, as a script meets them."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from ddpm_tui.keys import KEYS
from tests.cli.conftest import Cli


def test_every_action_is_listed_with_its_keys_and_what_it_does(cli: Cli) -> None:
    done = cli("keys")
    assert done.returncode == 0, done.stderr
    for key in KEYS:
        line = next(line for line in done.stdout.splitlines() if f"  {key.id} " in line)
        assert key.help in line
    assert "config.toml under [keys]" in done.stdout


def test_ones_own_keys_are_marked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[keys]\n"sample.draw" = "t,f5"\n')
    done = cli("keys", "--json", env={"DDPM_TUI_CONFIG": "own.toml"})
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {key.id for key in KEYS}
    assert rows["sample.draw"]["keys"] == ["t", "f5"]
    assert rows["sample.draw"]["changed"] is True
    assert rows["app.keys"]["keys"] == ["question_mark", "f1"]
    plain = cli("keys", env={"DDPM_TUI_CONFIG": "own.toml"}).stdout
    assert "t f5" in next(line for line in plain.splitlines() if "sample.draw" in line)


def test_a_wrong_file_is_a_sentence_with_file_and_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[keys]\n"sample.draw" = "w"\n')
    done = cli("keys", env={"DDPM_TUI_CONFIG": "own.toml"})
    assert done.returncode == 2
    assert done.stderr.startswith("ddpm-tui: own.toml, line 2")
    assert "sample.save" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_view_is_written_as_a_picture(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("--runs-dir", str(trained), "--screenshot", "train", "--size", "80x24",
               "--out", "train.png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "train.png")
    with Image.open(tmp_path / "train.png") as image:
        assert image.size == (800, 480)
    svg = cli("--runs-dir", str(trained), "--screenshot", "runs")
    assert (tmp_path / "runs.svg").read_text().startswith("<svg"), svg.stderr


def test_what_cannot_be_drawn_is_a_sentence(cli: Cli) -> None:
    for arguments, said in (
        (("--screenshot", "trian"), "There is no view 'trian'"),
        (("--screenshot", "runs", "--size", "9"), "no size"),
        (("--screenshot", "runs", "--out", "x.gif"), "neither .svg nor .png"),
        (("--screenshot", "train", "--run", "none"), "none"),
    ):
        done = cli(*arguments)
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr
