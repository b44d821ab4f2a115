"""Settings as a command line gives them, `training.snr_gamma=5`: any field of a config by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import tomlkit

from engine.config import RunConfig, Section
from engine.errors import ConfigError

# These decide what the others start from, so they have options of their own.
_OWN_OPTION = {"preset": "--preset", "seed": "--seed", "data.dataset": "--dataset"}


def setting_types(
    section: type[Section] = RunConfig, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Every setting, as `table.key`, with the type of its values."""
    for key, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from setting_types(kind, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", kind


def parse_settings(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Tables for `make_config` from texts such as `training.snr_gamma=5`; the last of a key wins.

    Values are TOML; a string needs no quotes.

    Raises:
        ConfigError: no `=`, an unknown key (those nearby are listed), or a value that is not TOML.
    """
    types = dict(setting_types())
    tables: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError(
                f"{text!r} is no setting", "Write KEY=VALUE, as in training.snr_gamma=5."
            )
        if name in _OWN_OPTION:
            raise ConfigError(f"{name} has an option of its own", f"Use {_OWN_OPTION[name]}.")
        if name not in types:
            raise ConfigError(f"There is no setting {name!r}", _nearest(name, list(types)))
        table, key = name.split(".")
        tables.setdefault(table, {})[key] = _value(name, value, types[name])
    return tables


def _value(name: str, text: str, kind: Any) -> Any:
    wants_text = kind is str or (
        get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind))
    )
    try:
        value = tomlkit.value(text).unwrap()
    except (tomlkit.exceptions.TOMLKitError, ValueError):
        if wants_text and text[:1] not in ("'", '"'):
            return text
        raise ConfigError(
            f"{name}: {text!r} is not a TOML value",
            "Write numbers and true or false plainly, lists as [32, 64].",
        ) from None
    return text if wants_text and not isinstance(value, str) else value


def _nearest(name: str, known: list[str]) -> str:
    """The settings that are most like a wrong name, by the whole of it or by its last part."""
    last = name.rpartition(".")[2]
    same = [key for key in known if key.rpartition(".")[2] == last]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.85)
    by_last = {key.rpartition(".")[2]: key for key in reversed(known)}
    close = [by_last[key] for key in difflib.get_close_matches(last, by_last, n=3, cutoff=0.6)]
    found = list(dict.fromkeys([*same, *near, *close]))[:3]
    listing = "`ddpm-tui config` lists all"
    return f"Did you mean {' or '.join(found)}? {listing}." if found else f"{listing.capitalize()}."
