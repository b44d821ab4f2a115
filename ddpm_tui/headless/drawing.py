"""`ddpm-tui sample`: draw pictures and say where they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_tui.headless import notes, passed_over
from ddpm_tui.headless.progress import progress
from ddpm_tui.sanitize import clean, clean_lines

if TYPE_CHECKING:
    from engine.runs.folder import Run


def sample(
    run: Run,
    overrides: dict[str, Any],
    *,
    seed: int = 0,
    which: str = "best",
    stretched: bool = False,
    out: Path | None = None,
    device: str = "auto",
    as_json: bool = False,
    quiet: bool = False,
) -> None:
    """Draw pictures from a run, and say where they are.

    Args:
        overrides: fields of the run's `[sampling]` table.
        quiet: print no result; a progress bar is shown all the same.
    """
    from engine.config import override_sampling
    from engine.runs import io
    from engine.sample_files import MAX_SHOWN, write_samples
    from engine.sampling import load_trained

    trained = load_trained(run, which=which, device=device)
    passed_over.say(trained.passed_over)
    sampling = override_sampling(trained.config, overrides)
    notes.say_start(trained.schedule, sampling)

    def resumed(done: int) -> None:
        print(f"goes on after {done:,} of {sampling.num:,} pictures", file=sys.stderr, flush=True)

    with (
        io.advising("--out"),
        progress(f"sampling {run.name}", sampling.num_inference_steps, quiet=as_json) as bar,
    ):
        files = write_samples(
            trained,
            sampling,
            seed,
            out=out,
            stretched=stretched,
            on_step=lambda done, total: bar.update(done, "timesteps", total),
            on_resume=resumed,
        )
    if quiet:
        return
    if as_json:
        facts = {"run": run.name, "step": trained.step, "seed": seed, **sampling.model_dump()}
        facts |= {"png": str(files.png), "gif": str(files.gif)}
        for name, path in (("npy", files.npy), ("labels", files.labels)):
            facts |= {name: str(path)} if path else {}
        print(json.dumps(facts))
        return
    what = "1 picture" if sampling.num == 1 else f"{sampling.num:,} pictures"
    if sampling.prompt:
        what += f" of {clean(sampling.prompt)}"
    if sampling.guidance_scale != 1:
        what += f", guidance {sampling.guidance_scale:g},"
    print(f"{what} from {run.name} at step {trained.step:,}, seed {seed}")
    print(clean_lines(f"picture  {files.png}\ngif      {files.gif}"))
    if files.npy:
        print(clean(f"all      {files.npy}") + f"  (the others show the first {MAX_SHOWN})")
    if files.labels:
        print(clean(f"labels   {files.labels}"))
