"""From options to networks: one constructor for each option of ``conv``, ``linear``, ``activation`` and ``model``."""

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import nn

from lipnet.layers import (
    ORTHOGONALIZERS,
    Abs,
    BCOPConv2d,
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
from lipnet.schema import BCOP, Config, ConvNet, Iterated

Shape = tuple[int, int, int]
Convolution = Callable[..., nn.Module]  # (in_channels, out_channels, kernel_size, stride) -> layer


def build_model(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """The network of ``config.model`` for images ``(channels, height, width)``, normalisation first."""
    normalize = Normalize(config.dataset.mean, config.dataset.std)
    body = _conv_net if isinstance(config.model, ConvNet) else _fully_connected
    return nn.Sequential(normalize, *body(config, input_shape, outputs))


def _conv_net(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    model: ConvNet = config.model
    make_convolution, activation = CONVS[config.conv.name], ACTIVATIONS[config.activation.name]
    (channels, height, width), modules = input_shape, []
    for out_channels, kernel_size, stride in zip(model.channels, model.kernel_sizes, model.strides, strict=True):
        convolution = make_convolution(config.conv, (height, width))
        modules += [convolution(channels, out_channels, kernel_size, stride), activation(config.activation)]
        channels, height, width = out_channels, height // stride, width // stride
    return [*modules, nn.Flatten(), *_linear_stack(config, [channels * height * width, *model.hidden, outputs])]


def _fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    channels, height, width = input_shape
    return [nn.Flatten(), *_linear_stack(config, [channels * height * width, *config.model.hidden, outputs])]


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
