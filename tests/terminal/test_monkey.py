"""Any key on any view, in any order, at any size: never a crash, never a stuck screen.

    DDPM_TUI_MONKEY_SECONDS=600 DDPM_TUI_MONKEY_SEED=7 pytest tests/terminal/test_monkey.py

A failure tells the seed and all that was done.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.terminal.monkey import play

SEED = int(os.environ.get("DDPM_TUI_MONKEY_SEED", "1"))
SECONDS = float(os.environ.get("DDPM_TUI_MONKEY_SECONDS", "40"))
_TRAINING = (
    *("train", "--tui", "--dataset", "fashion-mnist-10k", "--model", "article"),
    *("--steps", "100000", "--batch-size", "4", "--num-train-timesteps", "8"),
)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_a_monkey_finds_nothing(few_runs: Path, tmp_path: Path) -> None:
    play(tmp_path, SEED, SECONDS / 2)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_a_monkey_finds_nothing_while_a_training_goes_on(few_runs: Path, tmp_path: Path) -> None:
    story = play(tmp_path, SEED, SECONDS, *_TRAINING)
    print(f"\nseed {SEED}: {story}")
