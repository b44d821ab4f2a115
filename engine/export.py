"""A folder that a person can hand on: pictures, weights, config, figures, how to reproduce it.

No torch: everything is copied or drawn from what the run folder already holds. Only when no
pictures were drawn yet does the caller have to sample first.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.runs import io, publishing
from engine.runs.checkpoint import Checkpoint
from engine.runs.folder import Run
from engine.runs.outside import refuse_links

FILES = {
    "samples.png",
    "reverse-process.gif",
    "loss.png",
    "model.safetensors",
    "config.toml",
    "README.md",
}


def drawn_samples(run: Run, step: int) -> tuple[Path, Path] | None:
    """The newest sample grid of a checkpoint and its GIF; None when there is none yet.

    Raises:
        RunGoneError: the run is not there any more.
        RunError: the grids cannot be read.
    """
    if not run.samples_path.is_dir():
        return None
    pairs = [
        (png, png.with_suffix(".gif"))
        for png in run.samples_path.glob(f"*-step{step}.png")
        if png.with_suffix(".gif").exists()
    ]
    with io.explained("read", run.samples_path):
        return max(pairs, key=lambda pair: pair[0].stat().st_mtime, default=None)


def export_run(run: Run, checkpoint: Checkpoint, out: Path | None = None) -> Path:
    """Write the export folder; its parts are complete before it appears.

    Args:
        checkpoint: from `find_checkpoint`, so it is verified.
        out: the folder, `exports/<run>-step<N>` of the run when None. A folder that is there
            already is replaced only if it is an export.

    Raises:
        RunError: no pictures were drawn from it yet, or the folder cannot be written.
    """
    drawn = drawn_samples(run, checkpoint.step)
    if drawn is None:
        run.check_here()
        raise RunError(
            f"{run.name} has no pictures from step {checkpoint.step} yet",
            f"Draw some: ddpm-tui sample {run.name}",
        )
    # Absolute: `.` has no name to put a folder beside.
    target = (out or run.folder_for("exports") / f"{run.name}-step{checkpoint.step}").absolute()
    if target.exists() and not _is_export(target):
        raise RunError(
            f"{target} is there already and is not an export", "Name another folder with --out."
        )
    # What is handed on is the run's, not a file of whoever exports it.
    weights = [checkpoint.path.name, checkpoint.weights_path.name]
    copied = [["samples", each.name] for each in drawn] + [["checkpoints", *weights]]
    refuse_links(run.path, *copied, ["config.toml"], deed="exported from behind")
    from engine.plot import LOSS_POINTS, write_loss_plot
    from engine.runs.curves import CurveReader

    metrics = CurveReader(run.metrics_path, only_loss=True)
    metrics.poll(math.inf)

    io.make_folder(target.parent, parents=True)
    with publishing.published_folder(target) as folder:
        png, gif = drawn
        io.copy_synced(png, folder / "samples.png")
        io.copy_synced(gif, folder / "reverse-process.gif")
        io.copy_synced(checkpoint.weights_path, folder / "model.safetensors")
        io.copy_synced(run.config_path, folder / "config.toml")
        loss = metrics.curves.window("loss", points=LOSS_POINTS)
        write_loss_plot(folder / "loss.png", loss)
        io.write_synced(
            folder / "README.md",
            _readme(run, checkpoint, png.stem).encode(errors="backslashreplace"),
        )
    return target


def _is_export(folder: Path) -> bool:
    """Whether a folder holds an export, whole, and nothing else that replacing it would lose."""
    with io.explained("read", folder):
        return folder.is_dir() and {entry.name for entry in folder.iterdir()} == FILES


def _readme(run: Run, checkpoint: Checkpoint, samples: str) -> str:
    config, status, state = run.config(), run.status(), checkpoint.state()
    environment = io.read_json(run.path / "env.json")
    packages = environment["packages"]
    rows = {
        "data set": config.data.dataset,
        "network": f"{config.model.name}, {state['parameters']:,} parameters",
        "noise schedule": f"{config.diffusion.beta_schedule}, "
        f"T = {config.diffusion.num_train_timesteps}",
        "training step": f"{checkpoint.step:,} of {status.total_steps:,}, "
        f"batch {config.data.batch_size}",
        "training time": f"{float(state['elapsed']) / 60:.1f} minutes on {status.device}",
        "training loss": _figure(state["loss"]),
        "loss on held-out images (EMA)": _figure(state["eval_loss"]),
        "seed": config.seed,
        "made with": f"ddpm-tui {packages['ddpm-tui']}, torch {packages['torch']}, "
        f"Python {environment['python']}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    command = shlex.join(["ddpm-tui", *environment["command"][1:]])
    return f"""# {run.name}

A denoising diffusion model. `samples.png` shows pictures it drew ({samples});
`reverse-process.gif` shows how they came out of noise; `loss.png` is the training loss.

![samples](samples.png)

| what | figure |
| --- | --- |
{table}

## Reproduce

```
{command}
```

`config.toml` holds every setting. `model.safetensors` holds the weights to sample with (EMA where
the run has one), for the network that the config's `[model]` table describes.
"""


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "not measured"
