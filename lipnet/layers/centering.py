"""Batch centring: what is left of batch normalisation where nothing may be divided."""

from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import runs_eagerly


class PlainBatchCentering(nn.Module):
    """``BatchCentering`` in torch alone, whose source an export carries along."""

    running_mean: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.channels, self.momentum = channels, momentum
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        mean = self.running_mean
        if self.training:
            mean = inputs.transpose(0, 1).flatten(1).mean(1)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach().to(self.running_mean), self.momentum)
        last = inputs.transpose(1, -1)  # the channels, which other numbers of them do not fit
        return (last - mean.expand(last.shape[1:])).transpose(1, -1)

    def extra_repr(self) -> str:
        return f"{self.channels}"


class BatchCentering(PlainBatchCentering):
    """Subtracts each channel's mean: in training that of the batch, in evaluation a running one. 1-Lipschitz.

    In evaluation it adds a constant. In training, where outputs depend on the whole batch, nothing is certified.

    Args:
        channels: on axis 1.
        momentum: how much of each batch's mean goes into the running one.

    ``running_mean (channels,)`` is a buffer that starts at 0.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        if not (self.training and runs_eagerly(inputs)):
            return super().forward(inputs)
        mean = _mean(inputs.detach()).view(self.channels)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        centred: Tensor = _WithoutMean.apply(inputs, mean)
        return centred


class _WithoutMean(torch.autograd.Function):
    """``x - mean(x)``, a projection: its own transpose. Two passes over the gradient, where autograd takes five."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, mean: Tensor) -> Tensor:
        return inputs - _along_axis_1(mean, inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _WithoutMean.apply(gradient, _mean(gradient)), None


def _mean(inputs: Tensor) -> Tensor:
    """Of each channel ``(channels,)``."""
    if inputs.dim() == 4 and runs_eagerly(inputs) and _is_channels_last(inputs):
        pixels = inputs.permute(0, 2, 3, 1).flatten(0, 2)  # of which a product with ones adds up faster than `sum`
        return (pixels.new_ones(1, len(pixels)) @ pixels)[0] / len(pixels)
    return inputs.mean([axis for axis in range(inputs.dim()) if axis != 1])


def _is_channels_last(inputs: Tensor) -> bool:
    batched = torch._C._functorch.is_legacy_batchedtensor(inputs)  # of is_grads_batched=True, which has no layout
    return not batched and inputs.is_contiguous(memory_format=torch.channels_last)


def _along_axis_1(mean: Tensor, inputs: Tensor) -> Tensor:
    """Raises ``RuntimeError`` where the inputs have another number of channels."""
    trailing = [1] * (inputs.dim() - 2)
    return mean.view(inputs.shape[1], *trailing)
