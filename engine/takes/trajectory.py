"""A whole trajectory in one file: x_t, x_0 and eps of every step, written as they come.

The .npz holds, for each stretch of the way along which the number of pictures does not change,
counted from 0:

- `steps_0`: float32 (S, 3, N, C, H, W); of each step x_t, the predicted x_0, the predicted noise;
- `t_0`, `round_0`: int64 (S,), the timestep of each step and how often x was taken back up before;

and `result`, float32 (N, C, H, W), the finished pictures. `np.load(file)["steps_0"][:, 1]` is what
the network believed in, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import torch

from engine.runs import publishing
from engine.takes.path import PathStep
from engine.takes.perform import TakeStep


class _Trajectory:
    """The archive under construction, and how far it is."""

    def __init__(
        self, archive: ZipFile, path: Sequence[PathStep], image_shape: tuple[int, int, int]
    ) -> None:
        self.archive, self.image_shape = archive, image_shape
        self.stretches = [
            list(stretch) for _, stretch in groupby(path, key=lambda point: point.num)
        ]
        self.number = self.written = 0
        self.member: IO[bytes] | None = None

    def append(self, step: TakeStep) -> None:
        points = self.stretches[self.number]
        if self.member is None:
            self._begin(points)
        assert self.member is not None
        values = torch.stack((step.x_t, step.x0, step.eps)).float().cpu().numpy()
        self.member.write(values.astype("<f4", copy=False).tobytes())
        self.written += 1
        if self.written < len(points):
            return
        self.close()
        self.number, self.written = self.number + 1, 0
        if self.number == len(self.stretches):
            self._write("result", step.prev_sample.float().cpu().numpy())

    def close(self) -> None:
        """Close what is open; an archive cannot be closed before."""
        if self.member:
            self.member.close()
        self.member = None

    def _begin(self, points: Sequence[PathStep]) -> None:
        number = self.number
        self._write(f"t_{number}", np.array([point.t for point in points]))
        self._write(f"round_{number}", np.array([point.round for point in points]))
        shape = (len(points), 3, points[0].num, *self.image_shape)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        self.member = self.archive.open(f"steps_{number}.npy", "w", force_zip64=True)
        np.lib.format.write_array_header_1_0(self.member, header)

    def _write(self, name: str, values: npt.NDArray[Any]) -> None:
        with self.archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, values, allow_pickle=False)


@contextmanager
def trajectory_writer(
    target: Path, path: Sequence[PathStep], image_shape: tuple[int, int, int]
) -> Iterator[Callable[[TakeStep], None]]:
    """Write a trajectory step by step, so that memory does not grow; it appears when complete.

    Args:
        path: the steps that will come.

    Yields:
        a function that appends the next step.

    Raises:
        RunError: the file cannot be written.
    """
    with publishing.published_file(target) as file, ZipFile(file, "w") as archive:
        trajectory = _Trajectory(archive, path, image_shape)
        try:
            yield trajectory.append
        finally:
            trajectory.close()
