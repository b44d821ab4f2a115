"""`inspect`: what a run's network is made of."""

from __future__ import annotations

from ddpm_tui.cli.options import Device, Json, RunName, RunsDir, open_named


def inspect(
    run: RunName, device: Device = "auto", runs_dir: RunsDir = None, as_json: Json = False
) -> None:
    """Take a run's network apart: shapes, parameters, products, measured time, memory.

    A few seconds of forward passes with fresh weights are measured; the key 5 of the workbench
    shows the same and more.
    """
    from ddpm_tui.headless import inspecting

    inspecting.inspect(open_named(runs_dir, run), device=device, as_json=as_json)
