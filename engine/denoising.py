"""What a network makes of noised images in one call, and how wrong it is: how far back it can see.

The error of the predicted x_0 grows with the noise; that of the predicted ε falls, because there is
ever more of it to be seen. Each says little alone, so both are held beside what needs no network:
to predict the mean image, whatever x_t is, and to take x_t itself for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.dataset import Dataset
from engine.data.range import to_uint8
from engine.diffusion import predict_x0_and_eps
from engine.forward import ForwardProcess
from engine.images import Pixels
from engine.reverse import Denoiser

Limit = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Denoised:
    """Images at one t as a network sees through them. Images are (N, C, H, W) in [−1, 1].

    Attributes:
        t: of 0 … T − 1.
        x_start: the originals.
        x_t: what the network saw.
        x0: what it takes the originals to be, within the limit if there is one.
        eps: the noise that it sees in x_t.
        x0_error: (N,), the mean squared error of x0.
        eps_error: (N,), the mean squared error of eps.
    """

    t: int
    x_start: Tensor
    x_t: Tensor
    x0: Tensor
    eps: Tensor
    x0_error: Tensor
    eps_error: Tensor

    @property
    def deviation(self) -> Tensor:
        """|x̂_0 − x_0|, (N, C, H, W) in [0, 2]."""
        return (self.x0 - self.x_start).abs()

    def rows(self) -> tuple[Pixels, Pixels, Pixels, Pixels]:
        """x_0, x_t, x̂_0 and |x̂_0 − x_0| as uint8 (N, C, H, W).

        The first three by the fixed map; of the last 0 is black and 1, half the range, white.
        """
        images = self.x_start, self.x_t, self.x0, 2 * self.deviation.clamp(max=1) - 1
        first, second, third, fourth = (to_uint8(image).cpu().numpy() for image in images)
        return first, second, third, fourth


def denoise(
    denoiser: Denoiser,
    process: ForwardProcess,
    t: int,
    *,
    prediction_type: str,
    limit_x0: Limit | None = None,
) -> Denoised:
    """Ask a network once about the images at t.

    Args:
        denoiser: on the device of the process.
        prediction_type: what it predicts, see `engine.diffusion`.
        limit_x0: keeps the predicted x_0 in range, as sampling does.
    """
    x_t = process.at(t)
    with torch.no_grad():
        output = denoiser(x_t, torch.full((len(x_t),), t, device=x_t.device)).float()
    x0, eps = predict_x0_and_eps(process.schedule, prediction_type, x_t, t, output)
    x0 = limit_x0(x0) if limit_x0 else x0
    return Denoised(
        t,
        process.x_start,
        x_t,
        x0,
        eps,
        per_image_mse(x0, process.x_start),
        per_image_mse(eps, process.noise),
    )


def mean_image(dataset: Dataset) -> Tensor:
    """The mean of the training images, float32 (C, H, W) in [−1, 1]."""
    total = dataset.images.sum(dim=0, dtype=torch.int64)
    return (total.double() / (127.5 * len(dataset)) - 1).float()


def per_image_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of each image: (N, C, H, W), or what broadcasts to it -> (N,)."""
    return (prediction - target).square().flatten(1).mean(dim=1)


@dataclass(frozen=True)
class DenoisingError:
    """Mean squared errors at one t, over all images, of x_0 and of ε.

    Attributes:
        x0, eps: of the network.
        x0_of_mean, eps_of_mean: of the mean image as x_0, and of the ε that follows from it.
        x0_of_x_t, eps_of_x_t: of x_t itself, taken for x_0 or for ε.
    """

    t: int
    x0: float
    eps: float
    x0_of_mean: float
    eps_of_mean: float
    x0_of_x_t: float
    eps_of_x_t: float


def denoising_errors(
    denoiser: Denoiser,
    process: ForwardProcess,
    timesteps: Sequence[int],
    mean_image: Tensor,
    *,
    prediction_type: str,
    limit_x0: Limit | None = None,
) -> Iterator[DenoisingError]:
    """The errors at some timesteps, one after the other as they are pulled; a network call each.

    Args:
        mean_image: (C, H, W) in [−1, 1], of the training images.
    """
    mean = mean_image.to(process.x_start.device).expand_as(process.x_start)
    x0_of_mean = _mean(per_image_mse(mean, process.x_start))
    for t in timesteps:
        seen = denoise(denoiser, process, t, prediction_type=prediction_type, limit_x0=limit_x0)
        # The ε of the mean image, q_sample solved for it.
        _, eps_of_mean = predict_x0_and_eps(process.schedule, "sample", seen.x_t, t, mean)
        yield DenoisingError(
            t,
            _mean(seen.x0_error),
            _mean(seen.eps_error),
            x0_of_mean,
            _mean(per_image_mse(eps_of_mean, process.noise)),
            _mean(per_image_mse(seen.x_t, process.x_start)),
            _mean(per_image_mse(seen.x_t, process.noise)),
        )


def _mean(errors: Tensor) -> float:
    return float(errors.cpu().double().mean())


def probe_timesteps(num_train_timesteps: int, num: int = 24) -> list[int]:
    """Timesteps spread evenly over 0 … T − 1, both ends among them, in an order that soon tells
    the shape of a curve: the ends, the middle, the middles between those, and so on."""
    spread = np.unique(np.linspace(0, num_train_timesteps - 1, num).round().astype(int)).tolist()
    ordered = dict.fromkeys((spread[0], spread[-1]))
    stride = len(spread) - 1
    while stride > 1:
        stride = -(-stride // 2)
        ordered |= dict.fromkeys(spread[::stride])
    return [int(t) for t in ordered]


def sees_until(errors: Sequence[DenoisingError], share: float = 0.5) -> int | None:
    """The last timestep up to which the error of x_0 stays below a share of the mean image's.

    None where it does not even at the first. Only the timesteps of `errors` are looked at.
    """
    last = None
    for error in sorted(errors, key=lambda error: error.t):
        if not error.x0 < share * error.x0_of_mean:
            break
        last = error.t
    return last
