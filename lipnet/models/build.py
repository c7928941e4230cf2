"""From options to networks: one constructor for each option of ``conv``, ``linear``, ``activation`` and ``model``."""

import math

from torch import nn

from lipnet.layers import (
    Cones,
    Normalize,
)  # fmt: skip
from lipnet.models.choices import Shape
from lipnet.models.conv_net import conv_net
from lipnet.models.fully_connected import fully_connected
from lipnet.models.gan import Gan, gan_critic
from lipnet.models.generator import build_generator
from lipnet.options.config import Config
from lipnet.options.images import Dataset
from lipnet.options.models import ConesModel, ConvNet, GanCritic


def build_model(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """The network of ``config.model`` for images ``(channels, height, width)`` or, with ``fc``, for vectors ``(n,)``.

    Labelled images are normalised first; a pair of laws is taken as it is.
    """
    dataset = config.dataset
    first = [Normalize(dataset.mean, dataset.std)] if isinstance(dataset, Dataset) else []
    if isinstance(config.model, GanCritic):
        return nn.Sequential(*first, *gan_critic(config.model, input_shape))
    if isinstance(config.model, ConesModel):
        return nn.Sequential(Cones(math.prod(input_shape), config.model.cones, upward=config.model.apices == "second"))
    body = conv_net if isinstance(config.model, ConvNet) else fully_connected
    return nn.Sequential(*first, *body(config, input_shape, outputs))


def build_gan(config: Config, image_shape: Shape) -> Gan:
    """A generator of such images, and the critic that ``config.model`` describes."""
    critic = build_model(config, image_shape, 1)
    return Gan(build_generator(config.generator, image_shape), critic, not isinstance(config.model, GanCritic))
