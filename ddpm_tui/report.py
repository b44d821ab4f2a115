"""What the verbs print for a person: tables and reports as plain text, no colours needed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ddpm_tui.sanitize import clean

if TYPE_CHECKING:
    from engine.cost import Cost
    from engine.data import Availability


_WIDTH = 100
_INDENT = 13


def age(seconds: float) -> str:
    """A duration in its largest whole unit: 42s, 7m, 3h, 12d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def duration(seconds: float) -> str:
    """h:mm:ss or m:ss."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about_time(seconds: float) -> str:
    """A duration that is only roughly known: 40 s, 4 min, 2.5 h, 3 days."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def cost_report(cost: Cost) -> str:
    """What a training would cost: parameters and memory; time and speed once it is measured."""
    parts = ("weights", "optimizer", "activations", "data")
    listed = ", ".join(f"{part} {_megabytes(getattr(cost, part))}" for part in parts)
    where = "GPU memory" if cost.on_gpu else "RAM"
    lines = [
        f"{cost.parameters:,} parameters · {_megabytes(cost.memory)} MB of {where} ({listed})",
        f"measuring the speed on {clean(cost.device)} …",
    ]
    if cost.seconds is not None:
        lines[1] = (
            f"≈ {about_time(cost.seconds)} for {cost.steps:,} steps on {clean(cost.device)}, "
            f"{cost.images_per_second:,.0f} images/s measured"
        )
    return "\n".join(lines)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"


def figure(value: Any, digits: int = 4) -> str:
    """A number, or a dash where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> str:
    cells = [[clean(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = (
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def runs_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The listing of `ddpm-tui runs`; tags where there are some; what a paused one waits for."""
    now = time.time()
    body = []
    for row in rows:
        if row["state"] == "unreadable":
            body.append([row["name"], "unreadable", row["reason"], "", "", "", "", "", ""])
            continue
        body.append(
            [
                row["name"],
                row["state"] + (" (archived)" if row["archived"] else ""),
                row["dataset"],
                row["model"],
                f"{row['step']:,}/{row['total_steps']:,}",
                figure(row["loss"]),
                figure(row["eval_loss"]),
                age(now - row["updated"]),
                " ".join(row["tags"]),
            ]
        )
    header = ["RUN", "STATE", "DATA", "NETWORK", "STEP", "LOSS", "HELD-OUT", "AGE", "TAGS"]
    if not any(row[-1] for row in body):
        header, body = header[:-1], [row[:-1] for row in body]
    waiting = [
        f"{clean(row['name'])}: {clean(row['reason'])}"
        for row in rows
        if row["state"] == "paused" and row["reason"]
    ]
    return "\n".join([table(header, body, right={4, 5, 6, 7}), *waiting])


def run_report(facts: Mapping[str, Any]) -> str:
    """The report of `ddpm-tui show`."""
    steps = ", ".join(
        f"{step:,} (best)" if step == facts["best_checkpoint"] else f"{step:,}"
        for step in facts["checkpoints"]
    )
    speed = facts.get("images_per_second")
    rows = [
        ("run", facts["name"]),
        ("state", facts["state"] + (f": {facts['reason']}" if facts["reason"] else "")),
        ("data set", facts.get("dataset", "–")),
        ("preset", facts.get("preset", "–")),
        ("network", _network(facts["config"])),
        ("step", f"{facts.get('step', 0):,} of {facts.get('total_steps', 0):,}"),
        ("loss", figure(facts.get("loss"))),
        ("held-out", f"{figure(facts.get('eval_loss'))} (EMA weights)"),
        ("speed", f"{speed:,.0f} images/s" if speed else "–"),
        ("trained", duration(facts.get("elapsed", 0.0))),
        ("checkpoints", steps or "none yet"),
        ("folder", facts["path"]),
    ]
    kept = (" ".join(facts.get("tags", [])), facts.get("notes", ""))
    rows += [row for row in zip(("tags", "note"), kept, strict=True) if row[1]]
    lines = [f"{name:<12}{value}" for name, value in rows]
    lines += [f"{'picture' if i == 0 else '':<12}{path}" for i, path in enumerate(facts["samples"])]
    lines.append("")
    lines += _config_lines(facts["config"])
    return "\n".join(map(clean, lines))


def _network(config: Mapping[str, Any]) -> str:
    """What it is called, what it predicts and what it is told."""
    model, diffusion = config.get("model", {}), config.get("diffusion", {})
    text = f"{model.get('name', '–')}, predicts {diffusion.get('prediction_type', 'epsilon')}"
    return text + (", knows the classes" if model.get("class_conditional") else "")


def _config_lines(config: Mapping[str, Any]) -> list[str]:
    """A paragraph for each table, wrapped; a setting is never cut in two."""
    lines = [f"{k} = {_plain(v)}" for k, v in config.items() if not isinstance(v, Mapping)]
    for key, table in config.items():
        if not isinstance(table, Mapping):
            continue
        line = f"[{key}]".ljust(_INDENT)
        for name, value in table.items():
            item = f"{name}={_plain(value)}"
            if len(line) > _INDENT and len(line) + len(item) > _WIDTH:
                lines.append(line.rstrip())
                line = " " * _INDENT
            line += item + "  "
        lines.append(line.rstrip())
    return lines


def _plain(value: Any) -> str:
    """A value as TOML writes it, but words without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    text = clean(str(value))
    return f'"{text}"' if isinstance(value, str) and (not text or " " in text) else text


def data_table(found: Sequence[Availability], default: str) -> str:
    """The listing of `ddpm-tui data`."""
    rows = []
    for entry in found:
        mark = "default" if entry.name == default else ""
        if entry.found:
            counts = f"{entry.train_count:,} + {entry.test_count:,}"
            rows.append([entry.name, mark, counts, str(entry.origin)])
        else:
            rows.append([entry.name, mark, "not here", f"ddpm-tui data get {entry.name}"])
    return table(["DATA SET", "", "IMAGES", "FROM"], rows, right={2})
