"""A row of pictures for each class, side by side for several guidance scales.

    python scripts/draw_classes.py runs long docs/images/classes.png 1,2,4

Picture i starts from the same noise in every block, so a column of one block can be compared with
that of the next.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

from engine.config import override_sampling
from engine.images import make_grid
from engine.runs.folder import open_run
from engine.sampling import load_trained, sample_pixels

COLUMNS = 8
SCALE = 2
GAP = 2
MARGIN = 16
HEADER = 28


def main(runs_dir: str, name: str, out: str, scales: str) -> None:
    trained = load_trained(open_run(Path(runs_dir), name))
    names = trained.class_names
    blocks = []
    for scale in scales.split(","):
        options = {"num": COLUMNS * len(names), "guidance_scale": float(scale)}
        sampling = override_sampling(trained.config, options)
        # Picture i is of class i mod 10, so the classes are columns as they come.
        pixels = torch.cat([part for part, _ in sample_pixels(trained, sampling, 0)])
        rows = rearrange(pixels, "(j i) c h w -> (i j) c h w", j=COLUMNS)
        grid = make_grid(rows.numpy(), COLUMNS, GAP)
        blocks.append(np.kron(grid, np.ones((SCALE, SCALE, 1), np.uint8)).squeeze(-1))
    height, width = blocks[0].shape
    font = ImageFont.load_default(16)
    label_width = MARGIN + round(max(font.getlength(label) for label in names)) + MARGIN
    sheet = Image.new("L", (label_width + len(blocks) * (width + MARGIN), HEADER + height + MARGIN))
    draw = ImageDraw.Draw(sheet)
    row_height = SCALE * (trained.image_shape[1] + GAP)
    for row, label in enumerate(names):
        middle = HEADER + row * row_height + SCALE * trained.image_shape[1] // 2
        draw.text((label_width - MARGIN, middle), label, 255, font, anchor="rm")
    for number, (block, scale) in enumerate(zip(blocks, scales.split(","), strict=True)):
        left = label_width + number * (width + MARGIN)
        draw.text((left, HEADER // 2), f"guidance_scale {scale}", 255, font, anchor="lm")
        sheet.paste(Image.fromarray(block), (left, HEADER))
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
