"""The paper's architectures from other packages' layers, for ``scripts/benchmarks/benchmark.py --peers``."""

import importlib.metadata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import nn

from lipnet.layers import MaxMin

Shape = tuple[int, int, int]
Convolution = Callable[[int, int, int, int], nn.Module]
Linear = Callable[[int, int], nn.Module]


def available_peers() -> dict[str, tuple[Convolution, Linear]]:
    """Layer constructors of each installed peer, by name and version."""
    found = {}
    for name, layers in (("orthogonium", _orthogonium), ("deel-torchlip", _torchlip)):
        try:
            found[f"{name} {importlib.metadata.version(name)}"] = layers()
        except ImportError:
            print(f"{name} is not installed: left out")
    return found


def build_peer(layers: tuple[Convolution, Linear], model: Any, shape: Shape, outputs: int) -> nn.Sequential:
    """``model`` is a checked ``ConvNet`` or ``FullyConnected`` option."""
    convolution, linear = layers
    (channels, height, width), modules = shape, []
    convs = zip(*(getattr(model, key, []) for key in ("channels", "kernel_sizes", "strides")), strict=True)
    for out_channels, kernel_size, stride in convs:
        modules += [convolution(channels, out_channels, kernel_size, stride), MaxMin()]
        channels, height, width = out_channels, height // stride, width // stride
    widths = [channels * height * width, *model.hidden, outputs]
    modules.append(nn.Flatten())
    for inputs, width in pairwise(widths):
        modules += [linear(inputs, width), MaxMin()]
    return nn.Sequential(*modules[:-1])


def _orthogonium() -> tuple[Convolution, Linear]:
    from orthogonium.layers import AdaptiveOrthoConv2d, OrthoLinear

    def convolution(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.Module:
        padding = (kernel_size - stride + 1) // 2
        return AdaptiveOrthoConv2d(inputs, outputs, kernel_size, stride=stride, padding=padding)

    return convolution, OrthoLinear


def _torchlip() -> tuple[Convolution, Linear]:
    from deel import torchlip

    def convolution(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.Module:
        padding = (kernel_size - stride + 1) // 2
        return torchlip.SpectralConv2d(inputs, outputs, kernel_size, stride, padding, padding_mode="circular")

    return convolution, torchlip.SpectralLinear
