"""The budget of the link as people write it: kB/s."""

from __future__ import annotations

import math

from engine.errors import ConfigError

LEAST = 5.0  # kB/s; below, the text would have no room
_UNITS = {"k": 1.0, "m": 1000.0}


def parse_budget(given: str | float) -> float:
    """kB/s from "300", "300k" or "1.5M", or from kB/s.

    Raises:
        ConfigError: it is no such number, or too small.
    """
    text = str(given)
    unit = text[-1:].lower() if text[-1:].isalpha() else "k"
    number = text[:-1] if text[-1:].isalpha() else text
    try:
        budget = float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        raise ConfigError(
            f"--link-budget {text!r} is no number of kB/s", "Write 100k for 100 kB/s, or 1M."
        ) from None
    if problem := problem_of(budget):
        raise ConfigError(f"--link-budget {text}: {problem}", "Write 100k for 100 kB/s, or 1M.")
    return budget


def problem_of(budget: float) -> str:
    """What is wrong with a number of kB/s; "" is nothing."""
    if math.isfinite(budget) and budget >= LEAST:
        return ""
    return f"the link budget is a number of kB/s from {LEAST:g}"
