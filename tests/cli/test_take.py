"""`ddpm-tui take`, as a script meets it: the command of a recipe gives its pictures to the byte.

In this process, because a dozen fresh ones would each load torch.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm_tui.cli import main
from ddpm_tui.take_command import command
from engine.config import SamplingConfig, make_config
from engine.images import read_png
from engine.runs.folder import create_run, open_run
from engine.sampling import load_trained
from engine.takes.files import save_take
from engine.takes.recipe import Ask, Branch, FromData, FromFile, Inpaint, Recipe, Renoise
from engine.takes.sources import save_mask
from engine.takes.versus import lay_lanes, perform_lanes
from tests.cli.conftest import Ended, run_cli

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `tiny`, whose network knows classes, of two checkpoints."""
    from engine.train import Trainer

    folder = tmp_path_factory.mktemp("taken") / "runs"
    config = make_config(
        dataset_size=10_000,
        data={"dataset": "fashion-mnist-10k", "batch_size": 8},
        diffusion={"num_train_timesteps": 20},
        model={
            "class_conditional": True,
            "block_out_channels": (8, 16),
            "norm_num_groups": 4,
            "attention_levels": (),
            "attention_head_dim": 8,
        },
        training={
            "steps": 4,
            "checkpoint_every": 2,
            "lr_warmup_steps": 1,
            "precision": "fp32",
            "preview_every": 0,
        },
        sampling={"num": 3, "sampler": "dpmpp_2m_sde", "num_inference_steps": 6},
    )
    list(Trainer(create_run(folder, config, name="tiny"), device="cpu"))
    return folder


