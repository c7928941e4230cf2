"""ShuffleNet (Zhang et al. 2018, arXiv 1707.01083) for small images, unconstrained."""

from torch import nn

from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.models.choices import Shape, shuffles
from lipnet.options.config import Config
from lipnet.options.models import ShuffleNet
from lipnet.options.option import of_kind

_BOTTLENECK = 4  # a unit's output has so many times the channels of its depthwise convolution


def shufflenet(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for images ``(channels, height, width)``.

    As published but for the beginning: one convolution at full resolution, since the images are small. Each stage
    begins with a unit that halves the image.
    """
    option = of_kind(config.model, ShuffleNet)
    modules: list[nn.Module] = [*_convolution(input_shape[0], option.stem, 3), nn.ReLU()]
    channels, index = option.stem, 0
    for wider, units in zip(option.widths, option.units, strict=True):
        for number in range(units):
            # The few channels of the first convolution are not split into groups.
            groups = option.groups if index else 1
            if number:
                modules.append(Residual(_branch(config, channels, wider, groups, 1, index)))
            else:
                branch = _branch(config, channels, wider - channels, groups, 2, index, of=wider)
                modules.append(Concat(nn.AvgPool2d(3, 2, 1), branch))
            modules.append(nn.ReLU())
            channels, index = wider, index + 1
    return [*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)]


def _branch(
    config: Config, channels: int, made: int, groups: int, stride: int, index: int, of: int | None = None
) -> nn.Sequential:
    """What a unit learns: 1x1, shuffle, 3x3 of each channel by itself, 1x1.

    Args:
        made: the channels that come out.
        groups: of the first convolution.
        of: the channels of the whole unit, where others are added to these.
    """
    option = of_kind(config.model, ShuffleNet)
    inner = (made if of is None else of) // _BOTTLENECK
    return nn.Sequential(
        *_convolution(channels, inner, 1, groups=groups),
        nn.ReLU(),
        *shuffles(config, inner, option.groups, index),
        *_convolution(inner, inner, 3, stride, groups=inner),
        *_convolution(inner, made, 1, groups=option.groups),
    )


def _convolution(channels: int, made: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without a bias, which the normalisation after it would take away."""
    return [
        nn.Conv2d(channels, made, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(made),
    ]
