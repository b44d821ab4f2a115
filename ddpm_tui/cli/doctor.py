"""`doctor`: what this machine has for the program, what is wrong with it, and what to do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ddpm_tui.cli.options import DataDir, Device, Json, RunsDir, print_json, resolve_runs_dir

if TYPE_CHECKING:
    from engine.doctor.finding import Finding

_WIDEST = 100


def doctor(
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    as_json: Json = False,
) -> int:
    """Check versions, devices, data, the runs folder and the terminal, with a fix for each finding.

    Exit code 0 when nothing is wrong (notes are fine), else 1.
    """
    from dataclasses import asdict

    from ddpm_tui.color import ColorMode, detect
    from ddpm_tui.doctor import settings, terminal
    from ddpm_tui.doctor.report import cleaned, group_report, last_words
    from engine.doctor import datasets, devices, filesystem, versions
    from engine.doctor.finding import surely

    on_terminal = sys.stdout.isatty()
    columns, lines = shutil.get_terminal_size()
    size = (columns, lines) if on_terminal else None
    width = min(columns, _WIDEST) if on_terminal else _WIDEST
    color = on_terminal and detect(os.environ) is not ColorMode.NONE
    folder = resolve_runs_dir(runs_dir)
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        (versions.GROUP, versions.versions),
        (devices.GROUP, lambda: devices.devices(device)),
        (datasets.GROUP, lambda: datasets.datasets(data_dir)),
        (filesystem.GROUP, lambda: filesystem.filesystem(folder)),
        (
            terminal.GROUP,
            lambda: terminal.terminal(os.environ, size),
        ),
        (settings.GROUP, lambda: settings.settings(os.environ)),
    )
    every = []
    with _ends_in_order():
        for group, check in checks:
            findings = [cleaned(finding) for finding in surely(group, check)]
            every += findings
            if findings and not as_json:
                print(group_report(findings, width, color=color), end="\n\n", flush=True)
    if as_json:
        print_json([asdict(finding) for finding in every])
    else:
        print(last_words(every))
    return 1 if any(finding.state == "wrong" for finding in every) else 0


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """SIGHUP ends it as ctrl+C does: what was made to try things is removed."""
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
