"""Inception v3 as extractor, for figures that others' articles have: FID in the strict sense.

torch-fidelity (an optional extra) has the network and the resizing of the original; the weights are
the user's, on disk. Its 2,048 features know nothing of small grey pictures, and need more of them.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import ConfigError, DataError
from engine.evaluate.extractor import Extractor

FEATURES = 2048


def inception_extractor(path: Path, device: torch.device) -> Extractor:
    """The pooled features of Inception v3.

    Args:
        path: weights as torch-fidelity publishes them, a state dict in a .pth file.

    Raises:
        ConfigError: torch-fidelity is not installed.
        DataError: the file cannot be read, or holds something else.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ConfigError(
            "An Inception extractor needs torch-fidelity, which is not installed",
            "Install it beside ddpm-tui: pip install torch-fidelity",
        ) from None
    try:
        data = path.read_bytes()
        # torch-fidelity unpickles whatever it is given. It gets a copy of tensors only.
        tensors = io.BytesIO()
        torch.save(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        network = FeatureExtractorInceptionV3(
            "inception-v3", [str(FEATURES)], feature_extractor_weights_path=tensors
        )
    # What torch.load and load_state_dict raise, between them, for a file that is not these weights.
    except (OSError, pickle.UnpicklingError, RuntimeError, TypeError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path} does not hold weights of Inception v3: {reason}",
            "torch-fidelity publishes them as weights-inception-2015-12-05-6726825d.pth.",
        ) from None
    network.to(device)

    def extract(pixels: Tensor) -> tuple[Tensor, None]:
        found: Tensor = network(pixels.to(device).expand(-1, 3, -1, -1))[0]
        return found, None

    name = f"inception-v3-{hashlib.sha256(data).hexdigest()[:8]}"
    return Extractor(name, FEATURES, extract)
