"""The key table as one person has it: the table of the program with their own keys in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ddpm_tui.keys import names, pictures
from ddpm_tui.keys.key import Key
from engine.errors import ConfigError

_LISTING = "`ddpm-tui keys` lists the actions with their keys."


def in_force(view: str) -> tuple[str, ...]:
    """The tables whose keys work in a view: its own, and what it has in common with others."""
    return (view, "pictures", "app") if view in pictures.HOSTS else (view, "app")


class KeyTable:
    """Every action with the keys that call it.

    Args:
        defaults: the table of the program.
        own: id of an action -> comma-separated keys, as a person writes them.
        where: id of an action -> where they wrote it, for the errors.

    Raises:
        ConfigError: an id or a key is unknown, or two actions of one view have the same key.
    """

    def __init__(
        self,
        defaults: Iterable[Key],
        own: Mapping[str, str] | None = None,
        where: Mapping[str, str] | None = None,
    ) -> None:
        known = {key.id: key for key in defaults}
        self.own: dict[str, str] = {}
        for id, text in (own or {}).items():
            said = (where or {}).get(id, id)
            if id not in known:
                near = difflib.get_close_matches(id, known, n=2, cutoff=0.6)
                guess = f"Did you mean {' or '.join(near)}? " if near else ""
                raise ConfigError(f"{said}: there is no action {id!r}", guess + _LISTING)
            self.own[id] = ",".join(_keys(text, said))
            known[id] = replace(known[id], keys=self.own[id], shown="")
        self.keys: tuple[Key, ...] = tuple(known.values())
        self._by_id = known
        self._refuse_clashes(where or {})

    def __getitem__(self, id: str) -> Key:
        return self._by_id[id]

    def get(self, id: str) -> Key | None:
        return self._by_id.get(id)

    def of(self, view: str) -> list[Key]:
        """The actions of a view, or of `app`."""
        return [key for key in self.keys if key.view == view]

    def _refuse_clashes(self, where: Mapping[str, str]) -> None:
        """A key means one thing in a view, and what the app takes is taken in every view."""
        taken: dict[tuple[str, str], Key] = {}
        common = ("app", "pictures")  # before the views that they hold in
        for key in sorted(self.keys, key=lambda key: key.view not in common):
            for name in key.names:
                tables = in_force(key.view)
                other = next((taken[view, name] for view in tables if (view, name) in taken), None)
                if other is not None and other.id != key.id:
                    said = next((where[id] for id in (key.id, other.id) if id in where), key.id)
                    raise ConfigError(
                        f"{said}: {names.shown(name)!r} would mean both {other.id} "
                        f"({other.help}) and {key.id} ({key.help})",
                        "Give one of the two another key. " + _LISTING,
                    )
                taken[key.view, name] = key


def _keys(text: str, said: str) -> list[str]:
    """Textual's names of comma-separated keys; the comma itself cannot be one."""
    found: list[str] = []
    for part in text.split(","):
        if not part.strip():
            raise ConfigError(
                f"{said}: {text!r} names no key", 'Write one or more, as in "d,enter".'
            )
        try:
            name = names.normal(part)
        except ValueError as error:
            raise ConfigError(
                f"{said}: {error}",
                'Write a letter, a sign, or a name such as "enter", "pageup", "f5", "ctrl+t".',
            ) from None
        if name not in found:
            found.append(name)
    return found
