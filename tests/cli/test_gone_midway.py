"""A run that somebody else renames or deletes while a command is at it, or just before.

Who takes it away here is the command itself, at one of its own calls: so the moment is certain.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine.evaluate.results
import engine.export
import engine.plot
import engine.runs.folder
import engine.sample_files
import engine.sampling
from ddpm_tui.cli import main
from ddpm_tui.headless.progress import Progress
from engine.config import make_config
from engine.runs import keeping
from engine.runs.folder import Run, create_run, open_run
from engine.runs.moved import find_moved
from engine.sample_shards import Shards
from tests.cli.conftest import Ended
from tests.one_quick import one_quick

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `r`, trained for two steps, and `other`, trained alike."""
    from engine.train import Trainer

    folder = tmp_path_factory.mktemp("gone") / "runs"
    for name in ("r", "other"):
        config = make_config(
            dataset_size=10_000,
            data={"dataset": "fashion-mnist-10k", "batch_size": 4},
            diffusion={"num_train_timesteps": 8},
            model={"name": "dit", "patch_size": 14, "hidden_size": 32},
            training={"steps": 2, "preview_every": 0, "precision": "fp32"},
            sampling={"num": 2, "num_inference_steps": 2},
        )
        list(Trainer(create_run(folder, config, name=name), device="cpu"))
    return folder


@pytest.fixture
def runs(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_TUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained_once.with_name("cache")))
    return Path(shutil.copytree(trained_once, tmp_path / "runs"))


