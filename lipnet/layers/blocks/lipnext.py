"""The block of LipNeXt: channels moved by a pixel between products by orthogonal matrices (arXiv 2601.18513)."""

import torch
from torch import Tensor, nn

from lipnet.layers.activations.beta_abs import BetaAbs
from lipnet.layers.convolutions.bcop import BCOPConv2d
from lipnet.layers.sizes import Size, image_sides
from lipnet.layers.translation import Translation


class ChannelShift(nn.Module):
    """Moves groups of channels by one pixel, each in another direction and around the border: an isometry.

    The only convolutions of single channels that keep every norm move them, so that nothing is lost by not learning it.

    Args:
        moved: channels of each of the four groups; those that follow stay where they are.
    """

    def __init__(self, moved: int) -> None:
        super().__init__()
        self.moved = moved

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, h, w)``, of at least ``4 moved`` channels."""
        sizes = [self.moved] * 4 + [inputs.shape[1] - 4 * self.moved]
        up, down, left, right, rest = inputs.split(sizes, dim=1)
        moved = (up.roll(-1, 2), down.roll(1, 2), left.roll(-1, 3), right.roll(1, 3))
        return torch.cat((*moved, rest), dim=1)

    def extra_repr(self) -> str:
        return f"{self.moved}"


def lipnext(
    channels: int, size: Size, *, kernel_size: int = 1, padding_mode: str = "circular", moved: int | None = None,
    share: float = 0.5,
) -> nn.Sequential:  # fmt: skip
    """``φ(M S(R (x + p)) + b)``: a learned map p of positions, orthogonal R and M, the shift S and ``BetaAbs``.

    The paper keeps R and M on the manifold by its own update, and lets them drift between projections. Here they are
    1x1 orthogonal convolutions, built from free matrices at each step: there is no drift. Its second factor ``M Rᵀ`` is
    any orthogonal matrix, so it is one here.

    Args:
        channels: of input and output, at least 4.
        size: height and width of the images, or one number for both.
        kernel_size, padding_mode: of no use: pixels are moved, circularly.
        moved: channels of each of four groups that are moved by a pixel; ``None``: a sixteenth of all, at least one.
        share: of the channels of which the absolute value is taken.
    """
    moved = max(1, channels // 16) if moved is None else moved
    if channels < 4 * moved:
        raise ValueError(f"lipnext moves 4 groups of {moved} channels, got {channels} channels")
    return nn.Sequential(
        Translation((1, *image_sides(size, "lipnext"))),
        BCOPConv2d(channels, channels, 1, bias=False),
        ChannelShift(moved),
        BCOPConv2d(channels, channels, 1),
        BetaAbs(channels, share),
    )
