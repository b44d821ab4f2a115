"""Fréchet distance of the article's own trained weights, drawn by its own sampler.

    python scripts/evaluate_article.py ddpm_fashion.pt 2048        # half an hour on two cores

The article shows every picture stretched to its own range, which hides a wrong brightness; so the
distance is told twice, by the fixed map (x + 1) / 2 and stretched. A line after every 128 pictures.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from engine.config import make_config
from engine.data.dataset import load
from engine.data.range import to_uint8
from engine.evaluate.extractor import find_extractor
from engine.evaluate.frechet import frechet_distance, moments
from engine.evaluate.real import find_real
from engine.images import stretch
from engine.models.article import ArticleUNet
from engine.sampling import draw_samples
from engine.schedule import NoiseSchedule

BATCH = 128


def main(weights: str, num: str) -> None:
    dataset = load("fashion-mnist")
    extractor = find_extractor(dataset)
    real = find_real(dataset, extractor)
    config = make_config("article", dataset_size=len(dataset))
    schedule = NoiseSchedule.of(config.diffusion)
    network = ArticleUNet(schedule.num_train_timesteps)
    saved = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict({key.removeprefix("network."): saved[key] for key in saved})
    network.eval().to(memory_format=torch.channels_last)

    pixels: dict[str, list[torch.Tensor]] = {"fixed map": [], "stretched": []}
    for start in range(0, int(num), BATCH):
        indices = range(start, min(start + BATCH, int(num)))
        *_, last = draw_samples(
            network, schedule, config.sampling, "epsilon", 0, indices, dataset.image_shape
        )
        x = last.prev_sample
        pixels["fixed map"].append(to_uint8(x))
        pixels["stretched"].append(torch.from_numpy(stretch(np.asarray(x))))
        found = {
            name: frechet_distance(moments(extractor(torch.cat(parts))[0]), real.moments)
            for name, parts in pixels.items()
            if indices.stop >= extractor.dim
        }
        print(f"n = {indices.stop:,}  {found}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
