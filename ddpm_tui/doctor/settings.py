"""What the environment and the config file set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ddpm_tui import preferences
from engine.doctor.finding import Finding
from engine.errors import ConfigError

GROUP = "settings"


def settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Findings for the config file and the variables that change what the program does."""
    yield _config_file(environ)
    data = environ.get("DDPM_TUI_DATA")
    if data and not Path(data).expanduser().is_dir():
        fix = "`unset DDPM_TUI_DATA`, or make that folder."
        yield Finding(GROUP, "DDPM_TUI_DATA", "note", f"{data} is not a folder", fix)
    elif data:
        yield Finding(GROUP, "DDPM_TUI_DATA", "ok", data)
    if runs := environ.get("DDPM_TUI_RUNS"):
        yield Finding(GROUP, "DDPM_TUI_RUNS", "ok", runs)
    if threads := environ.get("OMP_NUM_THREADS"):
        yield _threads(threads)
    if visible := environ.get("CUDA_VISIBLE_DEVICES"):
        yield Finding(GROUP, "CUDA_VISIBLE_DEVICES", "ok", visible)


def _config_file(environ: Mapping[str, str]) -> Finding:
    path = preferences.config_path(environ)
    if not path.exists():
        return Finding(GROUP, "config file", "ok", f"none; it would be {path}")
    try:
        preferences.load(path)
    except ConfigError as error:
        return Finding(GROUP, "config file", "wrong", error.message, error.hint or f"Edit {path}.")
    return Finding(GROUP, "config file", "ok", str(path))


def _threads(value: str) -> Finding:
    name, cores = "OMP_NUM_THREADS", os.cpu_count() or 1
    if not value.isdecimal() or int(value) == 0:
        return Finding(GROUP, name, "wrong", f"{value!r} is no number", f"`unset {name}`")
    if int(value) < cores:
        found = f"{value} of {cores} cores: a training on the processor takes no more"
        return Finding(GROUP, name, "note", found, f"For all of them: `unset {name}`")
    return Finding(GROUP, name, "ok", value)
