"""`ddpm-tui evaluate`: draw, evaluate, print the figures beside their floors."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless import notes, passed_over
from ddpm_tui.headless.progress import Progress, progress
from ddpm_tui.report import table
from ddpm_tui.sanitize import clean_lines

if TYPE_CHECKING:
    from engine.runs.folder import Run


def evaluate(
    run: Run,
    overrides: dict[str, Any],
    *,
    seed: int = 0,
    which: str = "best",
    inception: Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    as_json: bool = False,
) -> None:
    """Evaluate a run and print what was found.

    Args:
        overrides: fields of the run's `[sampling]` table.
        inception: weights of Inception v3 to compare by, instead of the classifier's.
        out: the folder of the figures; the run's `evaluations` when None.
    """
    from engine.config import override_sampling
    from engine.data.dataset import load
    from engine.evaluate.evaluation import check_count
    from engine.evaluate.extractor import find_extractor
    from engine.evaluate.results import evaluate_run, facts
    from engine.runs import io
    from engine.sampling import load_trained

    with io.advising("--out"):
        run.check_output("evaluations", out)
    trained = load_trained(run, which=which, device=device)
    passed_over.say(trained.passed_over)
    # All classes: the reference is the whole training split, whatever a run's own prompt is.
    sampling = override_sampling(trained.config, {**overrides, "prompt": ""})
    notes.say_start(trained.schedule, sampling, "--set sampling.timestep_spacing=trailing")
    dataset = load(trained.config.data.dataset, data_dir=data_dir, device=trained.device)
    with progress(f"training the extractor of {dataset.name}", 0, quiet=as_json) as bar:
        extractor = find_extractor(
            dataset,
            inception=inception,
            on_step=lambda done, total: bar.update(done, "steps, kept for the next time", total),
        )
    # Before the drawing, which takes long.
    if warning := check_count(sampling.num, extractor):
        print(f"ddpm-tui: {warning}", file=sys.stderr)
    with (
        io.advising("--out"),
        progress(f"evaluating {run.name}", 0, quiet=as_json) as bar,
    ):
        found, files = evaluate_run(
            trained, sampling, seed, dataset, extractor, _Stages(bar), out=out
        )
    values = facts(run, found, sampling, seed=seed, step=trained.step)
    if as_json:
        print(json.dumps({**values, "json": str(files.json), "png": str(files.png)}))
        return
    print(clean_lines(report(values)))
    print(clean_lines(f"\nfigures  {files.json}\npairs    {files.png}"), end="")
    print(" (generated above, nearest below)")


class _Stages:
    """Progress of one thing after the other on one bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def __call__(self, what: str, done: int, total: int) -> None:
        self._bar.update(done, what, total or 1)


def report(values: Mapping[str, Any]) -> str:
    """An evaluation for a person: the figures, each beside its floor, then what they are of."""
    sampling, generated, floor = values["sampling"], values["generated"], values["floor"]
    lines = [
        f"{values['run']} at step {values['step']:,}: {generated['n']:,} pictures, "
        f"{sampling['sampler']}, {sampling['num_inference_steps']:,} steps, seed {values['seed']}",
        "",
        _figures_table(values),
    ]
    if values["classes"]:
        lines += ["", _class_table(values)]
    lines += ["", f"value      {generated['n']:,} generated pictures against the reference"]
    if floor:
        lines.append(
            f"floor      {floor['n']:,} held-out real pictures against the reference: "
            "what a perfect model would get"
        )
    lines += [
        f"reference  the training split of {values['dataset']}, {values['reference_n']:,} pictures",
        f"features   {values['extractor']}; figures of another extractor do not compare",
    ]
    lines += [f"note       {warning}" for warning in values["warnings"]]
    return "\n".join(lines)


def _figures_table(values: Mapping[str, Any]) -> str:
    generated, floor, at_floor = values["generated"], values["floor"], values["at_floor"]
    sets = [generated] if at_floor in (None, generated) else [generated, at_floor]
    header = ["FIGURE", *(f"VALUE n={figures['n']:,}" for figures in sets)]
    header += [f"FLOOR n={floor['n']:,}" if floor else "FLOOR", "RATIO"]

    def row(name: str, *path: str, scale: float = 1) -> list[str]:
        found = [_at(figures, path) for figures in (*sets, floor)]
        cells = [short(value, scale) for value in found]
        return [name, *cells, ratio(found[-2], found[-1]) if at_floor else "–"]

    def kernel(figures: Mapping[str, Any] | None) -> str:
        if figures is None:
            return "–"
        mean, low, high = (short(figures["kernel"][key], 1000) for key in ("mean", "low", "high"))
        return f"{mean} ({low} … {high})"

    rows = [
        row("Fréchet distance", "frechet"),
        # Around 0 a ratio says nothing; the intervals do.
        ["kernel distance ×1000 (95 %)", *map(kernel, (*sets, floor)), "–"],
        row("precision", "precision"),
        row("recall", "recall"),
        row("brightness, levels", "pixels", "brightness"),
        row("contrast, levels", "pixels", "contrast"),
        row("spectrum, dB", "pixels", "spectrum"),
        row("fine detail, dB", "pixels", "fine_detail"),
    ]
    near = values["memorisation"]
    # These do not depend on the number of pictures: one value beside the held-out ones'.
    others = [
        ("nearest training picture, levels", near["median"], near["floor_median"]),
        ("share nearer than 0.1 % of real", near["share_near"], near["floor_share_near"]),
    ]
    if values["accuracy"] is not None:
        others.insert(0, ("of the class asked for", values["accuracy"], values["floor_accuracy"]))
    for name, value, real in others:
        blank = [""] * (len(sets) - 1)
        rows.append([name, short(value), *blank, short(real), ratio(value, real)])
    return table(header, rows, right=set(range(1, len(header))))


def _class_table(values: Mapping[str, Any]) -> str:
    header = [f"CLASS ({values['class_source']})", "DRAWN", "N", "FRÉCHET", "FLOOR", "RATIO"]
    rows = [
        [
            entry["name"],
            f"{entry['generated_n']:,}",
            f"{entry['n']:,}",
            short(entry["frechet"]),
            short(entry["floor"]),
            ratio(entry["frechet"], entry["floor"]),
        ]
        for entry in values["classes"]
    ]
    return table(header, rows, right={1, 2, 3, 4, 5})


def _at(figures: Mapping[str, Any] | None, path: Sequence[str]) -> float | None:
    value: Any = figures
    for key in path:
        value = value[key] if value is not None else None
    return value if value is None else float(value)


def short(value: float | None, scale: float = 1) -> str:
    """Three digits that count, without an exponent; a dash where there is no number."""
    if value is None:
        return "–"
    value *= scale
    digits = 3 if abs(value) >= 1 else 4
    return f"{value:,.{1 if abs(value) >= 100 else digits}f}"


def ratio(value: float | None, floor: float | None) -> str:
    """Value over floor; a dash where there is no floor to divide by."""
    if value is None or not floor:
        return "–"
    return f"{value / floor:,.2f}"
