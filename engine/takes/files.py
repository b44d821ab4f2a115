"""What a take leaves on disk: the pictures, the film, the recipe, the trajectory if asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.images import Pixels, frame_indices, grid_columns, write_gif, write_png
from engine.runs import io
from engine.runs.folder import Run
from engine.sample_files import sample_stem
from engine.sheet import to_pixels
from engine.takes.perform import TakeStep
from engine.takes.recipe import FromNoise, Recipe
from engine.takes.text import format_turn, from_json, to_json
from engine.takes.trajectory import trajectory_writer
from engine.takes.versus import Lane, matching

ENDING = ".recipe.json"


@dataclass(frozen=True)
class TakeFiles:
    """What a take left on disk.

    Attributes:
        png: the finished pictures; with a second lane, that of lane 0 on the left.
        gif: the way there, laid out alike.
        recipe: what `read_recipe` reads.
        trajectories: one .npz a lane, or none; see `engine.takes.trajectory`.
    """

    png: Path
    gif: Path
    recipe: Path
    trajectories: tuple[Path, ...] = ()


def take_stem(recipe: Recipe) -> str:
    """The file name of a take, without its ending: how it was sampled, what was done, a digest."""
    done = [format_turn(turn).split()[1] for turn in recipe.turns]
    words = [sample_stem(recipe.sampling, recipe.seed, recipe.checkpoint), "take"]
    words += [] if isinstance(recipe.origin, FromNoise) else ["start"]
    words += list(dict.fromkeys(done)) + ["versus"] * bool(recipe.versus)
    return "-".join([*words, digest_of(recipe)])


def digest_of(recipe: Recipe) -> str:
    """Eight hexadecimal digits that tell one recipe from another."""
    text = json.dumps(to_json(recipe), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def save_take(
    run: Run,
    recipe: Recipe,
    lanes: tuple[Lane, ...],
    steps: Iterable[tuple[int, TakeStep]],
    *,
    out: Path | None = None,
    trajectory: bool = False,
) -> TakeFiles:
    """Write a take while it is performed, or from what was recorded.

    Args:
        lanes: see `lay_lanes`.
        steps: all steps of each lane, with its number, in any mixture.
        out: the folder; the run's `samples` when None.
        trajectory: keep every step as well; memory does not grow with it.

    Raises:
        RunError: a file cannot be written.
    """
    folder = run.output_folder("samples", out)
    stem = take_stem(recipe)
    npz = tuple(
        folder / f"{stem}{'-versus' * number}.npz" for number in range(len(lanes) * trajectory)
    )
    film = _Film(lanes)
    with ExitStack() as stack:
        appends: list[Callable[[TakeStep], None]] = []
        for lane, step in steps:
            if trajectory and not appends:
                _, channels, height, width = step.x_t.shape
                shape = (channels, height, width)
                appends = [
                    stack.enter_context(trajectory_writer(target, each.path, shape))
                    for target, each in zip(npz, lanes, strict=True)
                ]
            film.append(lane, step)
            if appends:
                appends[lane](step)
    files = TakeFiles(
        folder / f"{stem}.png", folder / f"{stem}.gif", folder / f"{stem}{ENDING}", npz
    )
    pixels, columns = film.result()
    about = {
        "run": recipe.run,
        "step": recipe.checkpoint,
        "seed": recipe.seed,
        **recipe.sampling.model_dump(),
        "num": len(pixels),  # in this picture
        "take": to_json(recipe),
    }
    write_png(files.png, pixels, about=about, columns=columns)
    frames, columns = film.frames()
    write_gif(files.gif, frames, columns=columns)
    io.write_json(files.recipe, to_json(recipe))
    return files


def read_recipe(path: Path) -> Recipe:
    """The recipe that `save_take` left, from its file or from the PNG beside it.

    Raises:
        RunError: it cannot be read.
        ConfigError: it is no recipe.
    """
    if path.suffix.lower() == ".png":
        from engine.images import read_png

        _, about = read_png(path)
        return from_json(about.get("take") or {})
    return from_json(io.read_json(path))


class _Film:
    """The frames of a take, at most 100, with the lanes beside each other."""

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        self.lanes = lanes
        last = len(lanes[0].path) - 1
        # Of each frame, the step of each lane.
        self.wanted = [(index, *self._beside(index, last)) for index in frame_indices(last + 1)]
        self.pixels: dict[tuple[int, int], Pixels] = {}

    def _beside(self, index: int, last: int) -> tuple[int, ...]:
        if len(self.lanes) == 1:
            return ()
        return (matching(self.lanes, index + (index == last)) - (index == last),)

    def append(self, lane: int, step: TakeStep) -> None:
        if any(indices[lane] == step.index for indices in self.wanted):
            self.pixels[lane, step.index] = to_pixels(step.prev_sample)

    def result(self) -> tuple[Pixels, int]:
        """The finished pictures, and how many are in a row."""
        return _beside_each_other(self._frame(self.wanted[-1]))

    def frames(self) -> tuple[list[Pixels], int]:
        """The frames, each with room for the most pictures there ever are, and the columns."""
        most = max(step.num for lane in self.lanes for step in lane.path)
        laid = [
            _beside_each_other([_padded(pixels, most) for pixels in self._frame(indices)])
            for indices in self.wanted
        ]
        return [pixels for pixels, _ in laid], laid[0][1]

    def _frame(self, indices: tuple[int, ...]) -> list[Pixels]:
        return [self.pixels[lane, index] for lane, index in enumerate(indices)]


def _beside_each_other(lanes: list[Pixels]) -> tuple[Pixels, int]:
    """The grids of the lanes as one, from left to right."""
    columns = grid_columns(len(lanes[0]))
    if len(lanes) == 1:
        return lanes[0], columns
    rows = -(-len(lanes[0]) // columns)
    grids = [
        _padded(lane, rows * columns).reshape(rows, columns, *lane.shape[1:]) for lane in lanes
    ]
    together = np.concatenate(grids, axis=1)
    return together.reshape(-1, *lanes[0].shape[1:]), columns * len(lanes)


def _padded(pixels: Pixels, num: int) -> Pixels:
    black = np.zeros((num - len(pixels), *pixels.shape[1:]), dtype=np.uint8)
    return np.concatenate([pixels, black])
