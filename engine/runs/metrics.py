"""metrics.jsonl: one line per logged step, appended while training, tailed while watching."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from engine.runs import io
from engine.runs.outside import is_number, open_file

_POLL_BYTES = 1 << 20
_COLUMNS = ("step", "loss", "lr", "grad_norm", "images_per_second", "elapsed", "skipped")
# A row has the loss by timestep in this many even stretches of 0 … T − 1.
TIMESTEP_BUCKETS = 16
_MAX_LINE = 1 << 16  # bytes; a row has less than a thousand
_AT_ONCE = 256  # lines; other threads wait for the parser
_MAX_STEP = 10**12  # no training has more

Value = float | None | Sequence[float | None]


def append_row(path: Path, row: Mapping[str, Value]) -> None:
    """Append one row. Non-finite numbers become null: JSON has none."""
    clean = {
        key: [_finite(each) for each in value] if isinstance(value, Sequence) else _finite(value)
        for key, value in row.items()
    }
    io.append_line(path, json.dumps(clean, separators=(",", ":")))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def drop_rows_after(path: Path, step: int) -> None:
    """Keep the rows up to a step; a resume calls this, since it will write the later ones anew."""
    kept: list[bytes] = []
    dropped = False
    try:
        with open_file(path) as file:
            while lines := list(islice(iter(partial(file.readline, _MAX_LINE), b""), _AT_ONCE)):
                for line, row in zip(lines, parse_rows(lines), strict=True):
                    if row is not None and row["step"] <= step:
                        kept.append(line)
                    else:
                        dropped = True
    except FileNotFoundError:
        return
    if dropped:
        io.write_atomic(path, b"".join(kept))


def parse_row(line: bytes) -> dict[str, Any] | None:
    """A line as a row; None for what is no row, or no whole line."""
    if not line.endswith(b"\n"):
        return None
    try:
        return _row(json.loads(line))
    except (ValueError, RecursionError):
        return None


def parse_rows(lines: Sequence[bytes]) -> list[dict[str, Any] | None]:
    """Each of these lines as a row, as `parse_row` reads it, by one call of a fast parser.

    A million rows are a million calls otherwise, which take longer than what they parse.
    """
    from pydantic_core import from_json

    try:
        if not all(line.startswith(b"{") and line.endswith(b"}\n") for line in lines):
            raise ValueError
        values = from_json(b"[%b]" % b",".join(lines), cache_strings="keys")
        if len(values) != len(lines):
            raise ValueError
    except (ValueError, RecursionError):
        return [parse_row(line) for line in lines]
    return [_row(value) for value in values]


def _row(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    step = value.get("step")
    return value if type(step) is int and 0 <= step <= _MAX_STEP else None


def number(value: Any) -> float:
    """A number of a row; NaN for anything else, and for an integer that no float can hold."""
    return float(value) if is_number(value) else math.nan


class Metrics:
    """The columns of a metrics.jsonl, kept up to date by `poll`.

    Eight bytes a value, so a million rows are a few dozen megabytes. Missing and non-finite values
    are NaN.

    Attributes:
        columns: name -> array of float64; all of one length, ordered as in the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[str, array[float]] = {name: array("d") for name in _COLUMNS}
        self._offset = 0
        self._inode = 0

    def __len__(self) -> int:
        return len(self.columns["step"])

    def poll(self, max_bytes: int = _POLL_BYTES) -> bool:
        """Read what was appended since the last call, at most `max_bytes`.

        A line that is still being written is left for the next call. A file that was replaced
        (a resume dropped rows) is read anew.

        Returns:
            Whether anything changed.
        """
        try:
            with open_file(self.path) as file:
                import os

                stat = os.fstat(file.fileno())
                changed = False
                if stat.st_ino != self._inode or stat.st_size < self._offset:
                    changed = len(self) > 0
                    self._offset, self._inode = 0, stat.st_ino
                    for column in self.columns.values():
                        del column[:]
                file.seek(self._offset)
                chunk = file.read(max_bytes)
        except OSError:
            return False
        # No row is as long as all that may be read.
        end = chunk.rfind(b"\n") + 1 or (len(chunk) if len(chunk) == max_bytes else 0)
        self._offset += end
        lines = chunk[:end].splitlines(keepends=True)
        for start in range(0, len(lines), _AT_ONCE):
            for row in parse_rows(lines[start : start + _AT_ONCE]):
                if row is None:
                    continue
                changed = True
                for name, column in self.columns.items():
                    column.append(number(row.get(name)))
        return changed

    def read_all(self) -> Metrics:
        """Poll until the end of the file."""
        offset = -1
        while offset != self._offset:
            offset = self._offset
            self.poll()
        return self


def tail_losses(path: Path, max_rows: int = 64, max_bytes: int = 1 << 18) -> list[float]:
    """Losses at evenly spread rows of the file's last `max_bytes`; cheap, for a small curve."""
    try:
        with open_file(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - max_bytes))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return []
    if size > max_bytes:
        lines = lines[1:]
    stride = max(1, -(-len(lines) // max_rows))
    rows = (parse_row(line) for line in lines[::stride])
    return [number(row.get("loss")) for row in rows if row is not None]
