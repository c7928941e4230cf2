"""From a configuration to its network."""

from torch import nn

from lipnet.layers.blocks.mirrored import Mirrored
from lipnet.layers.shape import Normalize
from lipnet.models.choices import Shape
from lipnet.models.gan import Gan
from lipnet.models.generator import build_generator
from lipnet.options.config import Config
from lipnet.options.images import Dataset
from lipnet.options.models import GanCritic
from lipnet.options.registry import is_image, load


def build_model(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """The network of ``config.model`` for images ``(channels, height, width)`` or, with ``fc``, for vectors ``(n,)``.

    Labelled images are normalised first, and points as images of one pixel with a channel for each coordinate; a pair
    of distributions is taken as it is.
    """
    dataset = config.dataset
    first: list[nn.Module] = []
    if isinstance(dataset, Dataset):
        pixel = [] if is_image(input_shape) else [nn.Unflatten(1, (*input_shape, 1, 1))]
        first = [*pixel, Normalize(dataset.mean, dataset.std)]
    modules = load("model", config.model.name)(config, input_shape, outputs)
    if getattr(config.model, "mirrored", False):
        *inner, head = modules
        modules = [Mirrored(nn.Sequential(*inner)), head]  # the last layer stays the last, for certificates of pairs
    return nn.Sequential(*first, *modules)


def build_gan(config: Config, image_shape: Shape, outputs: int = 1) -> Gan:
    """A generator of such images, and the critic that ``config.model`` describes; it has one output, whatever is asked
    for.
    """
    critic = build_model(config, image_shape, 1)
    return Gan(build_generator(config.generator, image_shape), critic, not isinstance(config.model, GanCritic))
