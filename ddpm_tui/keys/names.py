"""The names of keys: as a person writes them in a config file, as Textual calls them, as shown."""

from __future__ import annotations

import unicodedata

_NAMED = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "insert": "Ins",
    "delete": "Del",
    "backspace": "⌫",
    "enter": "enter",
    "escape": "esc",
    "space": "space",
    **{f"f{number}": f"f{number}" for number in range(1, 13)},
}
# Textual shortens some of Unicode's names.
_SHORTER = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_PUNCTUATION = {
    unicodedata.name(character).lower().replace("-", "_").replace(" ", "_"): character
    for character in "!\"#$%&'()*+-./:;<=>?@[\\]^_`{|}~"
}
_CHARACTERS = {_SHORTER.get(name, name): character for name, character in _PUNCTUATION.items()}
_BY_CHARACTER = {character: name for name, character in _CHARACTERS.items()}

# Focus and the palette need these on every screen; the terminal cannot tell the last four from
# tab, enter, backspace and the end of a line.
_KEPT = ("tab", "shift+tab", "ctrl+p", "ctrl+q", "ctrl+c", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+j")


def normal(text: str) -> str:
    """Textual's name of a key: `?` becomes `question_mark`, `PageUp` becomes `pageup`.

    Raises:
        ValueError: there is no such key, or the workbench keeps it; the text says which.
    """
    text = text.strip()
    if len(text) == 1:
        if text.isascii() and text.isalnum():
            return text
        if text in _BY_CHARACTER:
            return _BY_CHARACTER[text]
    name = text.lower()
    if name in _KEPT:
        raise ValueError(f"the key {name} cannot be given away")
    modifier, _, rest = name.rpartition("+")
    if modifier in ("ctrl", "shift") and rest in _NAMED:
        return name
    if modifier == "ctrl" and len(rest) == 1 and rest.isascii() and rest.isalpha():
        return name
    if name in _NAMED or name in _CHARACTERS:
        return name
    raise ValueError(f"there is no key {text!r}")


def shown(name: str) -> str:
    """How a person reads a key that Textual calls `name`."""
    modifier, _, rest = name.rpartition("+")
    return (modifier and f"{modifier}+") + _NAMED.get(rest, _CHARACTERS.get(rest, rest))