@pytest.fixture
def call(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`ddpm-tui ARGS` in this process."""

    def ended(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["ddpm-tui", *args])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return ended


# How it leaves, and what is said then.
WAYS: dict[str, tuple[Callable[[Run], object], str]] = {
    "renamed": (lambda run: keeping.rename(run, "s"), "r was renamed to s. Use the new name: s"),
    "deleted": (keeping.delete, "r was deleted and is in the trash, "),
}


def leaving(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, leave: Callable[[], object]
) -> list[str]:
    """Have the run leave just before a function is called for that time; holds its name then."""
    whole = getattr(owner, name)
    calls: list[None] = []
    left: list[str] = []

    def counted(*args: Any, **more: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            leave()
            left.append(name)
        return whole(*args, **more)

    monkeypatch.setattr(owner, name, counted)
    return left


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# `--num 600` draws pieces of 256, 256 and 88 pictures: 4, 4 and 2 chunks of two timesteps each.
FEW = ("--steps", "2", "--device", "cpu")
MANY = ("sample", "r", "--num", "600", *FEW)
EVALUATE = ("evaluate", "r", "--num", "256", *FEW)
# The command, and which call of what function it is at when the run leaves.
MOMENTS: dict[str, tuple[tuple[str, ...], Any, str, int]] = {
    "sample": (("sample", "r", *FEW), Progress, "update", 1),
    "sample, before its weights": (("sample", "r", *FEW), engine.sampling, "read_fitting", 1),
    "sample, before its folder": (("sample", "r", *FEW), Run, "check_output", 1),
    "sample many, before the first step": (MANY, Shards, "check_room", 1),
    "sample many, in the first piece": (MANY, Progress, "update", 1),
    "sample many, in the second piece": (MANY, Progress, "update", 9),
    "sample many, all drawn": (MANY, Shards, "merge", 1),
    "sample many, the last file": (MANY, engine.sample_files, "copy_whole", 2),
    "evaluate, drawing": (EVALUATE, Progress, "update", 1),
    "evaluate, writing": (EVALUATE, engine.evaluate.results, "closest_pairs", 1),
    "export, before its pictures": (("export", "r"), engine.export, "drawn_samples", 1),
    "export, drawing them": (("export", "r"), Progress, "update", 1),
    "export, before its folder": (("export", "r"), engine.export, "export_run", 1),
    "export, in its folder": (("export", "r"), engine.plot, "write_loss_plot", 1),
    "take": (("take", "r", *FEW), Progress, "update", 1),
    "edit": (("edit", "interpolate", "r", "--seeds", "1,2", *FEW), Progress, "update", 1),
}
# What was finished stays in the run, wherever it is.
KEPT = {
    "sample many, in the second piece": "256 of 600 pictures are kept in it",
    "sample many, all drawn": "600 of 600 pictures are kept in it",
    "sample many, the last file": "600 of 600 pictures are kept in it",
}


# Measuring takes long where no features of real pictures are kept yet.
SLOW = {"evaluate, writing": (pytest.mark.slow,)}


@pytest.mark.parametrize("way", one_quick(WAYS))
@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=SLOW.get(moment, ())) for moment in MOMENTS]
)
def test_a_command_says_what_became_of_its_run_and_leaves_nothing_half_made(
    moment: str, way: str, runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, owner, name, number = MOMENTS[moment]
    leave, sentence = WAYS[way]
    run = open_run(runs, "r")
    left = leaving(monkeypatch, owner, name, number, lambda: leave(run))
    ended = call(*args)
    assert left
    assert ended.code == 1
    assert not ended.out
    said = ended.err.splitlines()[-1]  # after notes and progress
    assert said.startswith(f"ddpm-tui: {sentence}")
    assert "Traceback" not in ended.err
    assert not run.path.exists(), "nobody makes the folder anew"
    now = find_moved(run.path).now
    assert now is not None
    assert (KEPT.get(moment, "kept") in said) == (moment in KEPT)
    half_made = {path for path in files_of(now) if "/." in path and ".shards" not in path}
    pieces = any(".shards" in path for path in files_of(now))
    assert not half_made
    assert pieces == (moment in KEPT)
    assert not any(path.name.startswith(".r") for path in runs.iterdir())


@pytest.mark.parametrize("way", one_quick(WAYS))
def test_pieces_of_a_drawing_are_gone_on_with_where_the_run_is_now(
    way: str, runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(runs, "r")
    leaving(monkeypatch, Progress, "update", 9, lambda: WAYS[way][0](run))
    assert call(*MANY).code == 1
    name = "s" if way == "renamed" else "r"
    if way == "deleted":
        assert call("restore", "r").code == 0
    ended = call("sample", name, *MANY[2:])
    assert ended.code == 0, ended.err
    assert "goes on after 256 of 600 pictures" in ended.err
    assert not any(".shards" in path for path in files_of(runs / name))
    again = call("sample", "other", *MANY[2:])
    assert again.code == 0, again.err
    drawn, whole = (
        next((runs / each / "samples").glob("*-step2.npy")).read_bytes() for each in (name, "other")
    )
    assert drawn == whole


def test_evaluate_measures_nothing_that_it_could_not_keep(
    runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, sentence = WAYS["renamed"]
    leaving(monkeypatch, Progress, "update", 1, lambda: leave(open_run(runs, "r")))
    measured = leaving(monkeypatch, engine.evaluate.results, "find_real", 1, lambda: None)
    assert sentence in call(*EVALUATE).err
    assert not measured


def test_stop_does_not_wait_for_a_run_that_was_moved_by_hand(
    runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(runs, "r")
    left = leaving(monkeypatch, time, "sleep", 1, lambda: run.path.rename(runs / "s"))
    with run.lock():
        ended = call("stop", "r", "--wait", "60")
    assert left
    check_one_sentence("stop", ended, WAYS["renamed"][1])
    assert not run.path.exists()


# --- Before it begins ----------------------------------------------------------------------------

OPENING: dict[str, tuple[str, ...]] = {
    "sample": ("sample", "r", *FEW),
    "evaluate": EVALUATE,
    "export": ("export", "r"),
    "take": ("take", "r", *FEW),
    "edit": ("edit", "interpolate", "r", "--seeds", "1,2", *FEW),
    "stop": ("stop", "r"),
    "compare": ("compare", "r", "other"),
    "show": ("show", "r"),
    "inspect": ("inspect", "r"),
    "forward": ("forward", "--run", "r", "--device", "cpu"),
    "resume": ("resume", "r", "--device", "cpu"),
}
KEEPING: dict[str, tuple[str, ...]] = {
    "tag": ("tag", "r", "x"),
    "note": ("note", "r", "x"),
    "archive": ("archive", "r"),
    "rename": ("rename", "r", "x"),
    "delete": ("delete", "r"),
}


def check_one_sentence(verb: str, ended: Ended, sentence: str) -> None:
    assert ended.code == 1, verb
    assert not ended.out, verb
    assert ended.err.startswith(f"ddpm-tui: {sentence}"), verb
    assert ended.err.count("\n") == 1, verb


@pytest.mark.parametrize("way", one_quick(WAYS))
def test_a_run_that_left_before_is_found_by_every_command(way: str, runs: Path, call: Call) -> None:
    leave, sentence = WAYS[way]
    leave(open_run(runs, "r"))
    before = files_of(runs)
    for verb, args in {**OPENING, **KEEPING, "watch": ("watch", "r")}.items():
        check_one_sentence(verb, call(*args), sentence)
    assert files_of(runs) == before


@pytest.mark.parametrize("way", one_quick(WAYS))
@pytest.mark.parametrize("verb", OPENING)
def test_a_run_that_leaves_when_it_was_just_opened(
    verb: str, way: str, runs: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, sentence = WAYS[way]

    def opened(folder: Path, name: str) -> Run:
        run = open_run(folder, name)
        if name == "r":
            leave(run)
        return run

    monkeypatch.setattr(engine.runs.folder, "open_run", opened)
    ended = call(*OPENING[verb])
    assert not (runs / "r").exists()
    if verb == "compare":  # the others are there
        assert sentence in ended.out
        assert ended.code == 0
    else:
        check_one_sentence(verb, ended, sentence)
