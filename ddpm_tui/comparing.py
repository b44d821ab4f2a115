"""How a comparison of runs reads, in the view and in the shell: rows of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddpm_tui.report import duration, figure
from ddpm_tui.sanitize import clean
from engine.compare.standing import Comparison, Figure

NOTHING = "–"
# The head of the column with what real pictures get.
REAL = "real"


@dataclass(frozen=True)
class Row:
    """A label and a cell for each run.

    Attributes:
        best: the columns that are ahead.
        real: what real pictures get, where that is one number for all runs.
    """

    label: str
    cells: tuple[str, ...]
    best: tuple[int, ...] = ()
    real: str = ""


@dataclass(frozen=True)
class Section:
    """Rows under a title, and what has to be said below them, a sentence each."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def has_real(self) -> bool:
        """Whether it has a column for real pictures."""
        return any(row.real for row in self.rows)


def _count(value: int) -> str:
    return f"{value:,}"


def _distance(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _thousandths(value: float) -> str:
    return _distance(1000 * value)


def _speed(value: float) -> str:
    return f"{value:,.0f}"


# In the order of their rows, first what decides: what a figure is called, how it is written.
_FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "state": ("state", str),
    "step": ("step", _count),
    "loss": ("loss", figure),
    "held_out": ("held-out", figure),
    "frechet": ("Fréchet", _distance),
    "kernel": ("kernel ×1000", _thousandths),
    "precision": ("precision", _distance),
    "recall": ("recall", _distance),
    "evaluated_pictures": ("of pictures", _count),
    "evaluated_step": ("at step", _count),
    "parameters": ("parameters", _count),
    "images_seen": ("images seen", _count),
    "elapsed": ("trained", duration),
    "images_per_second": ("images/s", _speed),
}
# Where no run is evaluated, rows of dashes say nothing.
_OF_SCORES = ("frechet", "kernel", "precision", "recall", "evaluated_pictures", "evaluated_step")


def sections(comparison: Comparison) -> tuple[Section, Section]:
    """The figures, and the differences of configs and versions."""
    return _scores(comparison), _differences(comparison)


def _scores(comparison: Comparison) -> Section:
    figures = {row.name: row for row in comparison.figures}
    rows = [
        _figure_row(figures[name])
        for name in _FIGURES
        if name not in _OF_SCORES or any(value is not None for value in figures[name].values)
    ]
    return Section("scores", tuple(rows), comparison.notes)


def _figure_row(row: Figure) -> Row:
    """Values with what as many real pictures get: in a column of its own where that is the same
    for all runs, else in brackets beside each."""
    label, written = _FIGURES[row.name]
    cells = [NOTHING if value is None else written(value) for value in row.values]
    floors = ["" if floor is None else written(floor) for floor in row.floors]
    known = set(filter(None, floors))
    if len(known) <= 1:
        return Row(label, tuple(cells), row.best, next(iter(known), ""))
    beside = [
        f"{cell} ({floor})" if floor else cell for cell, floor in zip(cells, floors, strict=True)
    ]
    return Row(f"{label} (real)", tuple(beside), row.best)


def _differences(comparison: Comparison) -> Section:
    rows = [Row(key, tuple(map(setting, values))) for key, values in comparison.config.items()]
    rows += [
        Row(f"version of {key}", tuple(map(setting, values)))
        for key, values in comparison.versions.items()
    ]
    notes = []
    if len(comparison.standings) == 1:
        notes.append("One run: there is nothing to differ from. Mark others in the list of runs.")
    elif not comparison.config:
        known = [each for each in comparison.standings if each.config is not None]
        notes.append(
            "The runs have the same config." if len(known) > 1 else "No two configs can be read."
        )
    return Section("config differences", tuple(rows), tuple(notes))


def setting(value: Any) -> str:
    """A value of a config as TOML has it, words without quotes."""
    if value is None:
        return NOTHING
    if isinstance(value, bool | list | Mapping):
        return clean(json.dumps(value, ensure_ascii=False))
    if isinstance(value, float):
        return f"{value:g}"
    return clean(str(value)) or '""'


def comparison_text(comparison: Comparison) -> str:
    """The report of `ddpm-tui compare`; a star is on what is best."""
    from ddpm_tui.report import table

    names = [each.name for each in comparison.standings]
    parts = []
    for section in sections(comparison):
        if section.rows:
            columns = [*names, REAL] if section.has_real else names
            rows = [
                [row.label, *_starred(row), row.real][: len(columns) + 1] for row in section.rows
            ]
            right = set(range(1, len(columns) + 1))
            parts.append(table([section.title.upper(), *columns], rows, right=right))
        parts += [clean(note) for note in section.notes]
        parts.append("")
    if any(row.best for row in comparison.figures):
        parts.append("* is the best of its row; real is what as many real pictures get.")
    return "\n".join(parts).rstrip()


def _starred(row: Row) -> Sequence[str]:
    if not row.best:
        return row.cells
    return [f"{cell}{'*' if i in row.best else ' '}" for i, cell in enumerate(row.cells)]
