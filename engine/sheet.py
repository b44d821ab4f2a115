"""What an edit has to show: a grid whose rows tell the story, and a film of the making."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import SamplingConfig
from engine.data.range import to_uint8
from engine.images import Pixels, frame_indices, grid_columns, write_gif, write_png
from engine.reverse import ReverseStep
from engine.rng import derive_seed
from engine.sample_files import SampleFiles, sample_stem
from engine.sampling import TrainedModel

_LONGEST_NAME = 80


def to_pixels(x: Tensor) -> Pixels:
    """[−1, 1] to uint8 (N, C, H, W) by the fixed map; noise beyond is black or white."""
    pixels: Pixels = to_uint8(x).cpu().numpy()
    return pixels


@dataclass(frozen=True)
class Sheet:
    """What an edit has to show.

    Attributes:
        name: what was done, for a file name.
        rows: what is in each row of the grid, top to bottom.
        images: uint8 (N, C, H, W), row after row.
        columns: pictures in a row.
        film: how it came about, each uint8 (M, C, H, W).
        film_columns: pictures in a row of a frame; None makes it nearly square.
        facts: what was chosen and measured.
    """

    name: str
    rows: tuple[str, ...]
    images: Pixels
    columns: int
    film: Sequence[Pixels]
    film_columns: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        rows: Mapping[str, Tensor],
        film: Sequence[Pixels],
        facts: Mapping[str, Any],
        *,
        film_columns: int | None = None,
    ) -> Sheet:
        """A sheet from named rows, each (columns, C, H, W) in [−1, 1]."""
        together = torch.cat(list(rows.values()))
        columns = len(together) // len(rows)
        film_columns = film_columns or grid_columns(columns)
        return cls(name, tuple(rows), to_pixels(together), columns, film, film_columns, facts)


def filmed(
    steps: Iterator[ReverseStep], film: list[Pixels], otherwise: Tensor
) -> Generator[ReverseStep, None, Tensor]:
    """Pass the steps on, and up to 100 of their results to the film.

    Returns:
        The result of the last step; `otherwise` when there was none.
    """
    wanted: set[int] = set()
    result = otherwise
    for step in steps:
        wanted = wanted or set(frame_indices(step.num_steps))
        if step.index in wanted:
            film.append(to_pixels(step.prev_sample))
        result = step.prev_sample
        yield step
    return result


def sheet_facts(
    trained: TrainedModel, sampling: SamplingConfig, seed: int, sheet: Sheet
) -> dict[str, Any]:
    """Everything that tells how a sheet was made."""
    return {
        "run": trained.run.name,
        "step": trained.step,
        "seed": seed,
        **sampling.model_dump(exclude={"num"}),
        "edit": sheet.name,
        "rows": sheet.rows,
        **sheet.facts,
    }


def write_sheet(
    trained: TrainedModel,
    sampling: SamplingConfig,
    seed: int,
    sheet: Sheet,
    *,
    out: Path | None = None,
) -> SampleFiles:
    """Write the grid as PNG and the film as GIF; the names say how they were made.

    Args:
        out: the folder; the run's `samples` when None.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = trained.run.output_folder("samples", out)
    name = re.sub(r"[^\w.+-]+", "_", sheet.name)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}-{derive_seed(0, name) % 16**8:08x}"
    # The edit comes last: `*-step500.png` are plain pictures of the run.
    stem = f"{sample_stem(sampling, seed, trained.step)}-{name}"
    files = SampleFiles(folder / f"{stem}.png", folder / f"{stem}.gif")
    about = sheet_facts(trained, sampling, seed, sheet)
    write_png(files.png, sheet.images, about=about, columns=sheet.columns)
    write_gif(files.gif, sheet.film, columns=sheet.film_columns)
    return files
