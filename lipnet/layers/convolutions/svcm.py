"""Singular value clipping and masking (SVCM): Sedghi et al. 2019 (arXiv 1805.10408), as in Li et al. 2019."""

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.layers.convolutions.constrained import EstimatedConv2d
from lipnet.layers.sizes import Device, Padding, Size, whole_number
from lipnet.layers.tracing import is_transformed


class SVCMConv2d(EstimatedConv2d):
    """A kernel trained freely and projected every so many steps, and once more before any evaluation.

    A projection alternates between convolutions whose singular values are at most 1 (clipped frequency by frequency, on
    images of ``image_size``) and kernels of this size (the rest masked). After finitely many rounds the norm is a
    little above 1; the evaluated kernel is divided by what it is.

    Args:
        every: training steps between projections.
        iterations: rounds of one projection.
        others: as for ``EstimatedConv2d``; no dilation, no groups, circular padding.
    """

    steps: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, bias: bool = True,
        image_size: Size = (32, 32), every: int = 100, iterations: int = 50, padding: Padding = "same",
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, bias=bias, image_size=image_size, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.every = whole_number(every, "every", "SVCMConv2d")
        self.iterations = whole_number(iterations, "iterations", "SVCMConv2d")
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=device))
        self.reset_parameters()

    def prepare_build(self, raw_weight: Tensor) -> None:
        self.steps.add_(1)  # a cached weight is built once a step
        if int(self.steps) % self.every == 0:
            raw_weight.copy_(self.project(raw_weight))

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return raw_weight.clone()

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        projected = self._projected(raw_weight)
        return (projected.double() / self._norm(projected).clamp_min(1.0)).to(raw_weight.dtype)

    @torch.no_grad()
    def project(self, kernel: Tensor) -> Tensor:
        """``iterations`` alternating projections, in float64.

        Taps of a kernel larger than its image fall on the same pixels: what is clipped is their sum, of which each
        gets an equal part.
        """
        return self._projected(kernel)

    def _projected(self, kernel: Tensor) -> Tensor:
        phases = functional.pixel_unshuffle(kernel.double(), self.stride)
        height, width = (side // self.stride for side in self.image_size)
        rows, columns = (_wrapped(phases.shape[-1], side).to(phases) for side in (height, width))
        shared = (rows.sum(0)[:, None] * columns.sum(0)).clamp_min(1)
        for _ in range(self.iterations):
            image = rows.mT @ phases @ columns
            blocks = torch.fft.rfft2(image).movedim((0, 1), (-2, -1))
            left, values, right = torch.linalg.svd(blocks, full_matrices=False)
            if not is_transformed(values) and bool((values <= 1).all()):
                break
            clipped = (left * values.clamp_max(1.0).unsqueeze(-2)) @ right
            full = torch.fft.irfft2(clipped.movedim((-2, -1), (0, 1)), (height, width))
            phases = rows @ (full / shared) @ columns.mT
        return functional.pixel_shuffle(phases, self.stride).to(kernel.dtype)


def _wrapped(taps: int, side: int) -> Tensor:
    """The pixel of each tap along an axis, ``(taps, side)``: 1 there and 0 elsewhere."""
    return torch.arange(taps)[:, None] % side == torch.arange(side)
