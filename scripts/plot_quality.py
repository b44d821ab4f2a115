"""Fréchet distance over the minutes of a run, at every checkpoint it kept: the README's picture.

    ddpm-tui train --dataset fashion-mnist --steps 600 --name curve \\
        --set training.checkpoint_every=40 --set training.keep_checkpoints=100
    python scripts/plot_quality.py runs curve docs/images/quality.png "the article's recipe=24.1"
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.config import override_sampling
from engine.data.dataset import load
from engine.evaluate.extractor import find_extractor
from engine.evaluate.frechet import frechet_distance, moments
from engine.plot import write_quality_plot
from engine.runs.checkpoint import list_checkpoints
from engine.runs.folder import open_run
from engine.sampling import load_trained, sample_pixels

NUM = 2048


def main(runs_dir: str, name: str, out: str, *marks: str) -> None:
    import torch

    run = open_run(Path(runs_dir), name)
    dataset = load(run.config().data.dataset)
    extractor = find_extractor(dataset)
    reference = moments(extractor(dataset.images)[0])
    minutes, distances = [], []
    for checkpoint in sorted(list_checkpoints(run), key=lambda found: found.step):
        trained = load_trained(run, which=str(checkpoint.step))
        sampling = override_sampling(trained.config, {"num": NUM})
        pixels = torch.cat([part for part, _ in sample_pixels(trained, sampling, 0)])
        features, _ = extractor(pixels)
        minutes.append(float(checkpoint.state()["elapsed"]) / 60)
        distances.append(frechet_distance(moments(features), reference))
        print(f"step {checkpoint.step}  {minutes[-1]:.2f} min  {distances[-1]:.3f}", flush=True)
    named = dict(mark.rsplit("=", 1) for mark in marks)
    write_quality_plot(Path(out), minutes, distances, {k: float(v) for k, v in named.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
