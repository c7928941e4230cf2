"""Stages of blocks at falling resolution, as the deep networks of the field have them.

With ``block=conv stem=zeros down=crop`` it is the architecture of Prach et al. 2024 (arXiv 2311.16833), by which they
compare layers; with ``down=conv`` the LipConvNet of Singla and Feizi 2021 (arXiv 2105.11417).
"""

from torch import nn

from lipnet.layers.blocks.composition import Residual
from lipnet.layers.blocks.table import BLOCKS
from lipnet.layers.shape import FitChannels, PixelUnshuffle, Scale
from lipnet.models.choices import Shape, activations, convolution
from lipnet.models.fully_connected import linear_stack
from lipnet.options.config import Config
from lipnet.options.models import ResidualNet
from lipnet.options.option import of_kind

_HALVED = 2  # a stage's images, of those before


def residual_net(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for images ``(channels, height, width)``."""
    option = of_kind(config.model, ResidualNet)
    channels, height, width = input_shape
    modules: list[nn.Module] = []
    if option.patch > 1:
        modules.append(PixelUnshuffle(option.patch))
        channels, height, width = channels * option.patch**2, height // option.patch, width // option.patch
    stages = zip(option.channels, option.blocks, option.kernel_sizes, strict=True)
    for index, (wider, blocks, kernel_size) in enumerate(stages):
        if index == 0:
            modules += _stem(config, channels, wider, kernel_size, (height, width))
        else:
            modules += _down(config, channels, wider, (height, width))
            height, width = height // _HALVED, width // _HALVED
        channels = wider
        for _ in range(blocks):
            modules += _block(config, channels, kernel_size, (height, width))
    widths = [channels * height * width, *option.hidden, outputs]
    return [*modules, nn.Flatten(), *linear_stack(config, widths, option.head)]


def _stem(config: Config, channels: int, wider: int, kernel_size: int, size: tuple[int, int]) -> list[nn.Module]:
    if of_kind(config.model, ResidualNet).stem == "zeros":
        return [FitChannels(wider)]
    make = convolution(config, size, grouped=False)  # it mixes the colours
    return [make(channels, wider, kernel_size, 1), *activations(config, wider)]


def _down(config: Config, channels: int, wider: int, size: tuple[int, int]) -> list[nn.Module]:
    """To half the resolution."""
    if of_kind(config.model, ResidualNet).down == "crop":
        return [FitChannels(wider // _HALVED**2), PixelUnshuffle(_HALVED)]
    return [convolution(config, size)(channels, wider, _HALVED, _HALVED), *activations(config, wider)]


def _block(config: Config, channels: int, kernel_size: int, size: tuple[int, int]) -> list[nn.Module]:
    """Layers from images of so many channels to images of the same shape."""
    option = of_kind(config.model, ResidualNet)
    if option.block in BLOCKS:
        keys = {"padding_mode": config.conv.own_keys().get("padding_mode", "circular")}
        if option.block == "liresnet":
            keys["depth"] = sum(option.blocks)
        return [BLOCKS[option.block](channels, size, kernel_size=kernel_size, **keys)]
    layers = [convolution(config, size)(channels, channels, kernel_size, 1), *activations(config, channels)]
    if option.block == "mean":
        return [Residual(nn.Sequential(*layers, Scale(0.5)), Scale(0.5))]
    return layers
