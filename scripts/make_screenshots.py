"""Make the README's pictures of the Train and the Sample view from a finished run.

    python scripts/make_screenshots.py runs run1

Writes docs/images/{train,sample}.svg at 120 × 40 by `ddpm-tui --screenshot`, which presses the
keys of the workbench: for the Sample view draw, and back to where shapes appear.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.runs.folder import open_run

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def main(runs_dir: Path, run: str) -> None:
    steps = open_run(runs_dir, run).config().sampling.num_inference_steps
    pages, rest = divmod(2 * steps // 3, 25)
    to_the_shapes = ["d", "home", *["pagedown"] * pages, *["right"] * rest]
    IMAGES.mkdir(parents=True, exist_ok=True)
    for view, keys in (("train", []), ("sample", to_the_shapes)):
        options = {
            "--runs-dir": str(runs_dir),
            "--screenshot": view,
            "--run": run,
            "--size": "120x40",
            "--press": ",".join(keys),
            "--out": str(IMAGES / f"{view}.svg"),
        }
        words = [word for option in options.items() for word in option]
        subprocess.run([sys.executable, "-m", "ddpm_tui", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
