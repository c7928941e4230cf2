"""Orthogonal convolutions of many shapes, after training: every singular value of the dense Jacobian is 1."""

import itertools
import math
from functools import partial

import pytest
import torch

from lipnet.layers import AOCConv2d, BCOPConv2d, BROConv2d, CayleyConv2d, LOTConv2d, SOCConv2d

KINDS = {
    "bcop": BCOPConv2d, "aoc": AOCConv2d, "cayley": CayleyConv2d, "bro": BROConv2d, "lot": LOTConv2d,
    "soc": SOCConv2d, "soc_zeros": partial(SOCConv2d, padding_mode="zeros"),
}  # fmt: skip
OF_ONE_SIZE = {"cayley", "bro", "lot"}
CHANNELS = [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3), (4, 4), (2, 16), (16, 2), (16, 16)]
SIZES = {1: (5, 4), 2: (6, 4), 3: (9, 6)}


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_all_singular_values_are_1_after_25_steps(kind, stride):
    size = SIZES[stride]
    for (inputs, outputs), kernel in itertools.product(CHANNELS, range(stride, 6)):
        if kernel % stride and kind != "aoc":
            continue
        torch.manual_seed(0)
        options = {"image_size": size} if kind in OF_ONE_SIZE else {}
        layer = KINDS[kind](inputs, outputs, kernel, stride, **options)
        train(layer, torch.randn(8, inputs, *size))
        values = torch.linalg.svdvals(jacobian(layer.eval(), (inputs, *size)))
        assert float((values - 1).abs().max()) <= 1e-5, (inputs, outputs, kernel)


def train(layer, images):
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    target = torch.randn_like(layer(images))
    for _ in range(25):
        optimizer.zero_grad()
        (layer(images) - target).square().mean().backward()
        optimizer.step()


@torch.no_grad()
def jacobian(layer, shape):
    basis = torch.eye(math.prod(shape)).view(-1, *shape)
    return (layer(basis).double() - layer(torch.zeros(1, *shape)).double()).flatten(1)
