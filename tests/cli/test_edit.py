"""`ddpm-tui edit`, as a script meets it: what each verb leaves on disk, and what it refuses.

In this process, because a dozen fresh ones would each load torch.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_tui.cli import main
from engine.config import make_config
from engine.images import read_png
from engine.runs.folder import create_run
from tests.cli.conftest import Ended, run_cli

CELL = 30
VERBS = ("start", "inpaint", "switch", "renoise", "branch", "interpolate", "invert")


Edit = Callable[..., Ended]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `tiny`, whose network knows classes, and `plain`, whose does not."""
    from engine.train import Trainer

    folder = tmp_path_factory.mktemp("edited") / "runs"
    for name, conditional in (("tiny", True), ("plain", False)):
        config = make_config(
            dataset_size=10_000,
            data={"dataset": "fashion-mnist-10k", "batch_size": 8},
            diffusion={"num_train_timesteps": 20},
            model={
                "class_conditional": conditional,
                "block_out_channels": (8, 16),
                "norm_num_groups": 4,
                "attention_levels": (),
                "attention_head_dim": 8,
            },
            training={"steps": 4, "lr_warmup_steps": 1, "precision": "fp32", "preview_every": 0},
        )
        list(Trainer(create_run(folder, config, name=name), device="cpu"))
    return folder


@pytest.fixture
def edit(runs: Path, tmp_path: Path, monkeypatch, capsys) -> Edit:
    """`ddpm-tui edit VERB RUN …` in an empty folder, with files going to `out`."""
    monkeypatch.chdir(tmp_path)

    def call(verb: str, *args: str, run: str = "tiny") -> Ended:
        where = ("--runs-dir", str(runs), "--out", "out")
        monkeypatch.setattr(sys, "argv", ["ddpm-tui", "edit", verb, run, *args, *where])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return call


