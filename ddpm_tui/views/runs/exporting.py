"""The folder of a run to hand on, with pictures; blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.runs.folder import Run


def export(run: Run, device: str, tell: Callable[[str], None]) -> Path:
    """Write the folder, and draw pictures first where nobody has yet.

    Args:
        device: what draws them.
        tell: is told when it will take longer, and of checkpoints that are damaged.

    Raises:
        EngineError: there is no checkpoint, or the folder cannot be written.
    """
    from engine.export import drawn_samples, export_run
    from engine.runs.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(run)
    for line in checkpoint.passed_over:
        tell(line)
    if drawn_samples(run, checkpoint.step) is None:
        tell(f"Drawing the pictures of {run.name} first; this can take a minute.")
        from engine.sample_files import write_samples
        from engine.sampling import load_trained

        trained = load_trained(run, which=str(checkpoint.step), device=device)
        write_samples(trained, trained.config.sampling, seed=0)
    return export_run(run, checkpoint)
