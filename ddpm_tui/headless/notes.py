"""What has to be said of a sampling before it begins, to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.config import SamplingConfig
    from engine.schedule import NoiseSchedule


def say_start(
    schedule: NoiseSchedule, sampling: SamplingConfig, option: str = "--timestep-spacing trailing"
) -> None:
    """Print a note where a sampling from noise starts far below T − 1.

    Args:
        option: of this command, for the spacing that starts at T − 1.
    """
    from engine.sampling import start_note

    if note := start_note(schedule, sampling):
        print(f"note: {note}; use {option}", file=sys.stderr, flush=True)