@pytest.fixture
def call(runs: Path, tmp_path: Path, monkeypatch, capsys) -> Call:
    """`ddpm-tui ARGS` in an empty folder, with the runs where it looks for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_TUI_RUNS", str(runs))

    def ended(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["ddpm-tui", *args])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return ended


OWN = SamplingConfig(num=3, sampler="dpmpp_2m_sde", num_inference_steps=6)


def own(**changes) -> SamplingConfig:
    return SamplingConfig.model_validate({**OWN.model_dump(), **changes})


def recipes(run) -> dict[str, Recipe]:
    mask = np.zeros((28, 28), dtype=bool)
    mask[5:12, 5:12] = True
    name = save_mask(run, mask)
    settings = {
        "num": 2,
        "sampler": "ddim",
        "num_inference_steps": 5,
        "eta": 0.3,
        "variance_type": "fixed_large",
        "timestep_spacing": "leading",
        "clip_sample": False,
        "thresholding": True,
        "dynamic_thresholding_ratio": 0.9,
        "prompt": "0.6 dress + 0.4 coat",
        "guidance_scale": 2.5,
    }
    return {
        "plain": Recipe("tiny", 4, OWN),
        "settings": Recipe("tiny", 2, own(**settings), seed=7),
        "turns": Recipe(
            "tiny",
            4,
            OWN,
            turns=(
                Ask(1, "Ankle boot", 1.5),
                Renoise(4, 15),
                Branch(6, 2, 2, ("bag", "T-shirt/top + coat")),
                Inpaint(8, 1, name, 2, 2, 2),
            ),
        ),
        "data": Recipe("tiny", 4, OWN, origin=FromData((3, 5), 0.75)),
        "file": Recipe("tiny", 4, OWN, origin=FromFile(f"masks/{name}", 0, 0.5)),
        "versus": Recipe(
            "tiny",
            4,
            OWN,
            versus={
                "checkpoint": 2,
                "sampler": "ddim",
                "num_inference_steps": 9,
                "eta": 0.25,
                "clip_sample": False,
                "prompt": "dress + coat",
            },
        ),
    }


NAMES = ["plain", "settings", "turns", "data", "file", "versus"]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_recipe_gives_its_pictures_to_the_byte(
    call, runs: Path, tmp_path: Path, name
) -> None:
    run = open_run(runs, "tiny")
    recipe = recipes(run)[name]
    trained = load_trained(run, which=str(recipe.checkpoint), device="cpu")
    lanes = lay_lanes(trained.schedule, recipe)
    models = [load_trained(run, which=str(lane.recipe.checkpoint), device="cpu") for lane in lanes]
    mine = save_take(run, recipe, lanes, perform_lanes(models, lanes), out=tmp_path / "mine")

    program, *words = shlex.split(command(recipe, runs))
    assert program == "ddpm-tui"
    ended = call(*words, "--out", "out", "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert Path(facts["png"]).read_bytes() == mine.png.read_bytes()
    assert Path(facts["gif"]).read_bytes() == mine.gif.read_bytes()
    assert Path(facts["recipe"]).read_bytes() == mine.recipe.read_bytes()

    again = call("take", "--recipe", facts["recipe"], "--out", "again", "--json")
    assert again.code == 0, again.err
    assert Path(json.loads(again.out)["png"]).read_bytes() == mine.png.read_bytes()


def test_a_process_of_its_own_draws_the_same(runs: Path, tmp_path: Path) -> None:
    recipe = recipes(open_run(runs, "tiny"))["turns"]
    done = run_cli(*shlex.split(command(recipe, runs))[1:], "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "turn     4 renoise t=15" in done.stdout
    (png,) = (tmp_path / "out").glob("*.png")
    trained = load_trained(open_run(runs, "tiny"), which="4", device="cpu")
    lanes = lay_lanes(trained.schedule, recipe)
    mine = save_take(
        trained.run, recipe, lanes, perform_lanes([trained], lanes), out=tmp_path / "mine"
    )
    assert png.read_bytes() == mine.png.read_bytes()


def test_the_command_says_only_what_differs(runs: Path, monkeypatch) -> None:
    monkeypatch.setenv("DDPM_TUI_RUNS", str(runs))
    plain = Recipe("tiny", 4, OWN)
    assert command(plain, runs) == "ddpm-tui take tiny --checkpoint 4"
    turned = replace(
        plain, sampling=own(num=1, prompt="bag"), seed=3, turns=(Ask(2, "dress + coat"),)
    )
    assert command(turned, runs) == (
        "ddpm-tui take tiny --checkpoint 4 --num 1 --prompt bag --seed 3 "
        """--turn '2 ask prompt='"'"'dress + coat'"'"''"""
    )
    data = replace(plain, origin=FromData((3,)), versus={"checkpoint": 2, "prompt": '"x" = y'})
    assert command(data, runs) == (
        "ddpm-tui take tiny --checkpoint 4 --from data:3 --versus checkpoint=2 "
        """--versus 'prompt="\\"x\\" = y"'"""
    )
    monkeypatch.delenv("DDPM_TUI_RUNS")
    assert command(plain, runs).endswith(f"--runs-dir {runs}")


def test_a_plain_take_has_the_pictures_of_sample(call) -> None:
    take = json.loads(call("take", "tiny", "--out", "a", "--seed", "5", "--json").out)
    sample = json.loads(
        call("sample", "tiny", "--num", "3", "--out", "b", "--seed", "5", "--json").out
    )
    assert np.array_equal(read_png(Path(take["png"]))[0], read_png(Path(sample["png"]))[0])


def test_the_trajectory_is_written_when_it_is_asked_for(call) -> None:
    ended = call("take", "tiny", "--num", "2", "--trajectory", "--out", "out")
    assert ended.code == 0, ended.err
    line = next(line for line in ended.out.splitlines() if line.startswith("steps "))
    with np.load(Path(line.split(maxsplit=1)[1])) as kept:
        assert kept["steps_0"].shape == (6, 3, 2, 1, 28, 28)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "the run is missing"),
        (("nosuch",), 1, "nosuch"),
        (("tiny", "--turn", "3 jump"), 2, "is no turn"),
        (("tiny", "--turn", "9 ask prompt=bag"), 2, "the way has 6"),
        (("tiny", "--turn", "3 ask prompt=hat"), 2, "no class"),
        (("tiny", "--turn", "3 inpaint mask=none.png"), 1, "none.png"),
        (("tiny", "--sampler", "ddim", "--turn", "3 branch copies=2"), 2, "dpmpp_2m_sde"),
        (("tiny", "--from", "none.png"), 1, "none.png"),
        (("tiny", "--from", "data:99999"), 2, "no held-out picture"),
        (("tiny", "--strength", "0.5"), 2, "Give --from"),
        (("tiny", "--versus", "sampler=best"), 2, "sampler"),
        (("tiny", "--versus", "samplr=ddim"), 2, "sampling.sampler"),
        (("tiny", "--versus", "checkpoint=3"), 1, "There are: best, last, 2, 4"),
        (("tiny", "--versus", "num=3"), 2, "same pictures"),
        (("tiny", "--versus", "sampler"), 2, "KEY=VALUE"),
        (("tiny", "--checkpoint", "3"), 1, "There are: best, last, 2, 4"),
        (("tiny", "--num", "257"), 2, "256 is the most"),
        (("--recipe", "none.json"), 1, "missing"),
        (("--recipe", "none.json", "--num", "3"), 2, "Leave out what changes it"),
    ],
)
def test_what_cannot_be_taken_is_said_in_a_sentence(call, arguments, code, said) -> None:
    ended = call("take", *arguments)
    assert ended.code == code, ended.err
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not list(Path().rglob("*.png"))


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("interpolate", ("--seeds", "3,7", "--set", "sampling.eta=0.5"), "here sampling.eta is 0"),
        ("invert", ("--from-test", "3", "--set", "sampling.sampler=heun"), "sampler is ddim"),
        ("invert", ("--from-test", "3", "--set", "sampling.num=4"), "here sampling.num is 1"),
    ],
)
def test_what_an_edit_settles_itself_cannot_be_set(call, verb, arguments, said) -> None:
    ended = call("edit", verb, "tiny", *arguments)
    assert ended.code == 2
    assert said in ended.err
