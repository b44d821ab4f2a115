"""How a recipe is written: turns and origin as words for a command line, the whole as JSON.

    12 ask prompt=Bag guidance_scale=3
    12 renoise t=700
    12 branch picture=3 copies=6 prompt=Bag prompt='dress + coat'
    30 inpaint picture=0 mask=FILE copies=4

Values are quoted as in a shell. The first word of a turn is the number of steps taken before it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from engine.errors import ConfigError
from engine.takes.recipe import (
    JUMP_LENGTH,
    RESAMPLE,
    Ask,
    Branch,
    FromData,
    FromFile,
    FromNoise,
    Inpaint,
    Origin,
    Recipe,
    Renoise,
    Turn,
    sampling_of,
)

VERSION = 1

_KINDS: dict[str, type[Turn]] = {
    "ask": Ask,
    "renoise": Renoise,
    "branch": Branch,
    "inpaint": Inpaint,
}
# What each word of a turn sets; `prompt` of a branch may be repeated.
_KEYS: dict[str, dict[str, tuple[str, Callable[[str], Any]]]] = {
    "ask": {"prompt": ("prompt", str), "guidance_scale": ("guidance_scale", float)},
    "renoise": {"t": ("back_to_t", int)},
    "branch": {
        "picture": ("picture", int),
        "copies": ("copies", int),
        "prompt": ("prompts", str),
    },
    "inpaint": {
        "picture": ("picture", int),
        "mask": ("mask", str),
        "copies": ("copies", int),
        "jump_length": ("jump_length", int),
        "resample": ("resample", int),
    },
}
_MANY = "prompts"
_NEEDED = {"renoise": "t", "inpaint": "mask"}
_EXAMPLES = {
    "ask": "12 ask prompt=Bag",
    "renoise": "12 renoise t=700",
    "branch": "12 branch picture=3 copies=6",
    "inpaint": "30 inpaint picture=0 mask=left copies=4",
}


def parse_turn(text: str) -> Turn:
    """A turn from words.

    Raises:
        ConfigError: it is not written so, or a value is out of bounds.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ConfigError(f"a quote is left open in {text!r}", "Close it.") from None
    if len(words) < 2 or words[1] not in _KINDS:
        raise ConfigError(f"{text!r} is no turn", "Write " + "; ".join(_EXAMPLES.values()) + ".")
    count, kind, *pairs = words
    values: dict[str, Any] = {"at": _value(text, "the number of steps", count, int)}
    for pair in pairs:
        key, equals, given = pair.partition("=")
        if not equals or key not in _KEYS[kind]:
            raise ConfigError(
                f"{pair!r} means nothing to the turn `{kind}`",
                f"It takes {', '.join(f'{known}=' for known in _KEYS[kind])}.",
            )
        name, convert = _KEYS[kind][key]
        value = _value(text, key, given, convert)
        if name == _MANY:
            values[name] = (*values.get(name, ()), value)
        elif name in values:
            raise ConfigError(f"{key} is given twice in {text!r}", "Give it once.")
        else:
            values[name] = value
    needed = _NEEDED.get(kind)
    if needed and _KEYS[kind][needed][0] not in values:
        raise ConfigError(f"{text!r} has no {needed}=", f"As in {_EXAMPLES[kind]!r}.")
    if kind == "inpaint":
        values.setdefault("picture", 0)
    return _KINDS[kind](**values)


def format_turn(turn: Turn) -> str:
    """The words of a turn, which `parse_turn` reads back to an equal one."""
    match turn:
        case Ask(at, prompt, guidance_scale):
            words = [f"{at} ask"]
            words += [] if prompt is None else [_pair("prompt", prompt)]
            words += [] if guidance_scale is None else [f"guidance_scale={number(guidance_scale)}"]
        case Renoise(at, back_to_t):
            words = [f"{at} renoise t={back_to_t}"]
        case Branch(at, picture, copies, prompts):
            words = [f"{at} branch picture={picture} copies={copies}"]
            words += [_pair("prompt", prompt) for prompt in prompts]
        case Inpaint(at, picture, mask, copies, jump_length, resample):
            words = [f"{at} inpaint picture={picture} {_pair('mask', mask)} copies={copies}"]
            words += [f"jump_length={jump_length}"] * (jump_length != JUMP_LENGTH)
            words += [f"resample={resample}"] * (resample != RESAMPLE)
    return " ".join(words)


