"""Favourites: pictures of a run that somebody wants to find again, each with the recipe of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, RunError
from engine.images import Pixels, write_png
from engine.runs import io
from engine.runs.folder import Run
from engine.takes.files import digest_of
from engine.takes.recipe import Recipe
from engine.takes.text import from_json, to_json

_VERSION = 1


@dataclass(frozen=True)
class Favourite:
    """A picture that was kept.

    Attributes:
        recipe: the take that makes it.
        picture: which of its finished pictures.
        added: when, in seconds since 1970.
        thumbnail: a PNG of it, in the run's `samples/favourites`; None where none was given.
    """

    recipe: Recipe
    picture: int
    added: float
    thumbnail: Path | None = None

    @property
    def name(self) -> str:
        """What tells it from the others of the run."""
        return f"{digest_of(self.recipe)}-{self.picture}"


def list_favourites(run: Run) -> list[Favourite]:
    """The favourites of a run, the newest last.

    Raises:
        RunGoneError: the run is not there any more.
        RunError: they cannot be read, or are of a newer version.
    """
    path = _path(run)
    if not path.exists():
        run.check_here()
        return []
    values = io.read_json(path)
    try:
        if values["version"] != _VERSION:
            raise RunError(
                f"{path} is of version {values['version']!r}, and this program reads {_VERSION}",
                "Use the program that wrote it, or a newer one.",
            )
        return [_favourite(run, entry) for entry in values["favourites"]]
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        ConfigError,
    ) as error:
        raise RunError(f"{path} is damaged: {error}", "Mend it, or move it away.") from None


def add_favourite(run: Run, recipe: Recipe, picture: int, image: Pixels | None = None) -> Favourite:
    """Keep a picture; one that is kept already stays as it is.

    Args:
        picture: which of the finished pictures of the take.
        image: uint8 (C, H, W), for a thumbnail.

    Raises:
        RunError: the folder cannot be written, or what is there cannot be read.
    """
    kept = list_favourites(run)
    new = Favourite(recipe, picture, time.time())
    for favourite in kept:
        if favourite.name == new.name:
            return favourite
    if image is not None:
        run.folder_for("samples", "favourites")
        thumbnail = _thumbnail_of(run, new)
        write_png(thumbnail, image[None], about={"take": to_json(recipe), "picture": picture})
        new = Favourite(recipe, picture, new.added, thumbnail)
    _write(run, [*kept, new])
    return new


def remove_favourite(run: Run, favourite: Favourite) -> None:
    """Forget a picture, and its thumbnail; one that is not there is no error.

    Raises:
        RunError: the folder cannot be written, or what is there cannot be read.
    """
    _write(run, [other for other in list_favourites(run) if other.name != favourite.name])
    if favourite.thumbnail:
        run.refuse_links(["samples", "favourites"])
        io.remove(favourite.thumbnail)


def _path(run: Run) -> Path:
    return run.samples_path / "favourites.json"


def _thumbnail_of(run: Run, favourite: Favourite) -> Path:
    return run.samples_path / "favourites" / f"{favourite.name}.png"


def _favourite(run: Run, entry: dict[str, Any]) -> Favourite:
    thumbnail = entry.get("thumbnail")
    kept = Favourite(from_json(entry["recipe"]), int(entry["picture"]), float(entry["added"]))
    # The name that it was given: the file is removed with it, and must be the run's.
    own = _thumbnail_of(run, kept)
    return replace(kept, thumbnail=own) if thumbnail == own.name else kept


def _write(run: Run, favourites: list[Favourite]) -> None:
    entries = [
        {
            "recipe": to_json(favourite.recipe),
            "picture": favourite.picture,
            "added": favourite.added,
            "thumbnail": favourite.thumbnail.name if favourite.thumbnail else None,
        }
        for favourite in favourites
    ]
    run.folder_for("samples")
    io.write_json(_path(run), {"version": _VERSION, "favourites": entries})
