"""Make the README's pictures of the Train and the Sample view from a finished run.

    python scripts/make_screenshots.py runs run1

Drives the real workbench by its keys at 120 × 40 and writes docs/images/{train,sample}.svg.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ddpm_tui import color

SIZE = (120, 40)
IMAGES = Path(__file__).parent.parent / "docs" / "images"


async def main(runs_dir: Path, run: str) -> None:
    from ddpm_tui.app import Workbench
    from engine.runs.folder import open_run

    opened = open_run(runs_dir, run)
    steps = opened.config().sampling.num_inference_steps
    pages, rest = divmod(2 * steps // 3, 25)
    app = Workbench(runs_dir)
    async with app.run_test(size=SIZE) as pilot:
        while not app.torch_ready:
            await pilot.pause(0.2)
        app.open_run(opened)
        await pilot.pause(4)
        (IMAGES / "train.svg").write_text(app.export_screenshot(title=f"ddpm-tui: {run}"))
        await pilot.press("s")
        await pilot.pause(1)
        await pilot.press("d")
        # Long enough for the whole process; then a look at where shapes appear.
        await pilot.pause(20)
        await pilot.press("space", "home", *["pagedown"] * pages, *["right"] * rest)
        await pilot.pause(1)
        (IMAGES / "sample.svg").write_text(app.export_screenshot(title="the reverse process"))


if __name__ == "__main__":
    color.apply(color.ColorMode.TRUECOLOR, os.environ)
    IMAGES.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
