"""`ddpm-tui inspect`: the network of a run as text or JSON."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ddpm_tui.inspection import forward, network, reverse, schedule
from ddpm_tui.inspection.study import Study, investigate, run_subject
from ddpm_tui.sanitize import clean, json_text

if TYPE_CHECKING:
    from engine.runs.folder import Run

_PROBE_SECONDS = 3.0
_WIDTH = 110


def inspect(run: Run, *, device: str = "auto", as_json: bool = False) -> None:
    """Print what the network of a run is made of.

    Raises:
        EngineError: the run cannot be read, or the device is not there.
    """
    study = _measured(run, device)
    assert study.anatomy is not None
    assert study.timing is not None
    if as_json:
        parts = [
            {**asdict(part), "time": study.timing.shares.get(part.name)}
            for part in study.anatomy.parts
        ]
        timing = {key: value for key, value in asdict(study.timing).items() if key != "shares"}
        facts = {"run": run.name, "trained": study.anatomy.trained, "timing": timing}
        print(json_text({**facts, "parts": parts}))
        return
    opened = frozenset(part.name for part in study.anatomy.parts)
    tree = network.Tree(opened=opened)
    width = max(min(shutil.get_terminal_size((_WIDTH, 0)).columns, _WIDTH), 60)
    print(clean(f"{run.name}: {network.about(study, tree)}"))
    print(clean(f"schedule: {schedule.about(study)}; half noise at t = {_half(study)}"))
    print(clean(f"reverse: {reverse.about(study)}") + "\n")
    for row in (network.header(study, width, tree), *network.rows(study, width, tree)):
        print(clean("".join(text for text, _ in row)).rstrip())


def _half(study: Study) -> str:
    assert study.maths is not None
    return f"{forward.crossing(study.maths):,}"


def _measured(run: Run, device: str) -> Study:
    from engine.layer_timing import probe

    subject = run_subject(run)
    studies = investigate(subject)
    study = next(study for study in studies if study.article_brightness is not None)
    began = time.monotonic()
    passes = probe(subject.config, subject.image_shape, subject.num_classes, device=device)
    with closing(passes):
        timing = next(passes)
        while time.monotonic() - began < _PROBE_SECONDS:
            timing = next(passes)
    return replace(study, timing=timing)
