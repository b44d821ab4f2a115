"""Pictures on disk: grids that can be taken apart again, GIFs that other programs play."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import RunError
from engine.images import (
    Pixels,
    frame_indices,
    grid_columns,
    make_grid,
    read_png,
    split_grid,
    stretch,
    write_gif,
    write_png,
)


def pictures(num: int, channels: int = 1, height: int = 6, width: int = 4, seed: int = 0) -> Pixels:
    shape = (num, channels, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("num", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (16, 4), (100, 10)]
)
def test_a_grid_is_as_square_as_can_be(num, columns) -> None:
    assert grid_columns(num) == columns
    rows = -(-num // columns)
    assert rows <= columns
    assert make_grid(pictures(num), gap=1).shape == (rows * 7 - 1, columns * 5 - 1, 1)


def test_a_grid_goes_row_by_row_with_black_in_between() -> None:
    one, two, three = np.full((3, 1, 2, 2), 255, dtype=np.uint8) - np.uint8([0, 1, 2]).reshape(
        3, 1, 1, 1
    )
    grid = make_grid(np.stack([one, two, three]), columns=2, gap=1)[..., 0]
    assert grid.tolist() == [
        [255, 255, 0, 254, 254],
        [255, 255, 0, 254, 254],
        [0, 0, 0, 0, 0],
        [253, 253, 0, 0, 0],
        [253, 253, 0, 0, 0],
    ]


@pytest.mark.parametrize("num", [1, 2, 5, 16, 17])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gap", [0, 2])
def test_a_grid_can_be_taken_apart(num, channels, gap) -> None:
    images = pictures(num, channels)
    assert np.array_equal(split_grid(make_grid(images, gap=gap), num, 6, 4, gap), images)


def test_a_grid_has_no_more_columns_than_pictures() -> None:
    images = pictures(3)
    grid = make_grid(images, columns=10)
    assert grid.shape == (6, 3 * 4 + 2 * 2, 1)
    assert np.array_equal(split_grid(grid, 3, 6, 4), images)


# --- PNG ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("num", "columns"), [(1, None), (5, None), (6, 6), (6, 1)])
def test_a_png_brings_back_the_pictures_and_what_made_them(
    tmp_path: Path, channels, num, columns
) -> None:
    images, path = pictures(num, channels), tmp_path / "grid.png"
    about = {"seed": 2**63 - 1, "step": 500, "sampler": "ddim", "eta": 0.5, "run": "émile"}
    write_png(path, images, about=about, columns=columns)
    back, told = read_png(path)
    assert back.dtype == np.uint8
    assert np.array_equal(back, images)
    assert told == {"num": num, "height": 6, "width": 4, **about}
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]


def test_a_png_is_a_picture_for_other_programs(tmp_path: Path) -> None:
    write_png(tmp_path / "grey.png", pictures(4))
    write_png(tmp_path / "colour.png", pictures(4, 3))
    for name, mode in (("grey", "L"), ("colour", "RGB")):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert (image.mode, image.size) == (mode, (4 * 2 + 2, 6 * 2 + 2))
            assert json.loads(image.info["ddpm-tui"])["num"] == 4


def test_a_file_that_is_no_grid_of_ours_is_a_run_error(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    write_png(path, pictures(4))
    whole = path.read_bytes()
    strange = {
        "missing": None,
        "empty": b"",
        "text": b"hello",
        "header": whole[:40],
        "cut": whole[: len(whole) // 2],
    }
    for name, data in strange.items():
        other = tmp_path / f"{name}.png"
        if data is not None:
            other.write_bytes(data)
        with pytest.raises(RunError, match="Cannot read the picture"):
            read_png(other)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "foreign.png")
    with pytest.raises(RunError, match=r"foreign\.png"):
        read_png(tmp_path / "foreign.png")


@pytest.mark.parametrize(
    "about",
    [
        *({"num": "four"}, {"num": 0}, {"num": 99}, {"width": -2}),
        *({"height": 99}, {"width": 2.5}, {"height": None}),
    ],
    ids=str,
)
def test_a_layout_that_does_not_fit_the_picture_is_a_run_error(tmp_path: Path, about) -> None:
    write_png(tmp_path / "grid.png", pictures(4), about=about)
    with pytest.raises(RunError, match="Cannot read the picture"):
        read_png(tmp_path / "grid.png")


def test_a_damaged_png_is_pictures_or_a_run_error(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    write_png(path, pictures(4), about={"step": 5})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x21]) + whole[at + 1 :])
        try:
            images, _ = read_png(path)
        except RunError:
            continue
        assert images.dtype == np.uint8


def test_a_folder_that_is_not_there_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Cannot write"):
        write_png(tmp_path / "nowhere" / "grid.png", pictures(1))
    with pytest.raises(RunError, match="Cannot write"):
        write_gif(tmp_path / "nowhere" / "way.gif", [pictures(1)])


# --- GIF ---


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_plays_every_frame_and_holds_the_last(tmp_path: Path, channels) -> None:
    frames = [pictures(4, channels, seed=seed) for seed in range(100)]
    write_gif(tmp_path / "way.gif", frames)
    with Image.open(tmp_path / "way.gif") as gif:
        assert gif.n_frames == 100
        assert gif.info["loop"] == 0, "for ever"
        durations = []
        for index in range(100):
            gif.seek(index)
            durations.append(gif.info["duration"])
            if channels == 1:
                shown = np.asarray(gif.convert("L"))
                assert np.array_equal(shown, make_grid(frames[index])[..., 0])
    # The article appends the last frame 100 // 3 times more.
    assert durations == [60] * 99 + [60 * 34]


def test_a_gif_of_one_frame_is_that_picture(tmp_path: Path) -> None:
    frame = pictures(1)
    write_gif(tmp_path / "way.gif", [frame])
    with Image.open(tmp_path / "way.gif") as gif:
        assert gif.n_frames == 1
        assert np.array_equal(np.asarray(gif.convert("L")), frame[0, 0])


def test_frames_that_do_not_differ_take_their_time_all_the_same(tmp_path: Path) -> None:
    write_gif(tmp_path / "way.gif", [pictures(4)] * 30)
    with Image.open(tmp_path / "way.gif") as gif:
        played = 0
        for index in range(gif.n_frames):
            gif.seek(index)
            played += gif.info["duration"]
    assert played == 100 * (30 + 10)


@pytest.mark.parametrize(("frames", "delay"), [(1, 250), (2, 250), (12, 250), (30, 100), (50, 60)])
def test_a_process_of_few_steps_is_slow_enough_to_follow(tmp_path: Path, frames, delay) -> None:
    path = tmp_path / "film.gif"
    write_gif(path, [np.full((1, 1, 4, 4), 5 * i, np.uint8) for i in range(frames)])
    with Image.open(path) as gif:
        held = max(1, frames // 3) + 1
        assert gif.info["duration"] == (delay if frames > 1 else delay * held)


# --- which steps become frames ---


def articles_frames(n_steps: int, frames_per_gif: int = 100) -> list[int]:
    """The steps at which the article's `generate_new_images` keeps a frame."""
    frame_idxs = np.linspace(0, n_steps, frames_per_gif).astype(np.uint)
    timesteps = list(range(n_steps))[::-1]
    return [idx for idx, t in enumerate(timesteps) if idx in frame_idxs or t == 0]


