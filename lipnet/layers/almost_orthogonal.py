"""Kernels rescaled so that their convolution is 1-Lipschitz (AOL: Prach & Lampert 2022, arXiv 2208.03160).

With ``G = K* K``, the self-correlation of a kernel K, and ``r_i`` the sum of all ``|G_ij|`` of input channel i over
channels j and shifts, ``diag(r) - G`` is diagonally dominant, so ``G <= diag(r)`` and ``K diag(r)^(-1/2)`` has norm 1
at most: on images of any size, since taps that wrap around are added, and with zero padding, which is a compression.
For a power of 2, ``G^m <= diag(r)`` of its own row sums gives ``G <= diag(r)^(1/m)``, as roots are monotone on positive
semi-definite matrices (Löwner 1934): larger powers rescale less.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.layers.scale import binary_scale

_ALL = (-4, -3, -2, -1)  # the dimensions of one group's kernel


def rescaled(kernel: Tensor, steps: int) -> Tensor:
    """``(groups, out, in, h, w)`` with each input channel divided by ``r_i^(1/2m)``, for ``m = 2^(steps - 1)``.

    A channel of zeros stays one.
    """
    kernel = kernel / binary_scale(kernel, _ALL)
    sums, unit = row_sums(kernel, steps)
    roots = torch.where(sums > 0, sums, 1.0) ** 0.5**steps
    return kernel / (roots * unit)[:, None, :, None, None]


def row_sums(kernel: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """``r (groups, in)`` of the power ``m = 2^(steps - 1)`` of the self-correlation, over ``unit^2m (groups, 1)``.

    The powers are divided by powers of 2 on the way, so that they neither overflow nor vanish: ``r^(1/2m)`` is the
    same root of the first result, times the second.
    """
    gram, unit = self_correlation(kernel), torch.ones_like(kernel[:, :1, 0, 0, 0])
    for step in range(1, steps):
        scale = binary_scale(gram, _ALL)
        gram = self_correlation(gram / scale)
        unit = unit * scale[:, :1, 0, 0, 0] ** 0.5**step
    return gram.abs().sum((2, 3, 4)), unit


def self_correlation(kernel: Tensor) -> Tensor:
    """``K* K`` of each group, ``(groups, in, in, 2h - 1, 2w - 1)``, its taps reflected: row sums do not see that.

    Of a self-adjoint kernel it is the square.
    """
    groups, _, channels, height, width = kernel.shape
    if (height, width) == (1, 1):
        matrices = kernel[:, :, :, 0, 0]
        return (matrices.mT @ matrices)[:, :, :, None, None]
    filters = kernel.transpose(1, 2)  # (groups, in, out, h, w)
    images = filters.transpose(0, 1).flatten(1, 2)
    padding = (height - 1, width - 1)
    found = functional.conv2d(images, filters.flatten(0, 1), padding=padding, groups=groups)
    return found.unflatten(1, (groups, channels)).transpose(0, 1)
