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
    bjorck,
)  # fmt: skip
from lipnet.layers import GroupSort as GroupSortLayer
from lipnet.schema import BCOP, OSSN, SVCM, Config, ConvNet, Iterated, PlainConv

Shape = tuple[int, int, int]
# (in_channels, out_channels, kernel_size, stride, (height, width) of the inputs) -> layer
Convolution = Callable[[int, int, int, int, tuple[int, int]], nn.Module]


def build_model(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """The network of ``config.model`` for images ``(channels, height, width)``, normalisation first."""
    normalize = Normalize(config.dataset.mean, config.dataset.std)
    body = _conv_net if isinstance(config.model, ConvNet) else _fully_connected
    return nn.Sequential(normalize, *body(config, input_shape, outputs))


def _conv_net(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    model: ConvNet = config.model
    convolution, activation = CONVS[config.conv.name](config.conv), ACTIVATIONS[config.activation.name]
    (channels, height, width), modules = input_shape, []
    for out_channels, kernel_size, stride in zip(model.channels, model.kernel_sizes, model.strides, strict=True):
        modules += [
            convolution(channels, out_channels, kernel_size, stride, (height, width)),
            activation(config.activation),
        ]
        channels, height, width = out_channels, height // stride, width // stride
    return [*modules, nn.Flatten(), *_linear_stack(config, [channels * height * width, *model.hidden, outputs])]


def _fully_connected(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    channels, height, width = input_shape
    return [nn.Flatten(), *_linear_stack(config, [channels * height * width, *config.model.hidden, outputs])]


def _linear_stack(config: Config, widths: list[int]) -> list[nn.Module]:
    linear, activation = LINEARS[config.linear.name](config.linear), ACTIVATIONS[config.activation.name]
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [linear(inputs, outputs), activation(config.activation)]
    return modules[:-1]


def _bcop(option: BCOP) -> Convolution:
    orthogonalize = ORTHOGONALIZERS[option.orthogonalizer]
    return lambda inputs, outputs, kernel_size, stride, size: BCOPConv2d(
        inputs, outputs, kernel_size, stride, padding_mode=option.padding_mode, orthogonalize=orthogonalize
    )


def _bcop_fixed(option: BCOP) -> Convolution:
    build = _bcop(option)
    return lambda *arguments: build(*arguments).requires_grad_(False)


def _rko(option: BCOP) -> Convolution:
    orthogonalize = ORTHOGONALIZERS[option.orthogonalizer]
    return lambda inputs, outputs, kernel_size, stride, size: RKOConv2d(
        inputs, outputs, kernel_size, stride, padding_mode=option.padding_mode, orthogonalize=orthogonalize
    )


def _l2ne(option: PlainConv) -> Convolution:
    return lambda inputs, outputs, kernel_size, stride, size: L2NEConv2d(
        inputs, outputs, kernel_size, stride, padding_mode=option.padding_mode
    )


def _ossn(option: OSSN) -> Convolution:
    return lambda inputs, outputs, kernel_size, stride, size: OSSNConv2d(
        inputs, outputs, kernel_size, stride, padding_mode=option.padding_mode, image_size=size,
        iterations=option.iterations,
    )  # fmt: skip


def _svcm(option: SVCM) -> Convolution:
    return lambda inputs, outputs, kernel_size, stride, size: SVCMConv2d(
        inputs, outputs, kernel_size, stride, image_size=size, every=option.every, iterations=option.iterations
    )


def _plain(option: PlainConv) -> Convolution:
    return lambda inputs, outputs, kernel_size, stride, size: PaddedConv2d(
        inputs, outputs, kernel_size, stride, padding_mode=option.padding_mode
    )


def _bjorck(option: Iterated) -> Callable[..., nn.Module]:
    return functools.partial(OrthogonalLinear, orthogonalize=functools.partial(bjorck, iterations=option.iterations))


CONVS: dict[str, Callable[[Any], Convolution]] = {
    "bcop": _bcop,
    "bcop_fixed": _bcop_fixed,
    "rko": _rko,
    "ossn": _ossn,
    "svcm": _svcm,
    "l2ne": _l2ne,
    "plain": _plain,
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