@pytest.mark.parametrize("num_steps", [1, 2, 50, 99, 100, 101, 200, 1000, 1001])
def test_frames_are_taken_where_the_article_takes_them(num_steps) -> None:
    assert frame_indices(num_steps) == articles_frames(num_steps)


def test_a_thousand_steps_make_a_hundred_frames() -> None:
    frames = frame_indices(1000)
    assert len(frames) == 100
    assert (frames[0], frames[-1]) == (0, 999)
    assert {b - a for a, b in pairwise(frames)} <= {9, 10, 11}
    assert frame_indices(40) == list(range(40))


# --- stretching ---


def test_stretching_is_what_the_article_shows() -> None:
    images = np.random.default_rng(0).normal(3, 5, (4, 1, 8, 8)).astype(np.float32)
    normalized = images.copy()
    for i in range(len(normalized)):
        normalized[i] -= np.min(normalized[i])
        normalized[i] *= 255 / np.max(normalized[i])
    ours = stretch(images).astype(int)
    assert np.abs(ours - normalized.astype(np.uint8)).max() <= 1
    assert np.array_equal(ours.min(axis=(1, 2, 3)), [0] * 4)
    assert (ours.max(axis=(1, 2, 3)) >= 254).all()


def test_every_picture_is_stretched_by_itself() -> None:
    images = np.stack([np.linspace(0, 1, 64), np.linspace(-9, 9, 64)]).reshape(2, 1, 8, 8)
    one, other = stretch(images.astype(np.float32))
    assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.filterwarnings("error")
def test_a_flat_picture_is_black() -> None:
    assert not stretch(np.full((1, 3, 4, 4), 0.7, np.float32)).any()
