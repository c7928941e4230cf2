"""The norm of convolutions of any geometry, in one to three dimensions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.norm import EPS, binary_scale, nonnegative_norm_bound, norm_bound

_DENSE = 256  # inputs of a layer up to which its matrix is written down
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves over an image; one entry for each spatial axis.

    Attributes:
        size: of the image, without its padding.
        padding: (before, after), in pixels.
        circular: the padding repeats the opposite border, else it is zeros.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int
    circular: bool


def geometry_of(conv: Any, size: Sequence[int]) -> Geometry:
    """The geometry of an ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d``, from what its ``forward`` reads."""
    reach = [dilation * (taps - 1) for dilation, taps in zip(conv.dilation, conv.weight.shape[2:], strict=True)]
    circular = conv.padding_mode == "circular"
    if circular:
        borders = list(conv._reversed_padding_repeated_twice)
        padding = [(borders[place], borders[place + 1]) for place in range(len(borders) - 2, -1, -2)]
    elif conv.padding == "same":
        padding = [(total // 2, total - total // 2) for total in reach]
    elif conv.padding == "valid":
        padding = [(0, 0)] * len(reach)
    else:
        padding = [(pixels, pixels) for pixels in conv.padding]
    return Geometry(tuple(size), conv.stride, conv.dilation, tuple(padding), conv.groups, circular)


def geometry_of_transposed(conv: Any, size: Sequence[int]) -> Geometry:
    """The geometry of the convolution whose transpose an ``nn.ConvTranspose`` is; its image is the transpose's output.

    A larger ``output_padding`` than the stride only drops rows of that convolution.
    """
    axes = zip(size, conv.stride, conv.padding, conv.dilation, conv.weight.shape[2:], conv.output_padding, strict=True)
    image = [(n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, s, p, d, k, extra in axes]
    padding = tuple((pixels, pixels) for pixels in conv.padding)
    return Geometry(tuple(image), conv.stride, conv.dilation, padding, conv.groups, circular=False)


def conv_bound(weight: Tensor, geometry: Geometry) -> float:
    """An upper bound on the L2 norm of a convolution, with ``weight`` as ``nn.Conv2d`` has it, on images of that size.

    On a torus the Fourier transform splits the convolution into one small matrix for each frequency. A circular
    convolution whose stride divides the image is that, up to an isometry; with more padding than its kernel reaches, or
    a stride that does not divide, it repeats or leaves out some of the rows. A zero-padded one is a compression of the
    convolution on a torus that the image and the kernel's reach fit on: an upper bound, near the norm on images that
    are large beside the kernel. Small ones of these kinds are written down as matrices instead.
    """
    weight, scale = _scaled(weight)
    size, stride, copies = _torus(weight, geometry)
    exact = geometry.circular and stride == geometry.stride and copies == 1
    if not exact and _inputs(weight, geometry) <= _DENSE:
        return scale * norm_bound(*_dense(weight, geometry))
    blocks = _frequency_blocks(weight, size, stride, geometry)
    return scale * (math.sqrt(copies) * norm_bound(*blocks) * (1 + 4 * EPS))


def conv_gain(weight: Tensor, geometry: Geometry) -> float:
    """An upper bound on the norm of the convolution with ``|weight|``: its largest frequency is 0."""
    weight, scale = _scaled(weight)
    _, stride, copies = _torus(weight, geometry)
    blocks, error = _frequency_blocks(weight.abs(), stride, stride, geometry)  # a stride's pixels: one frequency
    return scale * (math.sqrt(copies) * (nonnegative_norm_bound(blocks.real) + error) * (1 + 4 * EPS))


def _scaled(weight: Tensor) -> tuple[Tensor, float]:
    weight = weight.detach().double().cpu()
    scale = binary_scale(weight)
    return weight / scale, scale


def _inputs(weight: Tensor, geometry: Geometry) -> int:
    return weight.shape[1] * geometry.groups * math.prod(geometry.size)


def _dense(weight: Tensor, geometry: Geometry) -> tuple[Tensor, float]:
    """The transposed matrix, and a bound on the norm of its errors: padding may add taps to one another."""
    basis = torch.eye(_inputs(weight, geometry), dtype=torch.float64).unflatten(1, (-1, *geometry.size))
    borders: list[int] = []  # the last axis first, as ``pad`` takes them
    for before_and_after in reversed(geometry.padding):
        borders += before_and_after
    padded = functional.pad(basis, borders, "circular" if geometry.circular else "constant")
    convolve: Any = _CONVOLVE[len(geometry.size)]
    matrix = convolve(padded, weight, None, geometry.stride, 0, geometry.dilation, geometry.groups).flatten(1)
    return matrix, math.prod(weight.shape[2:]) * EPS * conv_gain(weight, geometry)


def _torus(weight: Tensor, geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Size and stride on the torus, and how often it must count: no row is repeated more often."""
    reach = [d * (taps - 1) for d, taps in zip(geometry.dilation, weight.shape[2:], strict=True)]
    axes = list(zip(geometry.size, geometry.stride, geometry.padding, reach, strict=True))
    if not geometry.circular:
        return tuple(-(-(n + span) // s) * s for n, s, _, span in axes), geometry.stride, 1
    stride, copies = [], 1
    for n, s, (before, after), span in axes:
        stride.append(s if n % s == 0 else 1)
        count = (n + before + after - span - 1) // s + 1
        starts = (torch.arange(count) * s - before) % n
        copies *= int(torch.bincount(starts).max())
    return geometry.size, tuple(stride), copies


def _frequency_blocks(
    weight: Tensor, size: tuple[int, ...], stride: tuple[int, ...], geometry: Geometry
) -> tuple[Tensor, float]:
    """``(groups, frequencies, out, in·strides)`` complex blocks, and a bound on the norm of their errors.

    The sum over taps is taken as it stands, not by a fast transform: each entry is an inner product, whose error is
    known. Half of the last axis' frequencies suffice: the others are their conjugates.
    """
    blocks = weight.unflatten(0, (geometry.groups, -1)).to(torch.complex128)
    for axis, (n, s, d) in enumerate(zip(size, stride, geometry.dilation, strict=True)):
        period = n // s
        count = period // 2 + 1 if axis == len(size) - 1 else period
        places = d * torch.arange(blocks.shape[3])
        turns = (torch.arange(count)[:, None] * (places // s)) % period  # exact: whole numbers
        waves = torch.polar(torch.ones((), dtype=torch.float64), -2 * math.pi * turns.double() / period)
        phases = functional.one_hot(places % s, s).to(torch.complex128)
        blocks = torch.tensordot(blocks, torch.einsum("ks,fk->ksf", phases, waves), dims=([3], [0]))
    axes = len(size)
    order = (0, *range(4, 4 + 2 * axes, 2), 1, 2, *range(3, 3 + 2 * axes, 2))
    blocks = blocks.permute(order).flatten(axes + 2).flatten(1, axes)
    taps = math.prod(weight.shape[2:])
    # Each entry errs by at most 4 (taps + 8 axes) eps times the sum of its taps' sizes; the matrix of these sums has at
    # most sqrt(taps) times the weight's Frobenius norm.
    error = 4 * (taps + 8 * axes) * EPS * math.sqrt(taps) * float(torch.linalg.vector_norm(weight))
    return blocks, error


def bias_norm(conv: nn.Module, positions: int) -> float:
    """The L2 norm of what the bias adds to an output of that many pixels."""
    bias: Any = conv.bias
    return 0.0 if bias is None else math.sqrt(positions) * float(torch.linalg.vector_norm(bias.detach().double()))
