"""Shuffles of channels: permutations between grouped convolutions, which alone mix no channels of different groups."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lipnet.layers.tracing import shape_is_known


class ChannelShuffle(nn.Module):
    """Output channel i is input channel ``order[i]``, times ``signs[i]`` if there are signs: an isometry.

    Args:
        order: each of ``0, ..., channels - 1`` once.
        signs: 1 or -1 for each channel.
    """

    order: Tensor
    signs: Tensor | None

    def __init__(self, order: Sequence[int] | Tensor, signs: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        whole = torch.as_tensor(order)
        self.register_buffer("order", whole.clone() if whole.is_floating_point() else whole.to(torch.int64, copy=True))
        self.channels = self.order.numel()
        made = None if signs is None else torch.as_tensor(signs, dtype=torch.get_default_dtype()).clone()
        self.register_buffer("signs", made)
        problem = None if self.order.is_meta else self.problem()
        if problem is not None:
            raise ValueError(f"ChannelShuffle needs {problem}")

    def problem(self) -> str | None:
        """What is wrong with what it holds, as a file may."""
        order, signs, channels = self.order, self.signs, self.channels
        each = torch.arange(channels, device=order.device)
        if not channels or order.dtype != torch.int64 or not torch.equal(order.sort().values, each):
            return f"an order that holds each of 0 to {max(channels - 1, 0)} once"
        if signs is not None and (signs.shape != order.shape or not bool((signs.abs() == 1).all())):
            return f"signs that are 1 or -1, one for each of {channels} channels"
        return None

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        check_channels(inputs, self.channels, self)
        outputs = inputs.index_select(1, self.order)
        return outputs if self.signs is None else outputs * self.signs.view(-1, *[1] * (inputs.dim() - 2))

    def extra_repr(self) -> str:
        return f"{self.channels}{'' if self.signs is None else ', signed'}"


def check_channels(inputs: Tensor, channels: int, layer: nn.Module) -> None:
    """Refuses inputs whose axis 1 has other channels than a shuffle."""
    if shape_is_known(inputs) and (inputs.dim() < 2 or inputs.shape[1] != channels):
        raise ValueError(f"{layer} takes {channels} channels on axis 1, got inputs of shape {tuple(inputs.shape)}")


def in_pairs(part: Tensor) -> Tensor:
    """The order of ``2n`` channels in which i and i + n, which MaxMin compares, move as a part of n says of i."""
    return torch.cat((part, part + len(part)))


def fixed_shuffle(
    channels: int, groups: int, generator: torch.Generator | None = None, keep_pairs: bool = False
) -> ChannelShuffle:
    """ShuffleNet's (Zhang et al. 2018): each group's channels go to different groups, as far as there are enough."""
    part = fixed_order(channels, groups, keep_pairs)
    return ChannelShuffle(in_pairs(part) if keep_pairs else part)


def fixed_order(channels: int, groups: int, keep_pairs: bool = False) -> Tensor:
    """Its order, ``(channels,)`` or of pairs half as long."""
    moved = _moved(channels, keep_pairs)
    if moved % groups:
        raise ValueError(f"{moved} channels cannot be split into {groups} groups")
    return torch.arange(moved).view(groups, -1).T.flatten()


def random_shuffle(
    channels: int,
    groups: int,
    generator: torch.Generator | None = None,
    keep_pairs: bool = False,
    signed: bool = False,
) -> ChannelShuffle:
    """A permutation, and with ``signed`` signs, of equal probabilities; it is not learned."""
    part = torch.randperm(_moved(channels, keep_pairs), generator=generator)
    signs = 2.0 * torch.randint(2, part.shape, generator=generator) - 1 if signed else None
    if keep_pairs:
        return ChannelShuffle(in_pairs(part), None if signs is None else signs.repeat(2))
    return ChannelShuffle(part, signs)


def _moved(channels: int, keep_pairs: bool) -> int:
    """How many things are moved: channels, or pairs of them."""
    if keep_pairs and channels % 2:
        raise ValueError(f"{channels} channels cannot be split into pairs")
    return channels // 2 if keep_pairs else channels
