"""Where the ticks of an axis are, and what is written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers in [low, high], a multiple of 1, 2, 2.5 or 5 apart."""
    if most < 1 or not high > low:
        return []
    exponent = math.floor(math.log10((high - low) / most)) - 1
    while True:
        for factor in (1, 2, 2.5, 5):
            step = factor * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first < most:
                digits = 1 - exponent  # 2.5 has one decimal
                return [round(k * step, digits) for k in range(first, last + 1)]
        exponent += 1


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers in [low, high], both positive, for a logarithmic axis.

    Powers of ten, thinned if there are many; 1, 2, 5 between them if there are few; evenly spaced
    numbers within less than a decade, where those would be one or two.
    """
    if most < 1 or not high > low > 0:
        return []
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = range(first, last + 1)
    if len(decades) > most:
        stride = -(-len(decades) // most)
        return [10.0**k for k in decades if k % stride == 0]
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**k for k in range(first - 1, last + 1) for f in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if 2 <= len(ticks) <= most and (len(ticks) > 2 or high >= 10 * low):
            return ticks
    return linear_ticks(low, high, most)


_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_tick(value: float, step: float | None = None) -> str:
    """A short label: 0, 0.05, 20, 1k, 2.5M, 1e-3.

    Args:
        step: the distance to the next tick, which tells how many decimals are needed; None for
            the ticks of a logarithmic axis, which are round by themselves.
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or (step is None and size < 0.01):
        return _exponential(value, step)
    for unit, letter in _UNITS:
        if size >= unit:
            return _decimal(value / unit, None if step is None else step / unit, trim=True) + letter
    return _decimal(value, step, trim=False)


def format_ticks(values: Sequence[float]) -> list[str]:
    """Labels for the evenly spaced ticks of one axis, all in one form."""
    step = abs(values[1] - values[0]) if len(values) > 1 else None
    if max((abs(value) for value in values), default=0) < 0.01:
        return ["0" if value == 0 else _exponential(value, step) for value in values]
    return [format_tick(value, step) for value in values]


def _decimal(value: float, step: float | None, *, trim: bool) -> str:
    if step is None:
        return f"{value:.6g}"
    text = f"{value:.{_decimals(step)}f}"
    return text.rstrip("0").rstrip(".") if trim and "." in text else text


def _exponential(value: float, step: float | None) -> str:
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    text = f"{_shift(value, -exponent):.{_decimals(_shift(step, -exponent)) if step else 0}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}e{exponent}"


def _shift(value: float, places: int) -> float:
    """`value` × 10 ** `places`, in two steps because 10.0**310 is not a number."""
    return value * 10.0 ** (places // 2) * 10.0 ** (places - places // 2)


def _decimals(step: float) -> int:
    """Decimals that multiples of `step` need."""
    exact = (d for d in range(10) if math.isclose(step, round(step, d), rel_tol=1e-6))
    return next(exact, 10)
