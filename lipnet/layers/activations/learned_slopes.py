"""torch's PReLU, with a slope for each channel."""

from torch import nn


def prelu(channels: int) -> nn.PReLU:
    """The identity above 0, and below it a line through 0 whose slope is learned, at first 0.25."""
    return nn.PReLU(channels)
