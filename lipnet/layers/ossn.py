"""One-sided spectral normalisation (OSSN): Gouk et al. 2018 (arXiv 1804.04368), as in Li et al. 2019."""

import torch
from torch import Tensor

from lipnet.layers.constrained import EstimatedConv2d
from lipnet.layers.conv import same_conv2d
from lipnet.layers.orthogonal import apply_map


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
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: str = "same",
        dilation: int = 1, groups: int = 1, bias: bool = True, padding_mode: str = "circular",
        image_size: tuple[int, int] = (32, 32), iterations: int = 10,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, image_size
        )
        self.iterations = iterations
        self.register_buffer("vector", torch.empty(1, in_channels, *image_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.vector.normal_()

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(self._normalize, raw_weight)

    def _normalize(self, kernel: Tensor) -> Tensor:
        fixed = kernel.detach()
        for _ in range(self.iterations):
            image = _unit(self._convolve(self.vector, fixed))
            self.vector.copy_(_unit(self._transpose(image, fixed)))
        image = _unit(self._convolve(self.vector, fixed)).detach()
        norm = (image * self._convolve(self.vector.clone(), kernel)).sum()
        return kernel / norm.clamp_min(1.0)

    def _convolve(self, image: Tensor, kernel: Tensor) -> Tensor:
        return same_conv2d(
            image, kernel, None, self.padding, self.padding_mode, self.stride, self.dilation, self.groups
        )

    def _transpose(self, image: Tensor, kernel: Tensor) -> Tensor:
        """The gradient of ``<image, K x>`` with respect to x."""
        start = torch.zeros_like(self.vector, requires_grad=True)
        with torch.enable_grad():
            return torch.autograd.grad(self._convolve(start, kernel), start, image)[0]

    def build_evaluated(self, raw_weight: Tensor) -> Tensor:
        return (raw_weight.double() / self.exact_norm(raw_weight).clamp_min(1.0)).to(raw_weight.dtype)


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(vector.dtype).tiny)
