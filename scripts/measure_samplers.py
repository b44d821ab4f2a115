"""Fréchet distance of a run's pictures for each sampler and number of network calls, as Markdown.

    python scripts/measure_samplers.py runs long 2048 ddpm,ddim,dpmpp_2m 8,10,15,20,30,50

Calls, not steps, are what costs: heun makes two in every step but the last. Every figure is printed
as soon as it is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.config import SamplingConfig, override_sampling
from engine.data.dataset import load
from engine.evaluate.extractor import find_extractor
from engine.evaluate.frechet import frechet_distance, moments
from engine.evaluate.real import find_real
from engine.runs.folder import open_run
from engine.sampling import load_trained, sample_pixels


def steps_of(sampler: str, calls: int) -> int:
    """How many steps a sampler takes with that many network calls."""
    return (calls + 1) // 2 if sampler == "heun" else calls


def main(runs_dir: str, name: str, num: str, samplers: str, calls: str) -> None:
    import torch

    trained = load_trained(open_run(Path(runs_dir), name))
    dataset = load(trained.config.data.dataset)
    extractor = find_extractor(dataset)
    real = find_real(dataset, extractor)

    def distance(sampling: SamplingConfig) -> float:
        pixels = torch.cat([part for part, _ in sample_pixels(trained, sampling, 0)])
        return frechet_distance(moments(extractor(pixels)[0]), real.moments)

    columns = [int(count) for count in calls.split(",")]
    print(f"{name} at step {trained.step:,}, n = {int(num):,}\n")
    print(f"| sampler | {' | '.join(map(str, columns))} |")
    print(f"|{' --- |' * (len(columns) + 1)}")
    for sampler in samplers.split(","):
        print(f"| {sampler} |", end="", flush=True)
        for count in columns:
            options = {
                "num": int(num),
                "sampler": sampler,
                "num_inference_steps": steps_of(sampler, count),
            }
            sampling = override_sampling(trained.config, options)
            print(f" {distance(sampling):.3f} |", end="", flush=True)
        print()


if __name__ == "__main__":
    main(*sys.argv[1:])
