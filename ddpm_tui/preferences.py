"""What a person sets for themselves: keys, theme, the budget of the link.

One TOML file, `$DDPM_TUI_CONFIG` or the user's config folder:

    theme = "paper"
    link_budget = 300        # kB/s

    [keys]
    "sample.draw" = "d,enter"
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm_tui.keys import KEYS, KeyTable
from ddpm_tui.terminal.budget import problem_of
from engine.errors import ConfigError
from engine.runs.outside import decoded, read_bytes

_MAX_BYTES = 1 << 20
_KNOWN = ("keys", "theme", "link_budget")


@dataclass(frozen=True)
class Preferences:
    """What a person set.

    Attributes:
        path: the file that it is from and that a choice of theme is written to; None keeps
            nothing.
        key_table: the key table with their own keys.
        theme: name of a theme; None is the program's own.
        link_budget: kB/s that the screen may send; None is the program's own.
    """

    path: Path | None = None
    key_table: KeyTable = field(default_factory=lambda: KeyTable(KEYS))
    theme: str | None = None
    link_budget: float | None = None


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the file is looked for; it need not exist."""
    given = (os.environ if environ is None else environ).get("DDPM_TUI_CONFIG")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_config_path

    return user_config_path("ddpm-tui", appauthor=False) / "config.toml"


def load(path: Path | None = None) -> Preferences:
    """Read the file; without one everything is as the program has it.

    Raises:
        ConfigError: the file cannot be read, or what it says is unknown, clashes or is of the
            wrong type; the text names the file and the line.
    """
    path = path or config_path()
    try:
        text = decoded(read_bytes(path, _MAX_BYTES))
    except FileNotFoundError:
        return Preferences(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", "Mend or remove it.") from None
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "Mend the line, or remove it.") from None
    for name in values:
        if name not in _KNOWN:
            raise ConfigError(
                f"{_place(path, text, name)}: there is no setting {name!r}",
                f"There are {', '.join(_KNOWN)}.",
            )
    budget = _typed(path, text, values, "link_budget", (int, float), "a number of kB/s")
    if budget is not None and (problem := problem_of(budget)):
        raise ConfigError(f"{_place(path, text, 'link_budget')}: {problem}", "Mend it.")
    own, where = _own_keys(path, text, values.get("keys", {}))
    return Preferences(
        path,
        KeyTable(KEYS, own, where),
        _typed(path, text, values, "theme", (str,), "the name of a theme"),
        budget,
    )


def remember_theme(path: Path, theme: str) -> None:
    """Write the choice of a theme into the file and leave everything else in it as it is.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    import tomlkit

    try:
        text = decoded(read_bytes(path, _MAX_BYTES)) if path.exists() else ""
        document = tomlkit.parse(text)
        document["theme"] = theme
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(tomlkit.dumps(document), encoding="utf-8")
        fresh.replace(path)
    except (OSError, ValueError, tomlkit.exceptions.TOMLKitError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be written ({error})", "Mend or remove it.") from None


def _own_keys(path: Path, text: str, table: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of the file by the id of their action, and where each stands.

    An id with a dot may be written with or without its quotes.
    """
    if not isinstance(table, dict):
        raise ConfigError(
            f"{_place(path, text, 'keys')}: keys is a table", 'Write [keys], then "id" = "keys".'
        )
    own: dict[str, str] = {}
    where: dict[str, str] = {}
    for name, value in table.items():
        for id, keys in (
            ((f"{name}.{rest}", keys) for rest, keys in value.items())
            if isinstance(value, dict)
            else ((name, value),)
        ):
            where[id] = _place(path, text, id)
            if not isinstance(keys, str):
                raise ConfigError(
                    f"{where[id]}: {keys!r} are no keys", 'Write a string, as in "d,enter".'
                )
            own[id] = keys
    return own, where


def _typed(
    path: Path, text: str, values: Mapping[str, Any], name: str, kinds: tuple[type, ...], what: str
) -> Any:
    value = values.get(name)
    if value is None or (isinstance(value, kinds) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"{_place(path, text, name)}: {name} is {what}, not {value!r}", "Mend it.")


def _place(path: Path, text: str, name: str) -> str:
    """The file, and the line on which a key of it stands."""
    pattern = re.compile(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*[=\].]""")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"{path}, line {number} ({name})" if "." in name else f"{path}, line {number}"
    return f"{path} ({name})"