def parse_origin(text: str, strength: float) -> Origin:
    """An origin from `noise`, `data:12`, `data:12,15`, `FILE` or `FILE:3`.

    Raises:
        ConfigError: it is not written so, or a value is out of bounds.
    """
    if text == "noise":
        return FromNoise()
    if text.startswith("data:"):
        if not re.fullmatch(r"data:\d{1,9}(,\d{1,9})*", text, re.ASCII):
            raise ConfigError(
                f"{text!r} names no held-out pictures", "As in data:12, or data:12,15."
            )
        return FromData(tuple(map(int, text.removeprefix("data:").split(","))), strength)
    match = re.fullmatch(r"(.+):(\d{1,9})", text, re.ASCII | re.DOTALL)
    return FromFile(match[1], int(match[2]), strength) if match else FromFile(text, 0, strength)


def format_origin(origin: Origin) -> str:
    """What `parse_origin` reads back to an equal origin, but for the strength."""
    match origin:
        case FromNoise():
            return "noise"
        case FromData(indices):
            return "data:" + ",".join(map(str, indices))
        case FromFile(path, picture):
            return f"{path}:{picture}"


def number(value: float) -> str:
    """A number as short as it can be read back exactly: 3 for 3.0."""
    return repr(float(value)).removesuffix(".0")


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, which `from_json` reads back to an equal one."""
    values: dict[str, Any] = {
        "version": VERSION,
        "run": recipe.run,
        "checkpoint": recipe.checkpoint,
        "seed": recipe.seed,
        "sampling": recipe.sampling.model_dump(),
        "origin": format_origin(recipe.origin),
    }
    if not isinstance(recipe.origin, FromNoise):
        values["strength"] = asdict(recipe.origin)["strength"]
    values["turns"] = [format_turn(turn) for turn in recipe.turns]
    values["versus"] = dict(recipe.versus)
    return values


def from_json(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values.

    Raises:
        ConfigError: a value is missing, of the wrong type or out of bounds, or the recipe was
            written by a newer version.
    """
    version = values.get("version")
    if version != VERSION:
        raise ConfigError(
            f"The recipe is of version {version!r}, and this program reads version {VERSION}",
            "Perform it with the program that wrote it, or a newer one.",
        )
    strength = values.get("strength", 0.0)
    if not isinstance(strength, int | float) or isinstance(strength, bool):
        raise ConfigError(f"strength is {strength!r}, which is not a number")
    turns = _typed(values, "turns", list, [])
    for turn in turns:
        if not isinstance(turn, str):
            raise ConfigError(f"{turn!r} is no turn", "As in '12 renoise t=700'.")
    return Recipe(
        run=_typed(values, "run", str),
        checkpoint=_typed(values, "checkpoint", int),
        sampling=sampling_of(_typed(values, "sampling", dict), "sampling"),
        seed=_typed(values, "seed", int, 0),
        origin=parse_origin(_typed(values, "origin", str, "noise"), strength),
        turns=tuple(parse_turn(turn) for turn in turns),
        versus=_typed(values, "versus", dict, {}),
    )


def _typed(values: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    value = values.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"The recipe's {key} is {value!r}", f"It has to be a {kind.__name__}.")
    return value


def _value(text: str, name: str, given: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(given)
    except ValueError:
        raise ConfigError(f"{name} is {given!r} in {text!r}, which is not a number") from None


def _pair(key: str, value: str) -> str:
    return f"{key}={shlex.quote(value)}"
