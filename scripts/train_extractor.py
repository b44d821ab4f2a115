"""Train the feature extractor that the package ships, and say how well it classifies.

    python scripts/train_extractor.py            # seven minutes on two cores

The same network comes out only on the same kind of machine: sums are rounded in another
order elsewhere. Figures computed with different weights cannot be compared, so a new file is a new
version: raise `VERSION` in `engine/evaluate/extractor.py` and say so in the changelog.
"""

from __future__ import annotations

import sys

from engine.data.dataset import load
from engine.evaluate.cache import write_tensors
from engine.evaluate.extractor import (
    load_classifier,
    shipped_weights,
    train_classifier,
)


def main() -> None:
    dataset = load("fashion-mnist")

    def report(done: int, total: int) -> None:
        if done % 100 == 0:
            print(f"{done:,} of {total:,} steps", file=sys.stderr, flush=True)

    path = shipped_weights(dataset.name)
    write_tensors(path, train_classifier(dataset, on_step=report).state_dict())
    extractor = load_classifier(path, dataset)
    _, labels = extractor(dataset.test_images)
    assert labels is not None
    accuracy = (labels == dataset.test_labels).float().mean()
    print(f"{extractor.name}: {accuracy:.2%} of the test split, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
