"""Singular value clipping and masking (SVCM): Sedghi et al. 2019 (arXiv 1805.10408), as in Li et al. 2019."""

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.layers.constrained import EstimatedConv2d


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
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = True,
        image_size: tuple[int, int] = (32, 32), every: int = 100, iterations: int = 50,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=bias, image_size=image_size)
        self.every, self.iterations = every, iterations
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.reset_parameters()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        self.steps += 1  # a kept weight is built once a step
        if int(self.steps) % self.every == 0:
            with torch.no_grad():
                raw_weight.copy_(self.project(raw_weight))
        return raw_weight.view_as(raw_weight)

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        projected = self.project(raw_weight)
        return (projected.double() / self.exact_norm(projected).clamp_min(1.0)).to(raw_weight.dtype)

    @torch.no_grad()
    def project(self, kernel: Tensor) -> Tensor:
        """``iterations`` alternating projections, in float64."""
        phases = functional.pixel_unshuffle(kernel.double(), self.stride)
        taps = phases.shape[-1]
        height, width = (side // self.stride for side in self.image_size)
        for _ in range(self.iterations):
            blocks = torch.fft.rfft2(phases, (height, width)).movedim((0, 1), (-2, -1))
            left, values, right = torch.linalg.svd(blocks, full_matrices=False)
            if bool((values <= 1).all()):
                break
            clipped = (left * values.clamp_max(1.0).unsqueeze(-2)) @ right
            full = torch.fft.irfft2(clipped.movedim((-2, -1), (0, 1)), (height, width))
            phases = full[..., :taps, :taps]
        return functional.pixel_shuffle(phases, self.stride).to(kernel.dtype)
