"""Transposed adaptive orthogonal convolutions: Boissin et al., ICML 2025, arXiv 2501.07930."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.convolutions.aoc import AOCConv2d, aoc_kernel, start_parts
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import Orthogonalizer, cholesky
from lipnet.layers.sizes import Device, Padding, Size
from lipnet.layers.translation import Translation


class AOCConvTranspose2d(nn.Sequential):
    """An orthogonal transposed convolution, which makes images ``stride`` times as large as they were.

    The transpose of an ``AOCConv2d`` from ``out_channels`` to ``in_channels``, hence orthogonal as that is: all
    singular values are 1 with circular padding, at most 1 with zeros. It is computed as a convolution of the small
    image, with ``ceil(k / s)`` taps and ``s²`` times the channels, whose outputs a pixel-shuffle lays side by side.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype: as for
            ``nn.ConvTranspose2d``; square kernels; ``kernel_size`` at least the stride, and no stride together with
            dilation.
        padding: only ``"same"``: the output is as large as the input times the stride.
        padding_mode: ``"circular"`` or ``"zeros"``.
        orthogonalize: the map of ``lipnet.layers.orthogonal`` for every free matrix.

    Raises:
        ValueError: such a layer does not exist, or an image is smaller than circular padding.

    Learned: ``AOCConv2d``'s parameters, in the first of its layers, and the bias, which starts at 0.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        groups: int = 1, bias: bool = True, dilation: Size = 1, padding_mode: str = "circular",
        orthogonalize: Orthogonalizer = cholesky, device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        if padding != "same":
            raise ValueError(f"AOCConvTranspose2d takes padding='same' only, got {padding!r}")
        strided = AOCConv2d(
            out_channels, in_channels, kernel_size, stride, dilation=dilation, groups=groups, bias=False,
            padding_mode=padding_mode, orthogonalize=orthogonalize, device=device, dtype=dtype,
        )  # fmt: skip
        layers: list[nn.Module] = [AOCPhases2d(strided), nn.PixelShuffle(strided.stride)]
        if bias:
            layers.append(Translation((strided.in_channels, 1, 1)).to(device=device, dtype=dtype))
        super().__init__(*layers)


class AOCPhases2d(ConstrainedConv2d):
    """A transposed convolution before its pixel-shuffle: output channel ``(c, row, column)`` is a phase of channel c.

    With a strided convolution ``y[p] = Σ_d K[d] x[s p + d - b]``, the transposed one gives pixel ``s m + φ`` the sum
    of ``K[s t + φ]ᵀ y[m - t + b / s]`` over t: for each phase φ a convolution of stride 1. ``b``, a multiple of s, is
    chosen so that its padding is "same".

    Args:
        strided: of which this is the transpose; its parameters are taken over.
    """

    def __init__(self, strided: AOCConv2d) -> None:
        step = strided.stride
        like = strided.raw_projectors
        super().__init__(
            strided.out_channels, strided.in_channels * step**2, -(-strided.kernel_size // step), 1, "same",
            strided.dilation, strided.groups, False, strided.padding_mode, like.device, like.dtype,
        )  # fmt: skip
        self.step, self.transposed_size, self.orthogonalize = step, strided.kernel_size, strided.orthogonalize
        self.raw_patches, self.raw_matrix = strided.raw_patches, strided.raw_matrix
        self.raw_projectors = strided.raw_projectors

    def reset_parameters(self) -> None:
        start_parts(self.free_parameters())

    def free_parameters(self) -> list[Tensor]:
        return [raw for raw in (self.raw_patches, self.raw_matrix, self.raw_projectors) if raw is not None]

    def build_weight(self, *parameters: Tensor) -> Tensor:
        step, missing = self.step, self.kernel_size * self.step - self.transposed_size
        inputs = self.out_channels // step**2 // self.groups
        kernel = functional.pad(aoc_kernel(parameters, inputs, step, self.orthogonalize), (0, missing, 0, missing))
        taps = kernel.unflatten(-1, (-1, step)).unflatten(-3, (-1, step))  # (groups, in, out, n, s, n, s)
        return taps.permute(0, 2, 4, 6, 1, 3, 5).flip(-2, -1).reshape(self.weight_shape())

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, phases of kernel_size={self.transposed_size}, stride={self.step}"
