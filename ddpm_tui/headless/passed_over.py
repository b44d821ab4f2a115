"""Checkpoints that would have been taken but are damaged: said beside the results."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ddpm_tui.sanitize import clean


def say(passed_over: Sequence[str]) -> None:
    """Print what is wrong with them, and what is used instead, to standard error.

    Args:
        passed_over: as `Checkpoint` and `TrainedModel` have it.
    """
    for line in passed_over:
        print(clean(line), file=sys.stderr, flush=True)
