"""The article's training loop and sampler as it writes them: what ours is measured against.

Everything that costs time there costs it here too: a PIL picture and two transforms for every
image, a loader in the same process, draws made on the CPU and carried over, a network in float32,
and a wait for the device after every step. Left out are its progress bars, its checkpoint at the
end of an epoch and the frames of its GIF, which are left out of ours as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import Compose, Lambda, ToTensor


class ArticleImages(TorchDataset[tuple[Tensor, int]]):
    """Pictures one at a time, as torchvision's FashionMNIST gives them under the transforms.

    Args:
        images: uint8 (N, 1, H, W) on the CPU.
        labels: int64 (N,) on the CPU; the loader collates them, nobody reads them.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images[:, 0], labels
        self.transform = Compose([ToTensor(), Lambda(lambda x: (x - 0.5) * 2)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index].numpy())
        return self.transform(picture), int(self.labels[index])


class ArticleDiffusion:
    """The article's `MyDDPM` without the network: a linear schedule and the forward process."""

    def __init__(self, num_train_timesteps: int, device: torch.device) -> None:
        self.num_train_timesteps, self.device = num_train_timesteps, device
        self.betas = torch.linspace(1e-4, 0.02, num_train_timesteps).to(device)
        self.alphas = 1 - self.betas
        products = [torch.prod(self.alphas[: i + 1]) for i in range(num_train_timesteps)]
        self.alpha_bars = torch.tensor(products).to(device)

    def noisy(self, x0: Tensor, t: Tensor, eta: Tensor) -> Tensor:
        a_bar = self.alpha_bars[t].reshape(len(x0), 1, 1, 1)
        return a_bar.sqrt() * x0 + (1 - a_bar).sqrt() * eta

    def loss(self, network: nn.Module, x0: Tensor, t: Tensor, eta: Tensor) -> Tensor:
        eta_theta: Tensor = network(self.noisy(x0, t, eta), t)
        return nn.functional.mse_loss(eta_theta, eta)


def article_training(
    network: nn.Module,
    diffusion: ArticleDiffusion,
    images: ArticleImages,
    batch_size: int,
    lr: float = 1e-3,
) -> Iterator[tuple[int, float]]:
    """Train for ever, epoch after epoch; (images, loss) of every step."""
    loader = DataLoader(images, batch_size, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr)
    device = diffusion.device
    while True:
        for batch in loader:
            x0 = batch[0].to(device)
            n = len(x0)
            eta = torch.randn_like(x0).to(device)
            t = torch.randint(0, diffusion.num_train_timesteps, (n,)).to(device)
            loss = diffusion.loss(network, x0, t, eta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield n, loss.item()


def article_sampling(
    network: nn.Module, diffusion: ArticleDiffusion, num: int, image_shape: tuple[int, int, int]
) -> Iterator[Tensor]:
    """Draw `num` pictures at once, σ² = β, no clipping; x after every network call, T in all."""
    device = diffusion.device
    x = torch.randn(num, *image_shape).to(device)
    for t in reversed(range(diffusion.num_train_timesteps)):
        # no_grad inside the loop: around a yield it would leak into whoever pulls.
        with torch.no_grad():
            time = (torch.ones(num) * t).to(device).long()
            eta_theta = network(x, time)
            alpha, alpha_bar = diffusion.alphas[t], diffusion.alpha_bars[t]
            x = (1 / alpha.sqrt()) * (x - (1 - alpha) / (1 - alpha_bar).sqrt() * eta_theta)
            if t > 0:
                z = torch.randn(num, *image_shape).to(device)
                x = x + diffusion.betas[t].sqrt() * z
        yield x
