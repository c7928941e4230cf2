"""The block of LiResNet: a convolution near the identity (Hu et al. 2023, arXiv 2301.12549)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.layers.activations.sorting import MaxMin
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.gram import GramConv2d
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


class NearIdentityConv2d(GramConv2d):
    """``(x + scale · K * x) / bound + b``: the same, divided by a bound on its norm, and so 1-Lipschitz.

    The published network multiplies the bounds of its layers, and the margins of its loss by their product. To divide
    each layer by its bound comes to the same, and leaves any loss as it is.

    Args:
        scale: of the learned part, ``raw_weight``, which starts as ``IdentityConv2d``'s.
        others: as for ``GramConv2d``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, padding: Padding = "same", bias: bool = True,
        padding_mode: str = "circular", scale: float = 1.0, image_size: Size = (32, 32), steps: int = 5,
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        self.scale = scale
        super().__init__(
            in_channels, out_channels, kernel_size, 1, padding, bias=bias, padding_mode=padding_mode,
            image_size=image_size, steps=steps, device=device, dtype=dtype,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.raw_weight, std=1 / (9 * self.in_channels))

    def build_weight(self, raw_weight: Tensor) -> Tensor:
        whole = apply_map(partial(_near_identity, self.padding, self.scale), raw_weight)
        return apply_map(self.normalized(), whole)


def _near_identity(padding: tuple[int, int], scale: float, kernel: Tensor) -> Tensor:
    identity = torch.eye(*kernel.shape[:2], dtype=kernel.dtype, device=kernel.device)[:, :, None, None]
    return functional.pad(identity, padding * 2) + scale * kernel


def liresnet(
    channels: int, size: Size, *, kernel_size: int = 3, padding_mode: str = "circular", depth: int = 1,
    normalized: bool = True,
) -> nn.Sequential:  # fmt: skip
    """``MaxMin((x + K * x / sqrt(depth)) / bound + b)``, where depth is how many such blocks follow one another.

    Args:
        normalized: whether it is divided by a bound on the norm of its kernel; else its constant is above 1.
    """
    keys: dict[str, Any] = {"padding_mode": padding_mode, "scale": depth**-0.5}
    if normalized:
        return nn.Sequential(NearIdentityConv2d(channels, channels, kernel_size, image_size=size, **keys), MaxMin())
    return nn.Sequential(IdentityConv2d(channels, channels, kernel_size, **keys), MaxMin())
