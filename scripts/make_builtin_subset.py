"""Make the built-in data set: 10,000 training and 1,000 held-out pictures of Fashion-MNIST.

    python scripts/make_builtin_subset.py [--data-dir FOLDER] [--out FOLDER]

It takes the first pictures of each class and keeps the original order, so nothing is drawn at
random and a second run gives the same bytes. It prints the SHA-256 of each decompressed file, which
`engine/data/sources.py` pins.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data import idx, sources
from engine.data.verify import read_verified

PER_CLASS = {"train": 1_000, "t10k": 100}


def first_of_each_class(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """The indices of the first `count` pictures of each class, in ascending order."""
    picked = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(picked))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="a folder with the whole Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("engine/data/builtin"))
    args = parser.parse_args()

    source = sources.get("fashion-mnist")
    located = sources.find(source.name, args.data_dir)
    print(f"from {located.origin}")
    for split, count in PER_CLASS.items():
        images_file, labels_file = f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"
        images = read_verified(source, images_file, located.files[images_file])
        labels = read_verified(source, labels_file, located.files[labels_file])
        indices = first_of_each_class(labels, count)
        for file, array in ((images_file, images[indices]), (labels_file, labels[indices])):
            path = args.out / f"{file}.gz"
            idx.write(path, array)
            sha256 = idx.read_hashed(path)[1]
            print(f"{file:<24} {sha256}  {path.stat().st_size:>9,} bytes")


if __name__ == "__main__":
    main()
