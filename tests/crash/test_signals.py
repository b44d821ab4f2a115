"""Two signals at any moment of a training: what was trained is saved, and the first one decides.

docs/signals.md has the table. All pairs at all gaps in all phases:

DDPM_TUI_SIGNALS=all pytest tests/crash/test_signals.py -m slow -s
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.crash.signalled import HELD, PHASES, SAVED, STEPS

_ROOT = Path(__file__).parents[2]
_KINDS = ("INT", "TERM", "USR1", "HUP")
_GAPS = (0.05, 0.3, 1.0, 2.0)  # seconds
_CODES = {"INT": 130, "TERM": 75, "USR1": 75}
_BY = {"INT": "the user", "TERM": "SIGTERM", "USR1": "SIGUSR1"}
_STOPS_AT = {
    "while torch loads": SAVED,
    "in a step": HELD,
    "in a preview": HELD,
    "in a checkpoint": HELD,
    "in the save itself": HELD - 1,
}


def cases(gaps: tuple[float, ...], phases: tuple[str, ...]) -> list[dict[str, Any]]:
    every = product(_KINDS, _KINDS, gaps, phases)
    return [dict(zip(("first", "second", "gap", "phase"), each, strict=True)) for each in every]


def run(chosen: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What became of each case."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.signalled", str(folder)],
        input=json.dumps(chosen),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert len(found) == len(chosen)
    return found


def wanted(case: dict[str, Any]) -> tuple[int, str, str, int]:
    """Exit code, state, reason and step, as the table has them."""
    asking = [kind for kind in (case["first"], case["second"]) if kind != "HUP"]
    phase = case["phase"]
    if phase == "in the save itself" and case["first"] == "HUP":
        phase = "in a checkpoint"  # there is nothing to save before
    if not asking or phase == "as the process ends":
        return 0, "finished", "", STEPS
    return _CODES[asking[0]], "stopped", f"stopped by {_BY[asking[0]]}", _STOPS_AT[phase]


def wrong(found: list[dict[str, Any]]) -> list[str]:
    """Each case that did not end as the table has it."""
    told = []
    for case in found:
        code, state, reason, step = wanted(case)
        asked = (case["code"], case["state"], case["reason"], case["step"], case["saved"])
        name = " ".join(str(case[key]) for key in ("first", "second", "gap", "phase"))
        if asked != (code, state, reason, step, step):
            told.append(f"{name}: {asked} and not {(code, state, reason, step)}: {case['said']}")
        elif not case["held"] or case["locked"]:
            told.append(f"{name}: held {case['held']}, locked {case['locked']}")
        elif any(word in case["said"] for word in ("Traceback", "Exception", "Error")):
            told.append(f"{name}: {case['said']}")
        elif (state == "stopped") != ("after 5 s ends at once" in case["said"]):
            told.append(f"{name}: the grace: {case['said']}")
    return told


@pytest.fixture(scope="module")
def in_a_step(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every pair within the grace, and every pair when it is over."""
    soon = cases((0.05,), ("in a step",))
    late = [
        {**case, "grace": 0.01} for case in soon if "HUP" not in (case["first"], case["second"])
    ]
    return run(soon + late, tmp_path_factory.mktemp("signals"))


def test_no_pair_of_signals_in_a_step_cancels_the_save(in_a_step: list[dict[str, Any]]) -> None:
    assert wrong([case for case in in_a_step if "grace" not in case]) == []


def test_only_the_same_signal_ends_at_once_after_the_grace(in_a_step: list[dict[str, Any]]) -> None:
    late = [case for case in in_a_step if "grace" in case]
    assert len(late) == 9
    for case in late:
        code, state, reason, step = wanted(case)
        at_once = case["first"] == case["second"]
        if at_once:
            reason, step = f"ended at once by a second SIG{case['first']}", SAVED
        asked = (case["code"], case["state"], case["reason"], case["saved"])
        assert asked == (code, state, reason, step), case
        assert at_once == ("Go on with: ddpm-tui resume mine" in case["said"])
        assert "Traceback" not in case["said"] and not case["locked"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_pair_of_signals_anywhere_cancels_the_save(tmp_path: Path) -> None:
    gaps = _GAPS if os.environ.get("DDPM_TUI_SIGNALS") == "all" else (0.05,)
    found = run(cases(gaps, tuple(PHASES)), tmp_path)
    lost = sum(each["saved"] < each["step"] or each["saved"] < wanted(each)[3] for each in found)
    print(
        f"\n{len(_KINDS) ** 2} pairs x {len(gaps)} gaps x {len(PHASES)} phases: {len(found)} "
        f"trainings, {lost} saves lost",
        file=sys.stderr,
    )
    assert wrong(found) == []
