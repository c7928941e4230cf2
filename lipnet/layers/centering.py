"""Batch centring: what is left of batch normalisation where nothing may be divided."""

import torch
from torch import Tensor, nn


class BatchCentering(nn.Module):
    """Subtracts each channel's mean: in training that of the batch, in evaluation a running one. 1-Lipschitz.

    In evaluation it adds a constant. In training, where outputs depend on the whole batch, nothing is certified.

    Args:
        channels: on axis 1.
        momentum: how much of each batch's mean goes into the running one.

    ``running_mean (channels,)`` is a buffer that starts at 0.
    """

    running_mean: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.channels, self.momentum = channels, momentum
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        mean = self.running_mean
        if self.training:
            mean = inputs.transpose(0, 1).flatten(1).mean(1).view(self.channels)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach().to(self.running_mean), self.momentum)
        last = inputs.transpose(1, -1)  # the channels, which other numbers of them do not fit
        return (last - mean.expand(last.shape[1:])).transpose(1, -1)

    def extra_repr(self) -> str:
        return f"{self.channels}"