def picture(path: Path, width: int = 28, height: int = 28) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("verb", "arguments", "columns", "rows", "frames"),
    [
        ("start", ("--from-test", "3", "--strength", "0.5"), 4, 3, 11),
        ("start", ("--from-test", "3", "--from-test", "5", "--num", "2"), 4, 3, 9),
        ("inpaint", ("--from-test", "3", "--mask", "left", "--resample", "2"), 4, 3, 35),
        ("switch", ("--prompt-at", "10:dress", "--guidance-at", "t=5: 3", "--num", "3"), 3, 2, 20),
        ("renoise", ("--at", "5", "--back-to", "12", "--num", "3"), 3, 4, 27),
        ("branch", ("--at", "10", "--num", "3"), 4, 1, 12),
        ("branch", ("--at", "10", "--to-prompt", "dress", "--to-prompt", "bag"), 2, 2, 12),
        ("interpolate", ("--seeds", "3,7", "--frames", "5", "--num", "2"), 5, 2, 5),
        ("invert", ("--from-test", "3", "--from-test", "5", "--to-prompt", "bag"), 2, 4, 22),
    ],
)
def test_every_verb_leaves_a_grid_that_tells_and_a_gif(
    edit, tmp_path: Path, verb, arguments, columns, rows, frames
) -> None:
    ended = edit(verb, *arguments, "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    png, gif = Path(facts["png"]), Path(facts["gif"])
    assert png.parent == gif.parent == Path("out")
    assert png.stem == gif.stem
    assert f"-step4-{verb}" in png.stem
    assert len(facts["rows"]) == rows
    with Image.open(png) as grid, Image.open(gif) as film:
        assert grid.size == (columns * CELL - 2, rows * CELL - 2)
        # Pillow joins frames that are equal.
        assert frames / 2 < film.n_frames <= frames
    images, about = read_png(png)
    assert len(images) == columns * rows
    assert about["edit"].startswith(verb)
    assert {key: about[key] for key in ("run", "step", "rows")} == {
        key: facts[key] for key in ("run", "step", "rows")
    }


def test_branches_of_a_sampler_without_noise_take_one_with_noise_and_say_so(edit) -> None:
    facts = json.loads(edit("branch", "--at", "10", "--num", "3", "--json").out)
    images, about = read_png(Path(facts["png"]))
    assert about["sampler"] == "dpmpp_2m_sde"
    assert Path(facts["png"]).name.startswith("dpmpp_2m_sde-")
    assert not np.array_equal(images[1], images[2])


def test_by_default_files_lie_with_the_runs_samples_and_are_told_to_a_person(
    runs: Path, tmp_path: Path
) -> None:
    done = run_cli(
        *("edit", "start", "tiny", "--from-test", "3", "--num", "1", "--runs-dir", str(runs)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    png = runs / "tiny/samples/dpmpp_2m-12steps-1x-seed0-step4-start0.4-test3.png"
    assert png.is_file()
    assert f"picture  {png}" in done.stdout
    assert f"gif      {png.with_suffix('.gif')}" in done.stdout
    assert "given    held-out 3: Trouser" in done.stdout
    assert "row 1    original" in done.stdout


def test_a_picture_and_a_mask_of_ones_own(edit, tmp_path: Path) -> None:
    image = picture(tmp_path / "me.png")
    mask = np.zeros((28, 28), dtype=np.uint8)
    mask[5:9, 5:20] = 255
    Image.fromarray(mask).save(tmp_path / "hole.png")
    ended = edit("inpaint", "--image", image, "--mask", "hole.png", "--num", "2", "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert (facts["mask"], facts["pictures"]) == ("hole", ["me.png"])
    images, _ = read_png(Path(facts["png"]))
    original, result = images[0, 0], images[4, 0]
    assert np.array_equal(original, np.asarray(Image.open(image)))
    assert np.array_equal(result[mask == 0], original[mask == 0])
    assert not np.array_equal(result, original)


def test_a_picture_of_another_size_is_scaled_on_request(edit, tmp_path: Path) -> None:
    image = picture(tmp_path / "photo.png", 61, 47)
    ended = edit("start", "--image", image, "--num", "1", "--resize", "--json")
    assert ended.code == 0, ended.err


def test_inversion_says_how_far_off_it_came_back(edit) -> None:
    arguments = ("invert", "--from-test", "3", "--from-test", "5")
    told = re.search(r"^error {4}(\S+), (\S+) \(root mean square", edit(*arguments).out, re.M)
    facts = json.loads(edit(*arguments, "--json").out)
    assert facts["sampler"] == "ddim"
    assert told
    assert [float(error) for error in told.groups()] == pytest.approx(facts["rms_error"], rel=0.05)
    refined = json.loads(edit(*arguments, "--refine", "2", "--json").out)
    assert refined["refinements"] == 2
    assert refined["rms_error"] != facts["rms_error"]


@pytest.mark.parametrize(
    ("verb", "arguments", "code", "said"),
    [
        ("start", (), 2, "--image FILE or from --from-test INDEX"),
        ("start", ("--image", "a.png", "--from-test", "3"), 2, "one or the other"),
        ("start", ("--image", "nowhere.png"), 1, "Cannot read the picture nowhere.png"),
        ("start", ("--image", "odd.png"), 1, "odd.png is 31×17 pixels"),
        ("start", ("--image", "text.png"), 1, "text.png is not a picture"),
        ("start", ("--from-test", "1000"), 2, "1,000, numbered from 0"),
        ("start", ("--from-test", "-1"), 2, "no held-out picture -1"),
        ("start", ("--from-test", "3", "--strength", "1.5"), 2, "--strength"),
        ("start", ("--from-test", "3", "--steps", "21"), 2, "num_train_timesteps"),
        ("start", ("--from-test", "3", "--num", "300"), 2, "256 is the most"),
        ("start", ("--from-test", "3", "--prompt", "hat"), 2, "The classes are: T-shirt/top"),
        ("inpaint", ("--from-test", "3"), 2, "--mask"),
        ("inpaint", ("--from-test", "3", "--mask", "odd.png"), 1, "odd.png is 31×17 pixels"),
        ("inpaint", ("--from-test", "3", "--mask", "black.png"), 1, "nothing white"),
        ("inpaint", ("--from-test", "3", "--mask", "leftt"), 1, "leftt"),
        (
            "inpaint",
            ("--from-test", "3", "--mask", "left", "--jump-length", "20"),
            2,
            "does not fit into a way of 20",
        ),
        ("switch", (), 2, "--prompt-at"),
        ("switch", ("--prompt-at", "dress"), 2, "'dress' is not written as t:value"),
        ("switch", ("--prompt-at", "10:hat"), 2, "'hat' in the prompt"),
        ("switch", ("--prompt-at", "20:dress"), 2, "T is 20, so t is 0 to 19"),
        ("switch", ("--guidance-at", "10:much"), 2, "'much' is not a number"),
        ("switch", ("--guidance-at", "10:nan"), 2, "guidance_scale"),
        ("renoise", ("--at", "5"), 2, "--back-to"),
        ("renoise", ("--at", "5", "--back-to", "5"), 2, "t = 5 is not above t = 5"),
        ("renoise", ("--at", "5", "--back-to", "20"), 2, "T is 20, so t is 0 to 19"),
        ("branch", ("--at", "20"), 2, "T is 20, so t is 0 to 19"),
        ("branch", ("--at", "10", "--sampler", "ddim"), 2, "all be the same"),
        ("branch", ("--at", "10", "--to-prompt", "hat"), 2, "'hat' in the prompt"),
        ("interpolate", ("--seeds", "3"), 2, "'3' is not two seeds"),
        ("interpolate", ("--seeds", "3,7", "--sampler", "ddpm"), 2, "--sampler"),
        ("renoise", ("--at", "5", "--back-to", "9", "--set", "model.name=dit"), 2, "was settled"),
        ("interpolate", ("--seeds", "3,7", "--frames", "1"), 2, "--frames"),
        ("invert", ("--from-test", "3", "--to-prompt", "hat"), 2, "'hat' in the prompt"),
    ],
)
def test_a_mistake_gets_a_sentence_and_leaves_nothing(
    edit, tmp_path: Path, verb, arguments, code, said
) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "odd.png", 31, 17)
    (tmp_path / "text.png").write_text("a picture says more")
    Image.new("L", (28, 28)).save(tmp_path / "black.png")
    ended = edit(verb, *arguments)
    assert ended.code == code, ended.err
    assert said in ended.err
    assert ended.err.startswith("ddpm-tui: ")
    assert ended.err.count("\n") == 1
    assert ended.out == ""
    assert not (tmp_path / "out").exists()


def test_a_network_that_knows_no_classes_cannot_be_asked_for_one(edit) -> None:
    for verb, arguments in (
        ("switch", ("--prompt-at", "10:dress")),
        ("branch", ("--at", "10", "--to-prompt", "dress")),
        ("start", ("--from-test", "3", "--prompt", "dress")),
    ):
        ended = edit(verb, *arguments, run="plain")
        assert ended.code == 2
        assert "told the classes" in ended.err


def test_a_run_that_is_not_there_is_refused(edit) -> None:
    ended = edit("renoise", "--at", "5", "--back-to", "9", run="nobody")
    assert (ended.code, ended.out) == (1, "")
    assert "no run 'nobody'" in ended.err


@pytest.mark.parametrize("words", [(), ("--help",), *((verb, "--help") for verb in VERBS)])
def test_every_verb_has_help(monkeypatch, capsys, words: tuple[str, ...]) -> None:
    monkeypatch.setattr(sys, "argv", ["ddpm-tui", "edit", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: ")
    if len(words) < 2:
        assert all(f"  {name} " in out for name in VERBS)
