"""One-sided spectral normalisation (OSSN): Gouk et al. 2018 (arXiv 1804.04368), as in Li et al. 2019."""

from functools import partial

import torch
from torch import Tensor

from lipnet.layers.convolutions.constrained import EstimatedConv2d
from lipnet.layers.convolutions.padded import same_conv2d
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.power import at_most_one, start_vector, unit
from lipnet.layers.scale import binary_scale
from lipnet.layers.sizes import Device, Padding, Size, whole_number
from lipnet.layers.tracing import is_transformed, without_derivatives


class OSSNConv2d(EstimatedConv2d):
    """``K / max(1, |K|)``, with the norm of K as a convolution on images of ``image_size``.

    While training the norm is estimated by power iteration, from the last step's vector: a *lower* estimate, through
    which gradients flow. What is evaluated, and certified, is divided by the exact norm of the present kernel.

    Args:
        iterations: power iterations a training step.
        others: as for ``EstimatedConv2d``.
    """

    vector: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = "same",
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        image_size: Size = (32, 32), iterations: int = 10, device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, image_size,
            device, dtype,
        )  # fmt: skip
        self.iterations = whole_number(iterations, "iterations", "OSSNConv2d")
        self.register_buffer("vector", torch.empty(1, self.in_channels, *self.image_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.vector.normal_()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        with without_derivatives():
            scale = binary_scale(raw_weight, (0, 1, 2, 3))
            fixed, vector = raw_weight / scale, start_vector(self.vector, raw_weight.dtype)
            for _ in range(self.iterations):
                vector = unit(self._transpose(unit(self._convolve(vector, fixed)), fixed))
            if not is_transformed(raw_weight):
                self.vector.copy_(vector)
            image = unit(self._convolve(vector, fixed))
        normalize = partial(_normalize, scale=scale, image=image, vector=vector, geometry=self._geometry)
        return apply_map(normalize, raw_weight)

    @property
    def _geometry(self) -> tuple[tuple[int, int], str, int, int, int]:
        return self.padding, self.padding_mode, self.stride, self.dilation, self.groups

    def _convolve(self, image: Tensor, kernel: Tensor) -> Tensor:
        return same_conv2d(image, kernel, None, *self._geometry)

    def _transpose(self, image: Tensor, kernel: Tensor) -> Tensor:
        """The gradient of ``<image, K x>`` with respect to x."""
        start = torch.zeros_like(self.vector, dtype=image.dtype)
        if is_transformed(image, kernel):
            return torch.func.vjp(partial(self._convolve, kernel=kernel), start)[1](image)[0]
        start.requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self._convolve(start, kernel), start, image)[0]

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        return (raw_weight.double() / self._norm(raw_weight).clamp_min(1.0)).to(raw_weight.dtype)


def _normalize(
    kernel: Tensor, scale: Tensor, image: Tensor, vector: Tensor, geometry: tuple[tuple[int, int], str, int, int, int]
) -> Tensor:
    return at_most_one(kernel, (image * same_conv2d(vector, kernel / scale, None, *geometry)).sum(), scale)
