"""Residual blocks that descend a convex potential: CPL (Meunier et al. 2022, arXiv 2110.12690) and SLL (Araujo et al.
2023, arXiv 2303.03169).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.aol import AOLConv2d
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.gram import GramConv2d
from lipnet.layers.convolutions.padded import check_image, check_image_size, same_conv2d
from lipnet.layers.sizes import Size, image_sides
from lipnet.layers.tracing import shape_is_known


class PlainConvexPotential(nn.Module):
    """``x - 2 A relu(Aᵀ x + b)`` of a free convolution A, in torch alone: what ``to_plain`` turns the block into.

    Args:
        channels, hidden: of the block, and of what A is applied to.
        kernel_size: of A.
        padding_mode: ``"circular"`` or ``"zeros"``.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, padding_mode: str) -> None:
        super().__init__()
        self.channels, self.hidden, self.kernel_size, self.padding_mode = channels, hidden, kernel_size, padding_mode
        self.weight = nn.Parameter(torch.zeros(channels, hidden, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, h, w)``, of the same shape."""
        before, after = self.kernel_size // 2, (self.kernel_size - 1) // 2
        mode = "circular" if self.padding_mode == "circular" else "constant"
        padded = functional.pad(inputs, (after, before, after, before), mode)
        hidden = functional.relu(functional.conv2d(padded, self.weight.flip(2, 3).transpose(0, 1), self.bias))
        padded = functional.pad(hidden, (before, after, before, after), mode)
        return inputs - 2 * functional.conv2d(padded, self.weight)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.hidden}, kernel_size={self.kernel_size}, padding_mode={self.padding_mode}"


class ConvexPotential(nn.Module):
    """``x - 2 A relu(Aᵀ x + b)`` of a convolution A of norm at most 1: 1-Lipschitz.

    Its Jacobian is ``I - 2 A D Aᵀ`` with a diagonal D of zeros and ones. ``A D Aᵀ`` is positive semi-definite and its
    norm at most ``|A|²``, so all eigenvalues are between ``1 - 2 |A|²`` and 1. A sort (MaxMin) in place of the ReLU
    would not do: D must be diagonal.

    Args:
        conv: A, from the hidden channels to those of the block, without stride, dilation, groups and bias.
        size: height and width of the images that A has norm 1 on; ``None``: of any.

    Learned: what ``conv`` learns, and ``bias (hidden,)``, which starts as ``nn.Conv2d``'s.
    """

    def __init__(self, conv: ConstrainedConv2d, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        if (conv.stride, conv.dilation, conv.groups, conv.bias) != (1, 1, 1, None):
            raise ValueError(f"ConvexPotential needs a convolution without stride, groups and bias, got {conv}")
        self.conv, self.size = conv, size
        bound = 1 / math.sqrt(conv.out_channels * conv.kernel_size**2)
        self.bias = nn.Parameter(torch.empty(conv.in_channels).uniform_(-bound, bound))

    @property
    def weight(self) -> Tensor:
        """The kernel of A, ``(channels, hidden, k, k)``."""
        return self.conv.weight

    @property
    def kernel_size(self) -> int:
        return self.conv.kernel_size

    @property
    def padding_mode(self) -> str:
        return self.conv.padding_mode

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, h, w)``, of the same shape."""
        conv = self.conv
        before, after = conv.padding
        if shape_is_known(inputs):
            check_image(inputs, conv.out_channels, self)
            check_image_size(inputs.shape[-2:], before, 1, self)
            if self.size is not None and tuple(inputs.shape[-2:]) != self.size:
                raise ValueError(f"{self} is 1-Lipschitz on images of {self.size}, got {tuple(inputs.shape[-2:])}")
        kernel = conv.effective_weight()
        adjoint = kernel.flip(2, 3).transpose(0, 1)
        hidden = same_conv2d(inputs, adjoint, self.bias, (after, before), conv.padding_mode, 1, 1, 1)
        descent = same_conv2d(functional.relu(hidden), kernel, None, conv.padding, conv.padding_mode, 1, 1, 1)
        return inputs - 2 * descent

    @torch.no_grad()
    def plain(self) -> PlainConvexPotential:
        """The same function, frozen as it is now."""
        weight = self.weight
        channels, hidden, size, _ = weight.shape
        plain = PlainConvexPotential(channels, hidden, size, self.padding_mode).to(weight)
        plain.weight.copy_(weight)
        plain.bias.copy_(self.bias)
        return plain


def cpl(
    channels: int, size: Size, *, kernel_size: int = 3, padding_mode: str = "circular", hidden: int | None = None,
    steps: int = 5,
) -> ConvexPotential:  # fmt: skip
    """``x - 2 / |W|² · Wᵀ relu(W x + b)``, with a proved bound in place of ``|W|``.

    ReLU is homogeneous, so that W may be divided by its bound before it as well as after it.

    Args:
        channels: of input and output.
        size: height and width of the images, or one number for both.
        hidden: rows of W at each pixel; ``None``: as many as channels.
        steps: of the Gram iteration that bounds the norm.
    """
    sides = image_sides(size, "cpl")
    conv = GramConv2d(
        hidden or channels, channels, kernel_size, bias=False, padding_mode=padding_mode, image_size=sides, steps=steps
    )
    return ConvexPotential(conv, sides)


def sll(
    channels: int, size: Size, *, kernel_size: int = 3, padding_mode: str = "circular", hidden: int | None = None,
    steps: int = 1,
) -> ConvexPotential:  # fmt: skip
    """``x - 2 W T⁻¹ relu(Wᵀ x + b)`` with ``T_ii = Σ_j |WᵀW|_ij``: ``A = W T^(-1/2)`` is the rescaled kernel of AOL.

    The paper's positive numbers ``q_j / q_i`` in T are left out: W and b absorb them.

    Args:
        channels: of input and output.
        size: of the images; the bound holds for any.
        hidden: columns of W at each pixel; ``None``: as many as channels.
        steps: of the bound, as for ``AOLConv2d``.
    """
    conv = AOLConv2d(hidden or channels, channels, kernel_size, bias=False, padding_mode=padding_mode, steps=steps)
    nn.init.xavier_normal_(conv.raw_weight)
    return ConvexPotential(conv)
