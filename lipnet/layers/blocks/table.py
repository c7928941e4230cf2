"""Blocks by name, each ``(channels, (height, width), *, kernel_size, padding_mode, ...) -> module`` of one shape."""

from collections.abc import Callable

from torch import nn

from lipnet.layers.blocks.convex_potential import cpl, sll
from lipnet.layers.blocks.lipnext import lipnext
from lipnet.layers.blocks.liresnet import liresnet

BLOCKS: dict[str, Callable[..., nn.Module]] = {"cpl": cpl, "sll": sll, "liresnet": liresnet, "lipnext": lipnext}
