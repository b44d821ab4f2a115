"""The command line that performs a take again, as the screen shows and copies it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.runs.folder import default_runs_dir, open_run
from engine.settings import parse_settings
from engine.takes.recipe import STRENGTH, FromNoise, Recipe
from engine.takes.text import format_origin, format_turn, number

# The option of each field of the sampling table; the others are given by --set.
_OPTIONS = {
    "num": "--num",
    "sampler": "--sampler",
    "num_inference_steps": "--steps",
    "prompt": "--prompt",
    "guidance_scale": "--guidance-scale",
    "variance_type": "--variance",
    "eta": "--eta",
    "timestep_spacing": "--timestep-spacing",
}
_SWITCHES = {
    "clip_sample": ("--no-clip", "--clip"),
    "thresholding": ("--no-thresholding", "--thresholding"),
}


def command(recipe: Recipe, runs_dir: Path) -> str:
    """The shortest command that performs the recipe: only what differs from the run's defaults.

    The checkpoint is always named, because which is the best may change.

    Args:
        runs_dir: where the run is; named where it is not where `ddpm-tui` would look.

    Raises:
        RunError: the run is not there any more.
    """
    usual = open_run(runs_dir, recipe.run).config().sampling.model_dump()
    words = ["ddpm-tui", "take", recipe.run, "--checkpoint", str(recipe.checkpoint)]
    for key, value in recipe.sampling.model_dump().items():
        if value == usual[key]:
            continue
        if key in _SWITCHES:
            words.append(_SWITCHES[key][value])
        elif key in _OPTIONS:
            words += [_OPTIONS[key], _plain(value)]
        else:
            words += ["--set", f"sampling.{_setting(key, value)}"]
    if recipe.seed:
        words += ["--seed", str(recipe.seed)]
    if not isinstance(recipe.origin, FromNoise):
        words += ["--from", format_origin(recipe.origin)]
        if recipe.origin.strength != STRENGTH:
            words += ["--strength", number(recipe.origin.strength)]
    for turn in recipe.turns:
        words += ["--turn", format_turn(turn)]
    for key, value in recipe.versus.items():
        words += ["--versus", _setting(key, value)]
    if runs_dir.resolve() != default_runs_dir().resolve():
        words += ["--runs-dir", str(runs_dir)]
    return shlex.join(words)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else str(value)


def _setting(key: str, value: Any) -> str:
    """KEY=VALUE, quoted as in TOML only where it would be read as something else."""
    plain = f"{key}={_plain(value)}"
    if not isinstance(value, str):
        return plain
    try:
        read = parse_settings([f"sampling.{plain}"])["sampling"][key]
    except ConfigError:
        read = None
    return plain if read == value else f"{key}={json.dumps(value, ensure_ascii=False)}"
