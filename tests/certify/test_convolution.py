"""Bounds on convolutions against the largest singular value of their dense matrices."""

import pytest
import torch
from torch import nn

from lipnet.certify.convolution import bias_norm, conv_bound, conv_gain, geometry_of, geometry_of_transposed

CONVOLUTIONS = {  # module, size, factor that the bound may be above the norm
    "circular": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), (6, 5), 1 + 1e-9),
    "circular, stride divides": (lambda: nn.Conv2d(3, 4, 3, 2, 1, padding_mode="circular"), (6, 8), 1 + 1e-9),
    "circular, rows repeated": (lambda: nn.Conv1d(2, 3, 2, 1, 3, padding_mode="circular"), (4,), 1 + 1e-9),
    "zeros, small": (lambda: nn.Conv2d(2, 3, 3, (2, 1), (1, 3), (1, 2)), (7, 8), 1 + 1e-9),
    "zeros, large": (lambda: nn.Conv2d(2, 3, 3, padding=1), (14, 12), 1.05),
    "one axis": (lambda: nn.Conv1d(3, 4, 3, 2, 1, 2), (11,), 1 + 1e-9),
    "three axes": (lambda: nn.Conv3d(2, 3, 2, 2, 1), (3, 4, 3), 1 + 1e-9),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same", dilation=2), (6, 5), 1 + 1e-9),
    "groups": (lambda: nn.Conv2d(4, 6, 3, padding="valid", groups=2), (5, 5), 1 + 1e-9),
}


def _norms(module, channels, size):
    """The norms of a module without its bias, and of the one with absolute weights."""
    basis = torch.eye(channels * torch.Size(size).numel(), dtype=torch.float64).unflatten(1, (channels, *size))
    norms = []
    for weight in (module.weight.detach(), module.weight.detach().abs()):
        module.weight.data = weight
        norms.append(float(torch.linalg.matrix_norm(module(basis).flatten(1), ord=2)))
    return norms


@torch.no_grad()
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_bound_is_near_the_norm_and_not_below(case):
    build, size, factor = CONVOLUTIONS[case]
    module = build().double()
    module.bias = None
    geometry = geometry_of(module, size)
    bound, gain = conv_bound(module.weight, geometry), conv_gain(module.weight, geometry)
    norm, absolute = _norms(module, module.in_channels, size)
    assert norm * (1 - 1e-12) <= bound <= norm * factor
    assert absolute * (1 - 1e-12) <= gain


@torch.no_grad()
def test_a_transposed_convolution_has_the_norm_of_the_other():
    module = nn.ConvTranspose2d(4, 2, (3, 4), 2, (1, 0), (1, 0), groups=2, bias=False).double()
    bound = conv_bound(module.weight, geometry_of_transposed(module, (3, 4)))
    norm, _ = _norms(module, 4, (3, 4))
    assert norm * (1 - 1e-12) <= bound <= norm * (1 + 1e-9)


def test_what_a_bias_adds():
    conv = nn.Conv2d(1, 2, 1)
    conv.bias.data = torch.tensor([3.0, 4.0])
    assert bias_norm(conv, 9) == pytest.approx(15.0)
    assert bias_norm(nn.Conv2d(1, 2, 1, bias=False), 9) == 0.0
