"""What a person asks for, in words: classes of the data set, alone or mixed. No torch.

"ankle boot", "dress + coat" (halves), "0.6 dress + 0.4 coat", and "7", which is the class of that
name where there is one, else the class of that number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ConfigError

_TERM = re.compile(r"(?:(?P<weight>\d+\.?\d*|\.\d+)(?:\s*[*×]\s*|\s+))?(?P<words>.+)")
# Of characters: a longer one is no prompt, and costs its square to take apart.
_LONGEST = 500
# Names in an error message; a data set may have a thousand.
_LISTED = 20


@dataclass(frozen=True)
class Part:
    """A share of a prompt: the class `label` with `weight`; the weights of a prompt sum to 1."""

    label: int
    weight: float


def parse_prompt(prompt: str, class_names: Sequence[str]) -> tuple[Part, ...]:
    """The parts of a prompt, one a class, in the order in which they are named.

    Case does not matter, nor do spaces, - and _ in a name. Of a name with alternatives, as
    "T-shirt/top", any one will do. Weights are scaled to sum to 1.

    Raises:
        ConfigError: words that are no class (the classes are listed), nothing beside a +, or no
            weight above 0; or there are no classes.
    """
    if not class_names:
        raise ConfigError(
            f"There is no class to ask for with the prompt {prompt!r}",
            "This network was told none; train one with --class-conditional.",
        )
    if len(prompt) > _LONGEST:
        raise ConfigError(
            f"The prompt has {len(prompt):,} characters", f"{_LONGEST} are the most that are read."
        )
    names = _names(class_names)
    whole = names.get(_plain(prompt))
    if whole is not None:  # a class may have a + in its name
        return (Part(whole, 1.0),)
    weights: dict[int, float] = {}
    for term in (part.strip() for part in prompt.split("+")):
        if not term:
            raise ConfigError(f"A class is missing in the prompt {prompt!r}", _advice(class_names))
        label, weight = _read(term, names)
        if label is None:
            raise ConfigError(
                f"{term!r} in the prompt {prompt!r} is no class of this data set",
                _advice(class_names),
            )
        weights[label] = weights.get(label, 0.0) + weight
    total = sum(weights.values())
    if not 0 < total < math.inf:
        raise ConfigError(
            f"The weights of the prompt {prompt!r} add up to {total:g}",
            "Give a class a weight above 0, as in 0.6.",
        )
    return tuple(Part(label, weight / total) for label, weight in weights.items() if weight > 0)


def _names(class_names: Sequence[str]) -> dict[str, int]:
    """Everything that a class may be called; a full name wins over an alternative or a number."""
    names = {str(label): label for label in range(len(class_names))}
    for label, name in enumerate(class_names):
        names |= {_plain(form): label for form in name.split("/") if _plain(form)}
    return names | {_plain(name): label for label, name in enumerate(class_names)}


def _plain(text: str) -> str:
    return " ".join(re.split(r"[\s_-]+", text.casefold().strip()))


def _read(term: str, names: dict[str, int]) -> tuple[int | None, float]:
    """The class and the weight of "0.6 dress"; the class is None when there is no such."""
    whole = names.get(_plain(term))  # a name may begin with a number
    if whole is not None:
        return whole, 1.0
    match = _TERM.fullmatch(term)
    if match is None:
        return None, 0.0
    return names.get(_plain(match["words"])), float(match["weight"] or 1.0)


def _advice(class_names: Sequence[str]) -> str:
    listed = ", ".join(class_names[:_LISTED])
    if len(class_names) > _LISTED:
        listed += f" and {len(class_names) - _LISTED} more"
    first, second = class_names[0], class_names[-1]
    return f'The classes are: {listed}. Mix them as in "0.6 {first} + 0.4 {second}".'
