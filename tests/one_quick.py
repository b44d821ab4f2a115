"""Parameters of which one is tried in `make test`, and the others in `.ci/run`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_quick(values: Iterable[Any]) -> list[Any]:
    """The values of the one name of a `parametrize`; all but the first of them are slow."""
    first, *others = values
    return [first, *(pytest.param(each, marks=pytest.mark.slow) for each in others)]
