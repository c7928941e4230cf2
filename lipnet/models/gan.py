"""A generator and its critic, and the unconstrained critic of the paper's GAN."""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from lipnet.models.generator import small_weights
from lipnet.options.config import Config
from lipnet.options.models import GanCritic
from lipnet.options.option import of_kind


class Gan(nn.Sequential):
    """A generator followed by its critic: ``gan.generator`` maps latent vectors to images, ``gan.critic`` those to 1.

    Attributes:
        constrained: whether the critic has a proved Lipschitz constant.
    """

    generator: nn.Sequential
    critic: nn.Sequential

    def __init__(self, generator: nn.Sequential, critic: nn.Sequential, constrained: bool) -> None:
        super().__init__(OrderedDict(generator=generator, critic=critic))
        self.constrained = constrained

    @property
    def latent(self) -> int:
        """How many random numbers are behind an image."""
        first = self.generator[0]
        assert isinstance(first, nn.Linear)
        return first.in_features


def latent_vectors(count: int, size: int, random: torch.Generator) -> Tensor:
    """What a generator's images are made of: uniform on [0, 1], ``(count, size)``."""
    return torch.rand(count, size, generator=random)


def gan_critic(config: Config, input_shape: tuple[int, ...], outputs: int) -> list[nn.Module]:
    """Strided convolutions and fully connected layers with batch normalisation, as in the paper's WGAN-GP."""
    option = of_kind(config.model, GanCritic)
    channels, height, width = input_shape
    modules: list[nn.Module] = []
    for index, wider in enumerate(option.channels):
        normalise = [nn.BatchNorm2d(wider)] if index else []  # DCGAN: none next to the image
        modules += [nn.Conv2d(channels, wider, 4, 2, 1), *normalise, nn.LeakyReLU(0.2)]
        channels, height, width = wider, height // 2, width // 2
    modules.append(nn.Flatten())
    features = math.prod((channels, height, width))
    for hidden in option.hidden:
        modules += [nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2)]
        features = hidden
    modules.append(nn.Linear(features, outputs))
    for module in modules:
        small_weights(module)
    return modules


@torch.no_grad()
def generate(generator: nn.Module, latent: Tensor, batch_size: int = 512) -> Tensor:
    """Images of all latent vectors, batch by batch."""
    return torch.cat([generator(part) for part in latent.split(batch_size)])
