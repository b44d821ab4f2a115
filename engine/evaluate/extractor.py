"""The features that pictures are compared by: a small classifier of the data set's own classes.

Features of a network trained on photographs say little about 28×28 clothes, and are a hundred
megabytes of somebody else's weights. A classifier of the data set at hand is small enough to ship,
and its features separate what a person separates. Figures of two extractors must never be compared:
each is named by its version and the hash of its weights, and every result carries that name.

The one for Fashion-MNIST comes with the package (`scripts/train_extractor.py` made it); for another
data set one is trained on first use and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.dataset import Dataset
from engine.data.range import to_unit
from engine.device import autocast, no_tf32, resolve_precision
from engine.errors import DataError
from engine.evaluate.cache import cached, fingerprint, write_tensors
from engine.rng import generator
from engine.runs import io

# A change of the network or of its training is a new version: the features are others.
VERSION = 1
FEATURES = 256

# Data sets whose extractor comes with the package, and which. The built-in subset shares that of
# the whole set, so that its figures compare.
SHIPPED = {"fashion-mnist": "fashion-mnist", "fashion-mnist-10k": "fashion-mnist"}

_BATCH = 250
_EPOCHS = 10
_LR = 3e-3
_SHIFT = 2  # pixels: the classifier should not care where in the frame a shoe stands


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(h)))


class Classifier(nn.Module):
    """Pictures (N, C, H, W) in [−1, 1] -> logits (N, classes); `features` gives (N, 256)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()

        def strided(in_c: int, out_c: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(in_c, out_c, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out_c),
                nn.ReLU(),
            )

        self.trunk = nn.Sequential(
            strided(in_channels, 32, 1),
            strided(32, 64, 2),
            _Residual(64),
            strided(64, 128, 2),
            _Residual(128),
            strided(128, FEATURES, 2),
        )
        self.head = nn.Linear(FEATURES, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [−1, 1] -> (N, 256), none of them negative."""
        pooled: Tensor = self.trunk(x).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(F.dropout(self.features(x), 0.3, self.training))
        return logits


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network whose features pictures are compared by.

    Attributes:
        name: for example fashion-mnist-v1-0a1b2c3d: what it was trained on, its version and the
            first digits of its weights' SHA-256. Figures compare when it is the same.
        dim: the number of features.
        extract: pictures uint8 (B, C, H, W), on any device -> features float32 (B, dim), and
            predicted labels int64 (B,) where it knows the classes of the data set, else None.
    """

    name: str
    dim: int
    extract: Callable[[Tensor], tuple[Tensor, Tensor | None]]

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and classes of pictures, always in float32.

        Args:
            pixels: uint8 (N, C, H, W); generated pictures too, so that both went through bytes.

        Returns:
            features float32 (N, dim) and predicted labels int64 (N,) or None, on the CPU.
        """
        features, labels = [], []
        # Else a GPU's figures would differ from a CPU's.
        with no_tf32():
            for part in torch.split(pixels, _BATCH):
                found, predicted = self.extract(part)
                features.append(found.float().cpu())
                if predicted is not None:
                    labels.append(predicted.cpu())
        return torch.cat(features), torch.cat(labels) if labels else None


def find_extractor(
    dataset: Dataset,
    *,
    inception: Path | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Extractor:
    """The extractor for a data set, on its device: shipped, kept from an earlier use, or trained.

    Args:
        inception: weights of Inception v3 on disk, to use instead (`engine.evaluate.inception`).
        on_step: told (steps done, steps in all) while one is trained.

    Raises:
        DataError: the data set has no classes to train a classifier on, or weights are damaged.
        RunError: the cache cannot be written.
    """
    if inception is not None:
        from engine.evaluate.inception import inception_extractor

        return inception_extractor(inception, dataset.device)
    if dataset.name in SHIPPED:
        return load_classifier(shipped_weights(SHIPPED[dataset.name]), dataset)
    if len(dataset.class_names) < 2:
        raise DataError(
            f"{dataset.name} has no classes, so no classifier can be trained to compare by",
            "Point --extractor to the weights of an Inception v3.",
        )
    path = cached_weights(dataset)
    if not path.is_file():
        with io.advising("XDG_CACHE_HOME"):
            io.check_writable(path.parent)  # before minutes of training
        write_tensors(path, train_classifier(dataset, on_step=on_step).state_dict())
    return load_classifier(path, dataset)


def shipped_weights(name: str) -> Path:
    """Where the weights that come with the package lie."""
    return Path(str(resources.files("engine.evaluate"))) / "weights" / f"{name}.safetensors"


def cached_weights(dataset: Dataset) -> Path:
    """Where a trained extractor is kept; another place for other pictures of the same name."""
    content = fingerprint(dataset.images, dataset.labels)
    return cached("extractors", f"{dataset.name}-v{VERSION}-{content}")


def load_classifier(path: Path, dataset: Dataset) -> Extractor:
    """The extractor of a file, named by its content, on the data set's device.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    network = Classifier(dataset.image_shape[0], len(dataset.class_names))
    try:
        data = path.read_bytes()
        network.load_state_dict(load(data))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(
            f"The extractor {path} cannot be used: {str(error).splitlines()[0]}",
            "Reinstall ddpm-tui if it came with it; else delete the file, and it is trained anew.",
        ) from None
    network.to(dataset.device).eval().requires_grad_(False)

    def extract(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(to_unit(pixels.to(dataset.device)))
        return features, network.head(features).argmax(dim=1)

    trained_on = SHIPPED.get(dataset.name, dataset.name)
    name = f"{trained_on}-v{VERSION}-{hashlib.sha256(data).hexdigest()[:8]}"
    return Extractor(name, FEATURES, extract)


def _shifted(x: Tensor, draws: torch.Generator) -> Tensor:
    dy, dx = torch.randint(2 * _SHIFT + 1, (2,), generator=draws).tolist()
    padded = F.pad(x, (_SHIFT,) * 4, value=-1.0)
    return padded[..., dy : dy + x.shape[-2], dx : dx + x.shape[-1]]


def train_classifier(
    dataset: Dataset, *, seed: int = 0, on_step: Callable[[int, int], None] | None = None
) -> Classifier:
    """Train the classifier on the training split: ten epochs, a few minutes on two cores.

    Args:
        on_step: told (steps done, steps in all).
    """
    device = dataset.device
    dtype = resolve_precision("auto", device)
    if dtype is torch.float16:
        dtype = torch.float32  # float16 would need its loss scaled
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(dataset.image_shape[0], len(dataset.class_names)).to(device)
    batch_size = min(_BATCH, len(dataset))
    per_epoch = len(dataset) // batch_size
    total = _EPOCHS * per_epoch
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=total)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        for step in range(total):
            epoch, position = divmod(step, per_epoch)
            if position == 0:
                order = torch.randperm(len(dataset), generator=generator(seed, "classifier", epoch))
            indices = order[position * batch_size : (position + 1) * batch_size].to(device)
            x = _shifted(dataset.batch(indices), generator(seed, "shift", step))
            with autocast(device, dtype):
                logits = network(x)
            loss = F.cross_entropy(logits.float(), dataset.labels[indices], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_step:
                on_step(step + 1, total)
    return network.eval().requires_grad_(False)
