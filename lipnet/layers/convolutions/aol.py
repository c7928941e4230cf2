"""Almost-orthogonal convolutions (AOL): Prach & Lampert 2022 (arXiv 2208.03160)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.almost_orthogonal import rescaled
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import apply_map, start_orthogonal
from lipnet.layers.sizes import Device, Padding, Size, whole_number


class AOLConv2d(ConstrainedConv2d):
    """A 1-Lipschitz convolution: each input channel of the kernel is divided by a bound on what it adds to the norm.

    A bound, not an estimate: it holds at every step, for every image size and both paddings. With a stride, the pixels
    of one step count as channels, as after a pixel-unshuffle. It is orthogonal only where what channels and pixels are
    mapped to is orthogonal already.

    Args:
        steps: 1, the paper's, or more: each squares the self-correlation once more, which rescales less and costs four
            times as much.
        others: as for ``ConstrainedConv2d``.

    Learned: ``raw_weight (out, in / groups, k, k)``, which starts as the identity, or with orthonormal rows or columns
    where that is no square: deep networks of other kernels hardly learn.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular", steps: int = 1,
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.steps = whole_number(steps, "steps", type(self).__name__)
        self.raw_weight = nn.Parameter(torch.empty(self.weight_shape(), device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        phases = _phases(torch.zeros_like(self.raw_weight), self.stride, self.groups)
        middle = phases.shape[-1] // 2
        for group in phases:
            start_near_identity(group[:, :, middle, middle])
        self.raw_weight.copy_(_merged(phases, self.stride))
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(partial(_rescaled, self.stride, self.groups, self.steps), raw_weight)


def _rescaled(stride: int, groups: int, steps: int, kernel: Tensor) -> Tensor:
    """Does not refer to the layer: a cached weight would keep it in memory."""
    return _merged(rescaled(_phases(kernel, stride, groups), steps), stride)


def _phases(kernel: Tensor, stride: int, groups: int) -> Tensor:
    """``(groups, out, in·s², k / s, k / s)``."""
    return functional.pixel_unshuffle(kernel, stride).unflatten(0, (groups, -1))


def _merged(phases: Tensor, stride: int) -> Tensor:
    return functional.pixel_shuffle(phases.flatten(0, 1), stride)


def start_near_identity(matrix: Tensor) -> None:
    """Fills ``(rows, columns)`` with the identity where it is square, else with orthonormal rows or columns."""
    if matrix.shape[0] == matrix.shape[1]:
        nn.init.eye_(matrix)
    else:
        start_orthogonal(matrix)
