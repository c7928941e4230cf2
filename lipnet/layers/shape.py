"""Fixed linear layers: rearrangements and scalings whose Lipschitz constants are known exactly."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.tracing import shape_is_known


class PixelUnshuffle(nn.Module):
    """``(batch, c, h·s, w·s) -> (batch, c·s², h, w)``: a permutation of the entries, hence an isometry.

    Output channel ``(c, row offset, column offset)``, as ``nn.PixelUnshuffle``; here with a readable error.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        if factor < 1:
            raise ValueError(f"PixelUnshuffle needs a factor >= 1, got {factor}")
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        if shape_is_known(inputs):
            *leading, channels, height, width = inputs.shape
            if height % self.factor or width % self.factor:
                raise ValueError(f"PixelUnshuffle({self.factor}) cannot divide an image of {height}x{width}")
            if not inputs.numel():  # of which torch's own gives another shape
                size = (channels * self.factor**2, height // self.factor, width // self.factor)
                return inputs.reshape(*leading, *size)
        return functional.pixel_unshuffle(inputs, self.factor)

    def extra_repr(self) -> str:
        return f"{self.factor}"


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel, with Lipschitz constant ``max(1 / std)``.

    It belongs inside the model, so that radii stay in raw-pixel units and the division is counted.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ValueError(f"Normalize needs as many means as positive stds, got mean={mean}, std={std}")
        # What the buffers hold, for when they come back from the meta device.
        self._values = torch.tensor(mean, device="cpu").tolist(), torch.tensor(std, device="cpu").tolist()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Normalize":
        """As every module's; memory that ``to_empty`` allocates is filled, since no state dict holds these numbers."""
        was_empty = self.std.is_meta
        if not was_empty:
            self._values = self.mean.flatten().tolist(), self.std.flatten().tolist()
        super()._apply(fn, recurse)
        if was_empty and not self.std.is_meta:
            for buffer, values in zip((self.mean, self.std), self._values, strict=True):
                buffer.copy_(torch.tensor(values, dtype=torch.float64).view(-1, 1, 1))
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, h, w)``."""
        return (inputs - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class Scale(nn.Module):
    """``factor · x``, with Lipschitz constant ``|factor|``."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        return self.factor * inputs

    def extra_repr(self) -> str:
        return f"{self.factor}"


class FitChannels(nn.Module):
    """The first ``channels`` of axis 1, and zeros behind them where the input has fewer: Lipschitz constant 1.

    An isometry where none is left out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"FitChannels needs channels >= 1, got {channels}")
        self.channels = channels

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, c, ...) -> (batch, channels, ...)``."""
        padded = functional.pad(inputs.transpose(1, -1), (0, self.channels)).transpose(1, -1)  # whatever their number
        return padded[:, : self.channels]

    def extra_repr(self) -> str:
        return f"{self.channels}"
