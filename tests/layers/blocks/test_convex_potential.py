"""CPL and SLL against their formulas on dense matrices, and what a convex potential's block needs."""

import pytest
import torch

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.layers import AOLConv2d
from lipnet.layers.blocks.convex_potential import ConvexPotential, PlainConvexPotential, cpl, sll

SIZE = (5, 4)
BLOCKS = {
    "cpl": lambda **options: cpl(3, SIZE, **options),
    "sll": lambda **options: sll(3, SIZE, **options),
    "sll, three steps": lambda **options: sll(3, SIZE, steps=3, **options),
}
GEOMETRIES = [{}, {"kernel_size": 2, "hidden": 5}, {"padding_mode": "zeros"}, {"kernel_size": 1, "hidden": 2}]
over_blocks = pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
over_geometries = pytest.mark.parametrize("options", GEOMETRIES, ids=str)


@torch.no_grad()
def matrix_of(conv):
    """A as a matrix."""
    basis = torch.eye(conv.in_channels * SIZE[0] * SIZE[1], dtype=torch.float64).view(-1, conv.in_channels, *SIZE)
    return conv(basis).flatten(1).T


@over_blocks
@over_geometries
def test_the_formula(make, options):
    torch.manual_seed(0)
    block = make(**options).double()
    matrix, inputs = matrix_of(block.conv), torch.randn(4, 3, *SIZE, dtype=torch.float64)
    bias = block.bias[:, None].expand(-1, SIZE[0] * SIZE[1]).flatten()
    expected = inputs.flatten(1) - 2 * torch.relu(inputs.flatten(1) @ matrix + bias) @ matrix.T
    torch.testing.assert_close(block(inputs).flatten(1), expected)


def test_cpl_divides_by_a_bound_near_the_norm():
    torch.manual_seed(0)
    block = cpl(3, SIZE, hidden=5).double()
    raw = AOLConv2d(5, 3, 3, bias=False).double()
    raw.build_weight = lambda kernel: block.conv.raw_weight.detach().clone()
    norm = float(torch.linalg.matrix_norm(matrix_of(raw), ord=2))
    factor = float((block.conv.raw_weight / block.weight).detach().mean())
    assert norm <= factor <= 1.05 * norm


@over_blocks
@over_geometries
def test_no_pair_of_inputs_comes_apart(make, options):
    """Pairs that gradient ascent draws apart, after training steps that push the block to grow."""
    torch.manual_seed(0)
    block = make(**options).double()
    optimizer = torch.optim.Adam(block.parameters(), lr=0.05)
    for _ in range(25):
        optimizer.zero_grad()
        (-block(torch.randn(8, 3, *SIZE, dtype=torch.float64)).square().mean()).backward()
        optimizer.step()
    block.requires_grad_(False)
    first, second = (torch.randn(16, 3, *SIZE, dtype=torch.float64) for _ in range(2))
    for _ in range(20):
        pair = [part.clone().requires_grad_() for part in (first, second)]
        ratio = (block(pair[0]) - block(pair[1])).flatten(1).norm(dim=1) / (pair[0] - pair[1]).flatten(1).norm(dim=1)
        assert float(ratio.detach().max()) <= 1 + 1e-12
        gradients = torch.autograd.grad(ratio.sum(), pair)
        first, second = (part.detach() + 0.5 * step for part, step in zip(pair, gradients, strict=True))
    assert lipschitz_bound(block.eval(), (3, *SIZE)) <= 1 + 1e-9


@over_blocks
@over_geometries
def test_the_plain_block_is_the_same_function_with_the_same_bound(make, options):
    block, inputs = make(**options).double().eval(), torch.randn(2, 3, *SIZE, dtype=torch.float64)
    plain = to_plain(block)
    assert type(plain) is PlainConvexPotential
    torch.testing.assert_close(plain(inputs), block(inputs))
    assert lipschitz_bound(plain, (3, *SIZE)) == lipschitz_bound(block, (3, *SIZE))


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
def test_a_plain_block_of_large_weights_has_their_bound(padding_mode):
    plain = PlainConvexPotential(2, 3, 3, padding_mode).double()
    torch.nn.init.normal_(plain.weight)
    point = torch.randn(1, 2, *SIZE, dtype=torch.float64)
    torch.nn.init.constant_(plain.bias, 100.0)  # all of the ReLUs pass
    matrix = torch.autograd.functional.jacobian(lambda x: plain(x[None])[0].flatten(), point[0]).flatten(1)
    norm, bound = float(torch.linalg.matrix_norm(matrix, ord=2)), lipschitz_bound(plain, (2, *SIZE))
    assert norm <= bound
    if padding_mode == "circular":
        assert bound <= norm * (1 + 1e-9)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"is 1-Lipschitz on images of \(5, 4\), got \(4, 5\)"):
        cpl(3, SIZE)(torch.zeros(1, 3, 4, 5))
    assert sll(3, SIZE)(torch.zeros(1, 3, 7, 7)).shape == (1, 3, 7, 7)


@pytest.mark.parametrize("options", [{"bias": True}, {"stride": 3}, {"groups": 2}, {"dilation": 2}])
def test_the_convolution_is_a_simple_one(options):
    conv = AOLConv2d(4, 4, 3, **{"bias": False} | options)
    with pytest.raises(ValueError, match="ConvexPotential needs a convolution without stride, groups and bias, got"):
        ConvexPotential(conv)
