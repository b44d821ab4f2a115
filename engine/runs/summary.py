"""One row of a listing of runs: what run.json, status.json and config.toml say, checked."""

from __future__ import annotations

import math
from typing import Any

from engine.errors import RunError
from engine.runs.folder import Run
from engine.runs.outside import is_a

_NUMBER = (int, float)
_OPTIONAL = (int, float, type(None))
# What viewers format without asking; a file from elsewhere may hold anything.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "state": str,
    "reason": str,
    "dataset": str,
    "preset": str,
    "model": str,
    "step": int,
    "total_steps": int,
    "loss": _OPTIONAL,
    "eval_loss": _OPTIONAL,
    "images_per_second": _OPTIONAL,
    "elapsed": _NUMBER,
    "created": _NUMBER,
    "updated": _NUMBER,
    "tags": list,
    "notes": str,
    "archived": bool,
}
_SHORT = ("name", "state", "reason")


def summary(run: Run) -> dict[str, Any]:
    """One row of a listing; a folder that cannot be read gives state `unreadable` and why."""
    try:
        info, status, config = run.info(), run.status(), run.config_values()
        # A short config.toml is a valid one: what it leaves out has a default.
        data, model = config.get("data", {}), config.get("model", {})
        row = {
            "name": run.name,
            "state": status.state,
            "reason": status.reason,
            "dataset": data.get("dataset", "fashion-mnist-10k"),
            "preset": config.get("preset", "default"),
            "model": model.get("name", "unet"),
            "step": status.step,
            "total_steps": status.total_steps,
            "loss": _finite(status.loss),
            "eval_loss": _finite(status.eval_loss),
            "images_per_second": _finite(status.images_per_second),
            "elapsed": status.elapsed,
            "created": info["created"],
            "updated": status.updated,
            "tags": info.get("tags", []),
            "notes": info.get("notes", ""),
            "archived": info.get("archived", False),
            "path": str(run.path),
        }
        wrong = wrong_value(row)
        if wrong:
            raise RunError(f"{wrong} is not what it should be: {row[wrong]!r}")
        return row
    except (RunError, KeyError, TypeError, AttributeError) as error:
        return {
            "name": run.name,
            "state": "unreadable",
            "reason": str(error),
            "path": str(run.path),
        }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def wrong_value(row: dict[str, Any]) -> str:
    """The first key of a row whose value is missing or no such value; empty when there is none.

    A row of state `unreadable` has no figures.
    """
    for key in _SHORT if row.get("state") == "unreadable" else _KINDS:
        if not is_a(row.get(key, ...), _KINDS[key]):
            return key
    return "" if all(isinstance(tag, str) for tag in row.get("tags", [])) else "tags"
