"""Convolutions, then fully connected layers."""

from torch import nn

from lipnet.models.choices import Shape, activations, convolution, shuffles
from lipnet.models.fully_connected import linear_stack
from lipnet.options.config import Config
from lipnet.options.models import ConvNet, Critic
from lipnet.options.option import of_kind


def conv_net(config: Config, input_shape: Shape, outputs: int) -> list[nn.Module]:
    """The modules of such a network for images ``(channels, height, width)``.

    The first convolution, which mixes the colours, is never grouped; a shuffle stands between any two that are.
    """
    model = of_kind(config.model, ConvNet)
    channels, height, width = input_shape
    modules: list[nn.Module] = []
    if isinstance(model, Critic) and max(height, width) < model.image_size:
        modules += _enlarge(height, width, model.image_size)
        height = width = model.image_size
    convolutions = zip(model.channels, model.kernel_sizes, model.strides, strict=True)
    for index, (out_channels, kernel_size, stride) in enumerate(convolutions):
        make = convolution(config, (height, width), grouped=index > 0)
        if index > 1:
            modules += shuffles(config, channels, config.conv.own_keys().get("groups", 1), index)
        modules += [make(channels, out_channels, kernel_size, stride), *activations(config, out_channels)]
        channels, height, width = out_channels, height // stride, width // stride
    return [
        *modules,
        nn.Flatten(),
        *linear_stack(config, [channels * height * width, *model.hidden, outputs], model.head),
    ]


def _enlarge(height: int, width: int, size: int) -> list[nn.Module]:
    """Zeros around the image (28 -> 32), then nearest neighbour by a whole factor (32 -> 64): s times an isometry."""
    factor = max(factor for factor in range(1, size + 1) if size % factor == 0 and size // factor >= max(height, width))
    below, right = size // factor - height, size // factor - width
    padding = nn.ZeroPad2d((right // 2, right - right // 2, below // 2, below - below // 2))
    modules: list[nn.Module] = [padding] if below or right else []
    return [*modules, nn.Upsample(scale_factor=factor, mode="nearest")] if factor > 1 else modules
