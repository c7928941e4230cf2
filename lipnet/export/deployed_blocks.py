"""Classes that are in the code of a network that has such layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """``shortcut(x) + branch(x)``."""

    def __init__(self, shortcut: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.branch = shortcut, branch

    def forward(self, inputs: Tensor) -> Tensor:
        return self.shortcut(inputs) + self.branch(inputs)


class Concat(nn.Module):
    """The branches' outputs one after the other along axis 1."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([branch(inputs) for branch in self.branches], dim=1)


class Mirrored(nn.Module):
    """The mean of what is made of an image and of its mirror image."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        return 0.5 * self.inner(inputs) + 0.5 * self.inner(inputs.flip(-1))


class ChannelShuffle(nn.Module):
    """Output channel i is input channel ``order[i]``, times ``signs[i]`` if it is signed."""

    order: Tensor
    signs: Tensor | None

    def __init__(self, channels: int, signed: bool) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(channels))
        self.register_buffer("signs", torch.ones(channels) if signed else None)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = inputs.index_select(1, self.order)
        return outputs if self.signs is None else outputs * self.signs.view(-1, *[1] * (inputs.dim() - 2))


class FitChannels(nn.Module):
    """The first channels, and zeros behind them where there are fewer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, inputs: Tensor) -> Tensor:
        padded = functional.pad(inputs.transpose(1, -1), (0, self.channels)).transpose(1, -1)  # whatever their number
        return padded[:, : self.channels]
