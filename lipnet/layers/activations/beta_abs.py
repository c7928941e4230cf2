"""β-Abs, the activation of LipNeXt (arXiv 2601.18513)."""

import torch
from torch import Tensor, nn


class BetaAbs(nn.Module):
    """``|x|`` on the first channels and the identity on the others: 1-Lipschitz, and the norm of gradients is kept.

    With half of the channels it is MaxMin between two rotations, and cheaper.

    Args:
        channels: on axis 1.
        share: β, of the channels.
    """

    def __init__(self, channels: int, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"BetaAbs needs a share >= 0 and <= 1, got {share}")
        self.channels, self.share = channels, share

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        count = int(self.share * self.channels)
        return torch.cat((inputs[:, :count].abs(), inputs[:, count:]), dim=1)

    def extra_repr(self) -> str:
        return f"{self.channels}, share={self.share:g}"
