"""The generator of the paper's GAN."""

import math

from torch import nn

from lipnet.layers.shape import Normalize
from lipnet.options.models import Generator


def build_generator(option: Generator, image_shape: tuple[int, ...]) -> nn.Sequential:
    """Latent vectors ``(batch, latent)`` to images ``(batch, channels, height, width)`` with pixels in [0, 1].

    Fully connected layers, then transposed convolutions that double the image (Li et al. 2019, after DCGAN, Radford et
    al. 2015). In training its batch normalisation makes the images of a batch depend on each other; in evaluation mode
    every image is a function of its own latent vector.
    """
    channels, height, width = image_shape
    factor = 2 ** len(option.channels)
    first = (option.channels[0], height // factor, width // factor)
    modules: list[nn.Module] = []
    inputs = option.latent
    for outputs in (*option.hidden, math.prod(first)):
        modules += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        inputs = outputs
    modules.append(nn.Unflatten(1, first))
    for inputs, outputs in zip(option.channels, option.channels[1:], strict=False):
        modules += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    modules += [nn.ConvTranspose2d(option.channels[-1], channels, 4, 2, 1), nn.Tanh(), _from_signed(channels)]
    return nn.Sequential(*modules).apply(small_weights)


def _from_signed(channels: int) -> Normalize:
    """``(x + 1) / 2``: from [-1, 1] to [0, 1]."""
    return Normalize([-1.0] * channels, [2.0] * channels)


def small_weights(module: nn.Module) -> None:
    """The initial values of DCGAN and of the paper's GAN: weights from N(0, 0.02^2), biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
