"""`ddpm-tui evaluate`: figures beside their floors, kept in the run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run_cli

# Two steps a picture: the pictures are noise, and the figures say so.
QUICK = ("--num", "256", "--sampler", "ddim", "--steps", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run folder that was evaluated, and what was printed."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(trained, folder / "runs")
    done = run_cli("evaluate", "tiny", *QUICK, "--seed", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs/tiny", done.stdout, done.stderr


@pytest.mark.slow
def test_every_figure_stands_beside_its_floor(evaluated: tuple[Path, str, str]) -> None:
    _, said, _ = evaluated
    header, *rows = (line for line in said.split("\n\n")[1].splitlines() if line)
    assert header.split() == ["FIGURE", "VALUE", "n=256", "FLOOR", "n=256", "RATIO"]
    names = [row.split("  ")[0].rstrip() for row in rows]
    assert names == [
        "Fréchet distance",
        "kernel distance ×1000 (95 %)",
        "precision",
        "recall",
        "brightness, levels",
        "contrast, levels",
        "spectrum, dB",
        "fine detail, dB",
        "nearest training picture, levels",
        "share nearer than 0.1 % of real",
    ]
    frechet = rows[0].split()
    value, floor, ratio = (float(cell.replace(",", "")) for cell in frechet[-3:])
    assert value / floor == pytest.approx(ratio, rel=0.01)
    assert ratio > 10
    assert "Ankle boot" in said


@pytest.mark.slow
def test_counts_and_extractor_are_stated(evaluated: tuple[Path, str, str]) -> None:
    run, said, _ = evaluated
    assert said.startswith("tiny at step 6: 256 pictures, ddim, 2 steps, seed 5\n")
    assert "256 generated pictures" in said
    assert "256 held-out real pictures" in said
    assert "the training split of fashion-mnist-10k, 10,000 pictures" in said
    assert f"{_kept(run)['extractor']}; figures of another extractor do not compare" in said


@pytest.mark.slow
def test_few_pictures_are_warned_of_before_they_are_drawn(
    evaluated: tuple[Path, str, str],
) -> None:
    _, said, complained = evaluated
    assert complained.startswith("ddpm-tui: 256 pictures are few: below 2,048")
    assert "256 pictures are few" in said


@pytest.mark.slow
def test_the_figures_are_kept_in_the_run_folder(evaluated: tuple[Path, str, str]) -> None:
    run, said, _ = evaluated
    kept = _kept(run)
    (path,) = (run / "evaluations").glob("*.json")
    assert path.name in said
    for part in ("ddim", "2steps", "256x", "seed5", "step6", kept["extractor"]):
        assert part in path.name
    assert path.with_name(f"{path.stem}-nearest.png").is_file()
    assert kept["run"] == "tiny"
    assert kept["generated"]["n"] == kept["floor"]["n"] == 256
    assert kept["sampling"]["num_inference_steps"] == 2
    assert kept["extractor"].startswith("fashion-mnist-v1-")
    assert kept["accuracy"] is None or 0 <= kept["accuracy"] <= 1


@pytest.mark.slow
def test_json_is_what_is_kept(
    trained: Path, evaluated: tuple[Path, str, str], tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    described = {"XDG_CACHE_HOME": str(evaluated[0].parents[1] / "cache")}
    done = run_cli("evaluate", "tiny", *QUICK, "--json", cwd=tmp_path, env=described)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    kept = _kept(tmp_path / "runs/tiny")
    assert Path(printed.pop("json")).name.endswith(f"{kept['extractor']}.json")
    assert printed.pop("png").endswith("-nearest.png")
    assert {**printed, "created": 0} == {**kept, "created": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tiny", "--num", "255"), 2, "255 pictures are too few"),
        (("tiny", "--num", "0"), 2, "--num"),
        (("tiny", "--num", "10000000"), 2, "sampling.num"),
        (("tiny", "--steps", "13"), 2, "num_train_timesteps (12)"),
        (("tiny", "--sampler", "magic"), 2, "--sampler"),
        (("tiny", "--checkpoint", "5"), 1, "5"),
        (("tiny", "--guidance-scale", "2"), 2, "guidance_scale needs"),
        (("tiny", "--device", "cuda:9"), 1, "cuda:9"),
        (("nobody",), 1, "no run 'nobody'"),
    ],
)
def test_a_mistake_gets_a_sentence_and_leaves_nothing(
    trained: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    shutil.copytree(trained, tmp_path / "runs")
    done = run_cli("evaluate", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "runs/tiny/evaluations").exists()


def _kept(run: Path) -> dict[str, Any]:
    (path,) = (run / "evaluations").glob("*.json")
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept
