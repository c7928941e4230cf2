"""The block of LiResNet: a convolution near the identity (Hu et al. 2023, arXiv 2301.12549)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.activations.sorting import MaxMin
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.orthogonal import apply_map
from lipnet.layers.sizes import Device, Padding, Size


class IdentityConv2d(ConstrainedConv2d):
    """``y = x + scale · K * x + b``, one convolution whose kernel is the identity's plus ``scale · K``.

    It is *not* 1-Lipschitz: its constant, a proved bound on the norm of the whole kernel, multiplies that of the
    network, and the loss must keep it small.

    Args:
        in_channels, out_channels, kernel_size, padding, bias, padding_mode, device, dtype: as for
            ``ConstrainedConv2d``; of other numbers of channels the identity leaves some out, or adds zeros.
        scale: of the learned part.

    Learned: ``raw_weight (out, in, k, k)``, K, which starts so small that the layer is nearly the identity.
    """

    bounded_by_one = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, padding: Padding = "same", bias: bool = True,
        padding_mode: str = "circular", scale: float = 1.0, device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, 1, padding, bias=bias, padding_mode=padding_mode, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.scale = scale
        self.raw_weight = nn.Parameter(torch.empty(self.weight_shape(), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.raw_weight, std=1 / (9 * self.in_channels))
        super().reset_parameters()

    def free_parameters(self) -> list[Tensor]:
        return [self.raw_weight]

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        return apply_map(partial(_near_identity, self.padding, self.scale), raw_weight)


def _near_identity(padding: tuple[int, int], scale: float, kernel: Tensor) -> Tensor:
    identity = torch.eye(*kernel.shape[:2], dtype=kernel.dtype, device=kernel.device)[:, :, None, None]
    return functional.pad(identity, padding * 2) + scale * kernel


def liresnet(
    channels: int, size: Size, *, kernel_size: int = 3, padding_mode: str = "circular", depth: int = 1
) -> nn.Sequential:
    """``MaxMin(x + K * x / sqrt(depth) + b)``, where depth is how many such blocks follow one another."""
    conv = IdentityConv2d(channels, channels, kernel_size, padding_mode=padding_mode, scale=depth**-0.5)
    return nn.Sequential(conv, MaxMin())
