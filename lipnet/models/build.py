"""From options to networks: one constructor for each option of ``conv``, ``linear``, ``activation`` and ``model``."""

import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import nn

from lipnet.layers import (
    ORTHOGONALIZERS,
    Abs,
    BCOPConv2d,
    Cones,
    L2NEConv2d,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    RKOConv2d,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
)  # fmt: skip
from lipnet.layers import GroupSort as GroupSortLayer
from lipnet.models.gan import Gan, gan_critic
from lipnet.models.generator import build_generator
from lipnet.schema import BCOP, ConesModel, Config, ConvNet, Critic, Dataset, GanCritic, Iterated

Shape = tuple[int, ...]
Convolution = Callable[..., nn.Module]  # (in_channels, out_channels, kernel_size, stride) -> layer


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
    body = _conv_net if isinstance(config.model, ConvNet) else _fully_connected
    return nn.Sequential(*first, *body(config, input_shape, outputs))


def build_gan(config: Config, image_shape: Shape) -> Gan:
    """A generator of such images, and the critic that ``config.model`` describes."""
    critic = build_model(config, image_shape, 1)
    return Gan(build_generator(config.generator, image_shape), critic, not isinstance(config.model, GanCritic))


def _conv_net(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    model: ConvNet = config.model
    make_convolution, activation = CONVS[config.conv.name], ACTIVATIONS[config.activation.name]
    channels, height, width = input_shape
    modules: list[nn.Module] = []
    if isinstance(model, Critic) and max(height, width) < model.image_size:
        modules += _enlarge(height, width, model.image_size)
        height = width = model.image_size
    for out_channels, kernel_size, stride in zip(model.channels, model.kernel_sizes, model.strides, strict=True):
        convolution = make_convolution(config.conv, (height, width))
        modules += [convolution(channels, out_channels, kernel_size, stride), activation(config.activation)]
        channels, height, width = out_channels, height // stride, width // stride
    return [*modules, nn.Flatten(), *_linear_stack(config, [channels * height * width, *model.hidden, outputs])]


def _enlarge(height: int, width: int, size: int) -> list[nn.Module]:
    """Zeros around the image (28 -> 32), then nearest neighbour by a whole factor (32 -> 64): s times an isometry."""
    factor = max(factor for factor in range(1, size + 1) if size % factor == 0 and size // factor >= max(height, width))
    below, right = size // factor - height, size // factor - width
    padding = nn.ZeroPad2d((right // 2, right - right // 2, below // 2, below - below // 2))
    modules: list[nn.Module] = [padding] if below or right else []
    return [*modules, nn.Upsample(scale_factor=factor, mode="nearest")] if factor > 1 else modules


def _fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    return [nn.Flatten(), *_linear_stack(config, [math.prod(input_shape), *config.model.hidden, outputs])]


def _linear_stack(config: Config, widths: list[int]) -> list[nn.Module]:
    linear, activation = LINEARS[config.linear.name](config.linear), ACTIVATIONS[config.activation.name]
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [linear(inputs, outputs), activation(config.activation)]
    head: Callable[..., nn.Module] = UnitRowLinear if config.model.head == "normalized" else linear
    return [*modules, head(*widths[-2:])]


def _orthogonalized(layer: type[BCOPConv2d | RKOConv2d], option: BCOP) -> Convolution:
    orthogonalize = ORTHOGONALIZERS[option.orthogonalizer]
    return functools.partial(layer, padding_mode=option.padding_mode, orthogonalize=orthogonalize)


def _frozen(convolution: Convolution) -> Convolution:
    return lambda *geometry: convolution(*geometry).requires_grad_(False)


def _bjorck(option: Iterated) -> Callable[..., nn.Module]:
    return functools.partial(OrthogonalLinear, orthogonalize=functools.partial(bjorck, iterations=option.iterations))


# (option, (height, width) of the inputs) -> constructor
CONVS: dict[str, Callable[[Any, tuple[int, int]], Convolution]] = {
    "bcop": lambda option, size: _orthogonalized(BCOPConv2d, option),
    "bcop_fixed": lambda option, size: _frozen(_orthogonalized(BCOPConv2d, option)),
    "rko": lambda option, size: _orthogonalized(RKOConv2d, option),
    "ossn": lambda option, size: functools.partial(
        OSSNConv2d, padding_mode=option.padding_mode, image_size=size, iterations=option.iterations
    ),
    "svcm": lambda option, size: functools.partial(
        SVCMConv2d, image_size=size, every=option.every, iterations=option.iterations
    ),
    "l2ne": lambda option, size: functools.partial(L2NEConv2d, padding_mode=option.padding_mode),
    "plain": lambda option, size: functools.partial(PaddedConv2d, padding_mode=option.padding_mode),
}
LINEARS: dict[str, Callable[..., Callable[..., nn.Module]]] = {
    "orthogonal": lambda option: OrthogonalLinear,
    "bjorck": _bjorck,
    "spectral": lambda option: functools.partial(SpectralLinear, iterations=option.iterations),
    "plain": lambda option: nn.Linear,
}
ACTIVATIONS: dict[str, Callable[[Any], nn.Module]] = {
    "maxmin": lambda option: MaxMin(),
    "groupsort": lambda option: GroupSortLayer(option.group_size),
    "relu": lambda option: nn.ReLU(),
    "abs": lambda option: Abs(),
    "identity": lambda option: nn.Identity(),
}
