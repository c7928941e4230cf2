"""Gradient-norm-preserving activations (Anil et al. 2019, arXiv 1811.05381, section 4.2).

``PlainGroupSort`` and ``PlainMaxMin`` are the functions in torch alone, whose source an export carries along;
``GroupSort`` and ``MaxMin`` also check their inputs, and MaxMin takes a tenth of the time in training.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lipnet.layers.sizes import whole_number
from lipnet.layers.tracing import runs_eagerly, shape_is_known


class PlainGroupSort(nn.Module):
    """Sorts channels ``i, i + C/g, i + 2C/g, ...`` of each i, largest first; without a group size g, all channels."""

    def __init__(self, group_size: int | None) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, inputs: Tensor) -> Tensor:
        groups = inputs.unflatten(1, (self.group_size or inputs.shape[1], -1))
        return groups.sort(dim=1, descending=True).values.flatten(1, 2)


class PlainMaxMin(nn.Module):
    """``[max(a, b), min(a, b)]`` for the two halves a, b of axis 1."""

    def forward(self, inputs: Tensor) -> Tensor:
        first, second = inputs.chunk(2, dim=1)
        return torch.cat((torch.maximum(first, second), torch.minimum(first, second)), dim=1)


class GroupSort(PlainGroupSort):
    """Sorts channels within groups, largest first: 1-Lipschitz, and a permutation wherever it is differentiable.

    With ``C`` channels and groups of ``g``, group ``i`` holds channels ``i, i + C/g, i + 2C/g, ...``; its largest
    value goes to the first of them. For ``g = 2`` this is MaxMin on the two halves, as in the paper's code.

    Args:
        group_size: ``g``, a divisor of the number of channels; ``None`` sorts all channels.
    """

    exported_as: ClassVar[type[nn.Module]] = PlainGroupSort

    def __init__(self, group_size: int | None = 2) -> None:
        super().__init__(None if group_size is None else whole_number(group_size, "group_size", "GroupSort"))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, sorted over axis 1: of an image without a batch axis, over its rows."""
        _check_channels(inputs, self.group_size)
        return super().forward(inputs)

    def extra_repr(self) -> str:
        return f"{self.group_size}"


class MaxMin(PlainMaxMin):
    """GroupSort with pairs, without a sort: ``[max(a, b), min(a, b)]`` for the two halves a, b of axis 1."""

    exported_as: ClassVar[type[nn.Module]] = PlainMaxMin

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)`` with an even number of channels.

        Axis 1 holds the channels whatever the input is: an image without a batch axis is split over its rows.
        """
        _check_channels(inputs, 2)
        if runs_eagerly(inputs) and not torch._C._functorch.is_legacy_batchedtensor(inputs):
            learns = inputs.requires_grad and torch.is_grad_enabled()
            return _MaxMin.apply(inputs) if learns else _into_halves(inputs)
        return super().forward(inputs)


def _into_halves(inputs: Tensor) -> Tensor:
    """MaxMin written in place into its result, which saves two passes over memory: about 0.6 of the time."""
    first, second = inputs.chunk(2, dim=1)
    outputs = torch.empty_like(inputs)
    upper, lower = outputs.chunk(2, dim=1)
    torch.maximum(first, second, out=upper)
    torch.minimum(first, second, out=lower)
    return outputs


class _MaxMin(torch.autograd.Function):
    """MaxMin with a backward pass that permutes the gradient as the forward pass did its inputs."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        first, second = inputs.chunk(2, dim=1)
        # 1 where the halves keep their places. A mask of floats: on a CPU, `lerp` is vectorised and `where` is not.
        keep = torch.empty_like(first)
        torch.ge(first, second, out=keep)
        ctx.save_for_backward(keep)
        return _into_halves(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SwapHalves.apply(gradient, *ctx.saved_tensors)


class _SwapHalves(torch.autograd.Function):
    """Exchanges the two halves of axis 1 where ``keep`` is 0: its own inverse, hence its own transpose."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        first, second = inputs.chunk(2, dim=1)
        if torch._C._functorch.is_legacy_batchedtensor(inputs):  # of is_grads_batched=True, which knows no `out=`
            return torch.cat((torch.lerp(second, first, keep), torch.lerp(first, second, keep)), dim=1)
        outputs = torch.empty_like(inputs)
        upper, lower = outputs.chunk(2, dim=1)
        if inputs.dtype == torch.bfloat16:  # of which `lerp` is slow
            _swap_bits(first, second, keep, upper, lower)
        else:
            torch.lerp(second, first, keep, out=upper)  # exact where the weight is 0 or 1
            torch.lerp(first, second, keep, out=lower)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _SwapHalves.apply(gradient, *ctx.saved_tensors), None


def _swap_bits(first: Tensor, second: Tensor, keep: Tensor, upper: Tensor, lower: Tensor) -> None:
    """As ``lerp`` by ``keep``, for bfloat16, exactly: whole numbers of 16 bits are vectorised.

    What two numbers differ in, taken from one of them, makes it the other.
    """
    first, second, upper, lower = (half.view(torch.int16) for half in (first, second, upper, lower))
    kept = keep.view(torch.int16) >> 13  # the bits of 1.0 are 0x3F80
    differ = torch.bitwise_xor(first, second).mul_(kept)
    torch.bitwise_xor(second, differ, out=upper)
    torch.bitwise_xor(first, differ, out=lower)


class Abs(nn.Module):
    """``|x|``, element by element: 1-Lipschitz, gradient norm 1 almost everywhere."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.abs()


def _check_channels(inputs: Tensor, group_size: int | None) -> None:
    if not shape_is_known(inputs):
        return
    size = 1 if group_size is None else group_size
    if inputs.dim() < 2 or inputs.shape[1] % size:
        raise ValueError(f"cannot split axis 1 of {tuple(inputs.shape)} into groups of {group_size or 'all'}")
