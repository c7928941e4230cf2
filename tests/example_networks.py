"""Networks whose gradients autograd gives example by example: each kind of module with parameters has a row."""

from collections.abc import Callable
from functools import partial

import torch
from layer_table import BJORCK, ZEROS, others
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from lipnet.layers import (
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    Cones,
    LinearSpline,
    MaxMin,
    OrthogonalLinear,
    PaddedConv2d,
    Residual,
    RKOConv2d,
)

IMAGE = (4, 6, 5)
EXAMPLES = 3


class Twice(nn.Module):
    """A module that is called twice, and one with a parameter of its own that lies around another module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.linear = OrthogonalLinear(5, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(self.conv(self.linear(self.conv(inputs)).tanh()))


class Scaled(nn.Module):
    """A parameter beside modules, which it is in one unit with; an input that goes by name."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.7))
        self.linear = OrthogonalLinear(5, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.factor * self.linear(inputs=inputs).sin()


class Tied(nn.Module):
    """One parameter in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs).tanh())


class Attended(nn.Module):
    """Attention over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(5, 1, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs[:, 0]
        return self.attention(rows, rows, rows)[0]


class Embedded(nn.Module):
    """Whole numbers, looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.embedding((inputs.flatten(1) * 3).long() % 7).cos()


class Normed(nn.Linear):
    """torch's class with another forward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(nn.functional.normalize(inputs, dim=-1)) * self.weight.norm()


def conv(kind: type[nn.Module], *sizes: object, **options: object) -> Callable[[], nn.Module]:
    return partial(kind, *sizes, **options)


def parametrized() -> nn.Module:
    linear = nn.Linear(5, 3, bias=False)
    register_parametrization(linear, "weight", nn.Tanh())
    return linear


def frozen_bias() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(36, 2))
    network[0].bias.requires_grad_(False)
    network[2].weight.requires_grad_(False)
    return network


# name -> network, shape of an example
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (conv(nn.Conv1d, 4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (4, 9)),
    "conv1d_same": (conv(nn.Conv1d, 4, 3, 3, padding="same", dilation=2, bias=False), (4, 9)),
    "conv1d_reflect": (conv(nn.Conv1d, 2, 3, 3, stride=3, padding=2, padding_mode="reflect"), (2, 8)),
    "conv2d": (conv(nn.Conv2d, 4, 3, 3), IMAGE),
    "conv2d_1x1": (conv(nn.Conv2d, 4, 3, 1), IMAGE),
    "conv2d_stride_leaves_a_rest": (conv(nn.Conv2d, 4, 3, 2, stride=(2, 3)), IMAGE),
    "conv2d_rectangular": (
        conv(nn.Conv2d, 4, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2), IMAGE,
    ),
    "conv2d_depthwise": (conv(nn.Conv2d, 4, 8, 3, padding=1, groups=4, bias=False), IMAGE),
    "conv2d_same": (conv(nn.Conv2d, 4, 3, (3, 4), padding="same", dilation=(1, 2)), IMAGE),
    "conv2d_valid": (conv(nn.Conv2d, 4, 3, 3, padding="valid"), IMAGE),
    "conv2d_circular": (conv(nn.Conv2d, 4, 3, 3, padding=(1, 2), padding_mode="circular", stride=2), IMAGE),
    "conv2d_reflect": (conv(nn.Conv2d, 4, 3, 3, padding=2, padding_mode="reflect"), IMAGE),
    "conv2d_replicate": (conv(nn.Conv2d, 4, 2, 3, padding=1, padding_mode="replicate", groups=2), IMAGE),
    "conv3d": (conv(nn.Conv3d, 2, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 1), groups=2), (2, 3, 4, 3)),
    "conv3d_circular": (conv(nn.Conv3d, 2, 3, 2, padding=1, padding_mode="circular", dilation=2), (2, 3, 4, 3)),
    "conv_transpose": (conv(nn.ConvTranspose2d, 4, 3, 3, stride=2), (4, 3, 2)),
    "padded_dilation_groups": (conv(PaddedConv2d, 4, 6, 3, dilation=2, groups=2, padding_mode="zeros"), IMAGE),
    "blocked_conv": (conv(BlockedConv2d, 4, 3, 3, block=3), IMAGE),
    "blocked_linear": (conv(BlockedLinear, 5, 3, block=2), (2, 5)),
    "bcop_stride": (conv(BCOPConv2d, 2, 5, 4, stride=2), (2, 6, 4)),
    "bcop_dilation_groups": (conv(BCOPConv2d, 4, 6, 3, dilation=2, groups=2, bias=False), (4, 5, 5)),
    "bcop_zeros": (conv(BCOPConv2d, 4, 3, 2, **ZEROS), (4, 3, 3)),
    "bcop_bjorck": (conv(BCOPConv2d, 3, 4, 3, **BJORCK), (3, 4, 4)),
    "rko_groups": (conv(RKOConv2d, 4, 6, 3, groups=2), (4, 4, 4)),
    "linear_tall": (conv(OrthogonalLinear, 5, 12), (5,)),
    "linear_bjorck": (conv(OrthogonalLinear, 12, 5, **BJORCK), (12,)),
    "linear_of_rows": (conv(nn.Linear, 5, 3), (2, 4, 5)),
    "cones": (conv(Cones, 30, 4), (5, 6)),
    "layer_norm": (conv(nn.LayerNorm, [6, 5]), IMAGE),
    "group_norm": (conv(nn.GroupNorm, 2, 4), IMAGE),
    "instance_norm": (conv(nn.InstanceNorm2d, 4, affine=True), IMAGE),
    "batch_norm_that_is_fixed": (lambda: nn.BatchNorm2d(4).eval(), IMAGE),
    "parametrized": (parametrized, (5,)),
    "embedding": (Embedded, (6,)),
    "attention": (Attended, IMAGE),
    "subclass": (conv(Normed, 5, 3), (5,)),
    "twice": (Twice, IMAGE),
    "scaled": (Scaled, (5,)),
    "tied": (Tied, (5,)),
    "residual": (lambda: nn.Sequential(Residual(conv(BCOPConv2d, 4, 4, 3)()), nn.Conv2d(4, 2, 1)), IMAGE),
    "in_place": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3), nn.Hardtanh(inplace=True)),
        (2, 5),
    ),
    "frozen": (frozen_bias, IMAGE),
    "network": (
        lambda: nn.Sequential(
            BCOPConv2d(2, 4, 3), MaxMin(), PaddedConv2d(4, 6, 2, stride=2), nn.ReLU(inplace=True), LinearSpline(6),
            nn.Dropout(0.0), nn.Flatten(), OrthogonalLinear(24, 8), nn.PReLU(8), nn.Linear(8, 3),
        ),
        (2, 4, 4),
    ),
}  # fmt: skip
NETWORKS |= {name: row for name, row in others([conv(nn.Identity)]).items() if any(True for _ in row[0]().parameters())}


def built(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network in float64 after two steps of training, and a batch."""
    make, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(len(name))
    network = make().double()
    inputs = torch.randn(EXAMPLES, *shape, dtype=torch.float64, generator=generator)
    targets = torch.randn(EXAMPLES, dtype=torch.float64, generator=generator)
    optimizer = torch.optim.SGD([part for part in network.parameters() if part.requires_grad], lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        losses(network(inputs), targets).mean().backward()
        optimizer.step()
    return network, inputs, targets


def losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """One value for each example."""
    return (outputs.flatten(1) - targets[:, None]).square().sum(1)
