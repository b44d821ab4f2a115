"""What differs between the configs of runs, and between the versions that trained them.

Pure functions of plain values; no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import ConfigError

Values = Mapping[str, Any]
Differences = dict[str, tuple[Any, ...]]

# What a loss is measured on and by: where one of these differs, so does the meaning of the number.
_OF_THE_LOSS = ("data.dataset", "diffusion.", "training.loss", "training.snr_gamma")


def flat(values: Values, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted keys: {"data": {"batch_size": 8}} -> {"data.batch_size": 8}.

    A tuple becomes a list, as TOML and JSON have it.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def settings_of(config: Values) -> dict[str, Any]:
    """Every setting of a config.toml by its dotted key; what it leaves out has its default.

    A config that this program does not take, of a newer one for instance, keeps what it says.
    """
    from engine.config import RunConfig, validate

    try:
        return flat(validate(config).model_dump())
    except ConfigError:
        return {**flat(RunConfig().model_dump()), **flat(config)}


def config_differences(configs: Sequence[Values | None]) -> Differences:
    """The settings that are not the same in all configs.

    Args:
        configs: of each run what config.toml says; None where it cannot be read.

    Returns:
        dotted key -> the value of each run; None where its config is not known, or is of another
        version of the program and has no such setting. Empty when nothing differs.
    """
    return _differences([None if config is None else settings_of(config) for config in configs])


def version_differences(environments: Sequence[Values | None]) -> Differences:
    """The versions of Python and the packages in env.json that are not the same everywhere."""
    return _differences([None if env is None else _versions(env) for env in environments])


def _versions(environment: Values) -> dict[str, Any]:
    packages = environment.get("packages")
    return {
        "python": environment.get("python"),
        **(packages if isinstance(packages, Mapping) else {}),
    }


def _differences(sides: Sequence[dict[str, Any] | None]) -> Differences:
    known = [side for side in sides if side is not None]
    keys = dict.fromkeys(key for side in known for key in side)
    return {
        key: tuple(None if side is None else side.get(key) for side in sides)
        for key in keys
        if any(side.get(key) != known[0].get(key) for side in known)
    }


def losses_apart(differences: Differences) -> tuple[str, ...]:
    """The settings among them for which the losses of the runs cannot be set beside each other."""
    return tuple(key for key in differences if key.startswith(_OF_THE_LOSS))
