"""What takes leave on disk, and favourites: everything is found again as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.config import SamplingConfig
from engine.errors import ConfigError, RunError
from engine.images import read_png
from engine.runs.folder import create_run
from engine.sample_files import write_samples
from engine.sampling import TrainedModel, load_trained
from engine.sheet import to_pixels
from engine.takes.favourites import add_favourite, list_favourites, remove_favourite
from engine.takes.files import TakeFiles, read_recipe, save_take, take_stem
from engine.takes.perform import TakeStep
from engine.takes.recipe import Branch, Inpaint, Recipe, Renoise
from engine.takes.text import to_json
from engine.takes.versus import lay_lanes, perform_lanes
from engine.train import Trainer

SAMPLING = SamplingConfig(num=2, num_inference_steps=6)
PLAIN = Recipe("tiny", 4, SAMPLING)
TURNED = replace(PLAIN, turns=(Renoise(3, 49), Branch(5, 1, 5), Inpaint(8, 0, "left", 3, 2, 1)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> TrainedModel:
    config = tiny_config(training={"steps": 4})
    run = create_run(tmp_path_factory.mktemp("takes") / "runs", config, name="tiny")
    list(Trainer(run, device="cpu"))
    return load_trained(run, which="last", device="cpu")


@pytest.fixture
def run(tmp_path: Path, tiny_config):
    return create_run(tmp_path / "runs", tiny_config(), name="tiny")


def performed(trained: TrainedModel, recipe: Recipe) -> list[tuple[int, TakeStep]]:
    return list(perform_lanes([trained] * 2, lay_lanes(trained.schedule, recipe)))


def saved(trained: TrainedModel, recipe: Recipe, out: Path, **options: Any) -> TakeFiles:
    lanes = lay_lanes(trained.schedule, recipe)
    steps = performed(trained, recipe)
    return save_take(trained.run, recipe, lanes, steps, out=out, **options)


def test_a_plain_take_leaves_the_pictures_and_the_film_of_sample(trained, tmp_path: Path) -> None:
    mine = saved(trained, PLAIN, tmp_path / "take")
    its = write_samples(trained, SAMPLING, 0, out=tmp_path / "sample")
    assert np.array_equal(read_png(mine.png)[0], read_png(its.png)[0])
    assert mine.gif.read_bytes() == its.gif.read_bytes()


@pytest.mark.parametrize("recipe", [PLAIN, TURNED, replace(TURNED, versus={"sampler": "heun"})])
def test_the_recipe_is_read_back_from_its_file_and_from_the_picture(
    trained, tmp_path: Path, recipe
) -> None:
    if recipe.versus:  # heun draws no noise, so it has no branches but of prompts
        recipe = replace(recipe, turns=recipe.turns[:1])
    files = saved(trained, recipe, tmp_path)
    assert read_recipe(files.recipe) == recipe
    assert read_recipe(files.png) == recipe
    again = saved(trained, read_recipe(files.recipe), tmp_path / "again")
    assert again.png.read_bytes() == files.png.read_bytes()
    assert again.gif.read_bytes() == files.gif.read_bytes()


def test_names_tell_what_was_done_and_takes_apart() -> None:
    assert "-take-renoise-branch-inpaint-" in take_stem(TURNED)
    others = [TURNED, PLAIN, replace(PLAIN, seed=1), replace(PLAIN, versus={"sampler": "ddim"})]
    assert len({take_stem(recipe) for recipe in others}) == 4


def test_a_film_has_room_for_the_most_pictures_there_ever_are(trained, tmp_path: Path) -> None:
    files = saved(trained, TURNED, tmp_path)
    with Image.open(files.gif) as film:
        assert film.size == (3 * 30 - 2, 2 * 30 - 2)  # five branches, three in a row
        assert film.n_frames == len(lay_lanes(trained.schedule, TURNED)[0].path)
    assert len(read_png(files.png)[0]) == 3


def test_two_lanes_are_beside_each_other(trained, tmp_path: Path) -> None:
    recipe = replace(
        PLAIN,
        sampling=SAMPLING.model_copy(update={"num": 3}),
        versus={"sampler": "ddim", "num_inference_steps": 40},
    )
    steps = performed(trained, recipe)
    files = saved(trained, recipe, tmp_path)
    ends = [to_pixels(step.prev_sample) for step in dict(steps).values()]
    with Image.open(files.png) as picture:
        grid = np.asarray(picture)
    assert grid.shape == (2 * 30 - 2, 4 * 30 - 2)
    cells = [grid[y : y + 28, x : x + 28] for y in (0, 30) for x in (0, 30, 60, 90)]
    left, right = ends
    for cell, image in zip(cells, [*left[:2], *right[:2], left[2], None, right[2]], strict=False):
        assert np.array_equal(cell, np.zeros((28, 28)) if image is None else image[0])
    with Image.open(files.gif) as film:
        assert film.n_frames == 6


@pytest.mark.parametrize("versus", [{}, {"num_inference_steps": 9}])
def test_the_whole_trajectory_is_kept_as_it_was(trained, tmp_path: Path, versus) -> None:
    recipe = replace(TURNED, versus=versus)
    files = saved(trained, recipe, tmp_path, trajectory=True)
    steps = performed(trained, recipe)
    assert len(files.trajectories) == (2 if versus else 1)
    for lane, path in enumerate(files.trajectories):
        own = [step for at, step in steps if at == lane]
        with np.load(path, allow_pickle=False) as kept:
            values = [frame for part in range(3) for frame in kept[f"steps_{part}"]]
            timesteps = [t for part in range(3) for t in kept[f"t_{part}"]]
            rounds = [number for part in range(3) for number in kept[f"round_{part}"]]
            result = kept["result"]
        assert timesteps == [step.t for step in own]
        assert rounds == [step.round for step in own]
        for frame, step in zip(values, own, strict=True):
            assert np.array_equal(frame, torch.stack((step.x_t, step.x0, step.eps)).numpy())
        assert np.array_equal(result, own[-1].prev_sample.numpy())


def test_a_take_that_is_broken_off_leaves_no_half_a_file(trained, tmp_path: Path) -> None:
    def broken():
        yield from performed(trained, TURNED)[:6]
        raise KeyboardInterrupt

    lanes = lay_lanes(trained.schedule, TURNED)
    with pytest.raises(KeyboardInterrupt):
        save_take(trained.run, TURNED, lanes, broken(), out=tmp_path, trajectory=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    for name, text in (("a.json", "[]"), ("b.json", "{"), ("c.png", "no picture")):
        (tmp_path / name).write_text(text)
        with pytest.raises(RunError):
            read_recipe(tmp_path / name)
    with pytest.raises(RunError, match="missing"):
        read_recipe(tmp_path / "none.json")
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(ConfigError, match="version"):
        read_recipe(tmp_path / "d.json")


# --- favourites ---


def test_favourites_are_found_again_until_they_are_removed(run) -> None:
    assert list_favourites(run) == []
    image = np.full((1, 28, 28), 77, dtype=np.uint8)
    first = add_favourite(run, PLAIN, 1, image)
    second = add_favourite(run, TURNED, 0)
    assert list_favourites(run) == [first, second]
    assert first.thumbnail is not None
    assert np.array_equal(read_png(first.thumbnail)[0][0], image)
    assert read_recipe(first.thumbnail) == PLAIN
    remove_favourite(run, first)
    assert list_favourites(run) == [second]
    assert not first.thumbnail.exists()


def test_a_favourite_is_kept_once(run) -> None:
    first = add_favourite(run, PLAIN, 1)
    assert add_favourite(run, PLAIN, 1) == first
    assert add_favourite(run, PLAIN, 0) != first
    assert len(list_favourites(run)) == 2


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"version": 2, "favourites": []},
        {"version": 1, "favourites": [3]},
        {"version": 1, "favourites": 3},
        {"version": 1, "favourites": [{"recipe": {}, "picture": 0, "added": 0}]},
    ],
)
def test_favourites_that_cannot_be_read_are_not_overwritten(run, values) -> None:
    path = run.samples_path / "favourites.json"
    path.write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"favourites\.json"):
        list_favourites(run)
    with pytest.raises(RunError):
        add_favourite(run, PLAIN, 1)
    assert json.loads(path.read_text()) == values


@pytest.mark.parametrize("thumbnail", ["../../../etc/passwd", "passwd", "..", 5, ["x"]])
def test_a_thumbnail_is_a_file_that_the_program_names(run, thumbnail) -> None:
    entry = {"recipe": to_json(PLAIN), "picture": 0, "added": 1, "thumbnail": thumbnail}
    (run.samples_path / "favourites.json").write_text(
        json.dumps({"version": 1, "favourites": [entry]})
    )
    (favourite,) = list_favourites(run)
    assert favourite.thumbnail is None
