"""How runs stand beside each other: their figures, each with its floor, and which is the best.

Read from the run folders alone; no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.compare.differences import (
    config_differences,
    losses_apart,
    settings_of,
    version_differences,
)
from engine.errors import EngineError, RunError
from engine.runs import io, moved
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import Run, Status
from engine.runs.outside import is_a, is_number
from engine.runs.scores import Score, list_scores

GONE = "gone"


@dataclass(frozen=True)
class Standing:
    """A run as its folder says it at one moment.

    Attributes:
        status: its state may also be "unreadable", or "gone" for a folder that is not there.
        config: config.toml as plain values; None where it cannot be read.
        environment: env.json; None where it cannot be read.
        images_seen: training images so far, each as often as it was shown.
        parameters: weights of the network; None before the first checkpoint.
        held_out: the lowest loss of the EMA weights on held-out images, at a checkpoint.
        held_out_step: the step of that checkpoint.
        scores: its evaluations, by step.
    """

    name: str
    status: Status
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    images_seen: int | None = None
    parameters: int | None = None
    held_out: float | None = None
    held_out_step: int | None = None
    scores: tuple[Score, ...] = ()


def read_standing(run: Run) -> Standing:
    """How a run stands; what cannot be read is left open, and the status says why."""
    if gone := moved.gone(run.path):
        return Standing(run.name, Status(state=GONE, reason=str(gone)))
    try:
        run.info()
        config, status = run.config_values(), run.status()
        seen = status.step * settings_of(config)["data.batch_size"]
        scores = list_scores(run)
    except (EngineError, OSError, TypeError) as error:
        return Standing(run.name, Status(state="unreadable", reason=str(error)))
    found = Standing(
        run.name,
        status,
        config,
        _environment(run),
        images_seen=_number(seen),
        held_out=_number(status.eval_loss),
        scores=scores,
    )
    return _with_checkpoints(found, run)


def _number(value: Any) -> Any:
    """A number as it is; None for what a file has in its place."""
    return value if is_number(value) else None


def _environment(run: Run) -> dict[str, Any] | None:
    try:
        return io.read_json(run.path / "env.json")
    except RunError:
        return None


def _with_checkpoints(standing: Standing, run: Run) -> Standing:
    for checkpoint in list_checkpoints(run):
        try:
            state = checkpoint.state()
        except RunError:
            continue  # just pruned
        if is_a(state.get("parameters"), int):
            standing = replace(standing, parameters=state["parameters"])
        loss = state.get("eval_loss")
        if is_number(loss) and (
            standing.held_out_step is None or loss < (standing.held_out or loss)
        ):
            standing = replace(standing, held_out=float(loss), held_out_step=checkpoint.step)
    return standing


# --- Figures side by side ----------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One figure of every run.

    Attributes:
        name: what a script calls it.
        values: one a run; None where it is not known.
        floors: what as many real pictures get, beside each value.
        best: the indices of the runs that are ahead; empty where nothing can be said.
    """

    name: str
    values: tuple[Any, ...]
    floors: tuple[float | None, ...] = ()
    best: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Runs beside one another.

    Attributes:
        standings: one a run.
        scores: the evaluation of each that is set beside the others'; None where there is none.
        figures: row by row.
        config: the settings that differ, by dotted key, a value a run.
        versions: the same of Python and packages.
        notes: what has to be said beside the figures, a sentence each.
    """

    standings: tuple[Standing, ...]
    scores: tuple[Score | None, ...]
    figures: tuple[Figure, ...]
    config: Mapping[str, tuple[Any, ...]]
    versions: Mapping[str, tuple[Any, ...]]
    notes: tuple[str, ...]


_Better = Literal["lower", "higher", ""]


def _figure(
    name: str,
    values: Sequence[Any],
    better: _Better = "",
    floors: Sequence[float | None] = (),
) -> Figure:
    """A row; it has a best where two runs have a value and not all have the same."""
    known = [value for value in values if _number(value) is not None]
    best: tuple[int, ...] = ()
    if better and len(set(known)) > 1:
        ahead = min(known) if better == "lower" else max(known)
        best = tuple(i for i, value in enumerate(values) if value == ahead)
    return Figure(name, tuple(values), tuple(floors), best)


def compare(standings: Sequence[Standing]) -> Comparison:
    """Set runs beside one another."""
    config = config_differences([each.config for each in standings])
    apart = losses_apart(config)
    scores, alike = comparable_scores([each.scores for each in standings])
    return Comparison(
        tuple(standings),
        scores,
        (*_training_figures(standings, comparable=not apart), *_score_figures(scores, alike)),
        config,
        version_differences([each.environment for each in standings]),
        tuple(_notes(standings, apart, scores, alike)),
    )


def _training_figures(standings: Sequence[Standing], *, comparable: bool) -> list[Figure]:
    lower: _Better = "lower" if comparable else ""

    def of_status(name: str) -> list[Any]:
        return [
            _number(getattr(each.status, name)) if each.config is not None else None
            for each in standings
        ]

    return [
        _figure("state", [each.status.state for each in standings]),
        _figure("step", of_status("step")),
        _figure("images_seen", [each.images_seen for each in standings]),
        _figure("elapsed", of_status("elapsed")),
        _figure("parameters", [each.parameters for each in standings]),
        _figure("images_per_second", of_status("images_per_second"), "higher"),
        _figure("loss", of_status("loss"), lower),
        _figure("held_out", [each.held_out for each in standings], lower),
    ]


def comparable_scores(
    scores: Sequence[Sequence[Score]],
) -> tuple[tuple[Score | None, ...], bool]:
    """Of each run the evaluation to set beside the others'.

    Figures of another extractor, data set or number of pictures do not compare, so that kind is
    taken which most runs have, of those the one of most pictures; of it a run's newest. A run
    without one shows its newest of another kind.

    Returns:
        one a run, None where it was never evaluated; and whether they compare.
    """
    kinds = Counter(kind for each in scores for kind in {_kind(score) for score in each})
    common = max(kinds, key=lambda kind: (kinds[kind], kind[2]), default=None)
    chosen = []
    for each in scores:
        ordered = sorted(each, key=lambda score: (_kind(score) == common, score.step, score.n))
        chosen.append(ordered[-1] if ordered else None)
    return tuple(chosen), len({_kind(score) for score in chosen if score}) <= 1


def _kind(score: Score) -> tuple[str, str, int]:
    return score.extractor, score.dataset, score.n


def _score_figures(scores: Sequence[Score | None], alike: bool) -> list[Figure]:
    def of_scores(name: str) -> list[Any]:
        return [None if score is None else getattr(score, name) for score in scores]

    def row(name: str, better: _Better, value: str, floor: str) -> Figure:
        return _figure(
            name,
            of_scores(value),
            better if alike else "",
            of_scores(floor),
        )

    return [
        row("frechet", "lower", "frechet", "floor"),
        row("kernel", "lower", "kernel", "kernel_floor"),
        row("precision", "higher", "precision", "precision_floor"),
        row("recall", "higher", "recall", "recall_floor"),
        _figure("evaluated_pictures", of_scores("n")),
        _figure("evaluated_step", of_scores("step")),
    ]


def _notes(
    standings: Sequence[Standing],
    apart: Sequence[str],
    scores: Sequence[Score | None],
    alike: bool,
) -> list[str]:
    notes = [
        f"{each.name}: {each.status.reason}"
        for each in standings
        if each.status.reason and each.status.state in (GONE, "unreadable", "failed")
    ]
    if apart:
        notes.append(f"The losses do not compare: {', '.join(apart)}.")
    if not alike:
        kinds = {(score.extractor, score.dataset) for score in scores if score}
        why = "number of pictures" if len(kinds) == 1 else "extractor or data set"
        notes.append(f"The evaluations do not compare: they differ in their {why}.")
    notes += [
        f"{each.name} is not evaluated: ddpm-tui evaluate {each.name}"
        for each, score in zip(standings, scores, strict=True)
        if score is None and each.status.state not in (GONE, "unreadable")
    ]
    return notes


def facts(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values, for scripts: by key, then by run."""
    names = [each.name for each in comparison.standings]

    def by_run(rows: Mapping[str, tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
        return {key: dict(zip(names, values, strict=True)) for key, values in rows.items()}

    return {
        "runs": names,
        "figures": by_run({row.name: row.values for row in comparison.figures}),
        "floors": by_run({row.name: row.floors for row in comparison.figures if row.floors}),
        "best": {row.name: [names[i] for i in row.best] for row in comparison.figures if row.best},
        "config": by_run(comparison.config),
        "versions": by_run(comparison.versions),
        "notes": list(comparison.notes),
    }
