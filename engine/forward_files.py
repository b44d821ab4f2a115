"""The forward process on disk: a PNG to look at and a GIF of the whole way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.alignment import level_at, same_share, same_snr
from engine.forward import PERCENTS, ForwardProcess, station
from engine.images import Pixels, write_gif, write_png
from engine.runs import io

if TYPE_CHECKING:
    from engine.probe import Probe

_FRAMES = 100
# Each frame of these is a network call.
_FRAMES_DENOISED = 25


def write_forward(process: ForwardProcess, out: Path, stem: str) -> tuple[Path, Path]:
    """The originals and 25, 50, 75 and 100 % as one PNG, a row each; the whole way as GIF.

    Raises:
        RunError: the folder cannot be written.
    """
    total = process.schedule.num_train_timesteps
    rows = [process.pixels(-1), *(process.pixels(station(p, total)) for p in PERCENTS)]
    film = [process.pixels(t) for t in _spread(-1, total, _FRAMES)]
    return _write(out, stem, rows, film, {}, len(film[0]))


def write_beside(
    a: ForwardProcess, b: ForwardProcess, t: int, *, by_snr: bool, out: Path, stem: str
) -> tuple[Path, Path]:
    """The same images at t under two schedules, a row each, as PNG; the whole way as GIF.

    Args:
        by_snr: hold them beside each other where their SNR is equal, not at the same t.

    Raises:
        RunError: the folder cannot be written.
    """
    total = a.schedule.num_train_timesteps

    def pair(t_a: int) -> list[Pixels]:
        return [a.pixels(t_a), b.pixels(counterpart(a, b, t_a, by_snr=by_snr))]

    film = [np.concatenate(pair(frame)) for frame in _spread(-1, total, _FRAMES)]
    facts = {"t": [t, counterpart(a, b, t, by_snr=by_snr)], "rows": ["A", "B"]}
    return _write(out, stem, pair(t), film, facts, len(a))


def counterpart(a: ForwardProcess, b: ForwardProcess, t: int, *, by_snr: bool) -> float:
    """The t of the process `b` that belongs to a t of `a`."""
    if by_snr:
        return same_snr(b.schedule, level_at(a.schedule, t))
    return same_share(t, a.schedule.num_train_timesteps, b.schedule.num_train_timesteps)


def write_denoised(
    probe: Probe, t: int, dataset: str, *, out: Path, stem: str
) -> tuple[Path, Path]:
    """What a network makes of images at t, as PNG, and of all t as GIF.

    The rows are x_0, x_t, x̂_0 and |x̂_0 − x_0|.

    Args:
        dataset: its name, for what the PNG tells of itself.

    Raises:
        RunError: the folder cannot be written.
    """
    seen = probe.at(t)
    frames = _spread(0, probe.process.schedule.num_train_timesteps, _FRAMES_DENOISED)
    film = [np.concatenate(probe.at(frame).rows()) for frame in frames]
    facts = {
        "run": probe.trained.run.name,
        "step": probe.trained.step,
        "dataset": dataset,
        "told_class": probe.told,
        "t": t,
        "rows": ["x_0", "x_t", "x0", "deviation"],
        "x0_error": [float(f"{error:.4g}") for error in seen.x0_error.tolist()],
        "eps_error": [float(f"{error:.4g}") for error in seen.eps_error.tolist()],
    }
    return _write(out, stem, seen.rows(), film, facts, len(seen.x_start))


def _spread(first: int, num_train_timesteps: int, frames: int) -> list[int]:
    """Timesteps of the frames, evenly from `first` to T − 1."""
    number = min(frames, num_train_timesteps - first)
    return [int(t) for t in np.linspace(first, num_train_timesteps - 1, number)]


def _write(
    out: Path,
    stem: str,
    rows: Sequence[Pixels],
    film: Sequence[Pixels],
    facts: Mapping[str, Any],
    columns: int,
) -> tuple[Path, Path]:
    io.make_folder(out, parents=True)
    png, gif = out / f"{stem}.png", out / f"{stem}.gif"
    write_png(png, np.concatenate(rows), about=facts, columns=columns)
    # A film of rows is as wide as the picture; images alone make a square.
    stacked = len(film[0]) > columns
    write_gif(gif, film, columns=columns if stacked else None)
    return png, gif
