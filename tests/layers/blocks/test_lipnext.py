"""The shift against its definition, and the block's norm after training."""

import pytest
import torch

from lipnet.certify import lipschitz_bound
from lipnet.layers.blocks.lipnext import ChannelShift, lipnext
from lipnet.layers.blocks.table import BLOCKS


def test_four_groups_move_each_in_its_direction():
    image = torch.arange(12.0).view(1, 1, 3, 4).expand(1, 6, 3, 4)
    moved = ChannelShift(1)(image)[0]
    pixel = image[0, 0]
    assert torch.equal(moved[0], pixel[[1, 2, 0]])
    assert torch.equal(moved[1], pixel[[2, 0, 1]])
    assert torch.equal(moved[2], pixel[:, [1, 2, 3, 0]])
    assert torch.equal(moved[3], pixel[:, [3, 0, 1, 2]])
    assert torch.equal(moved[4], pixel)
    assert torch.equal(moved[5], pixel)


def test_there_is_no_drift():
    torch.manual_seed(0)
    block = lipnext(8, (4, 4))
    optimizer = torch.optim.Adam(block.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        block(torch.randn(16, 8, 4, 4)).pow(4).mean().backward()
        optimizer.step()
    assert lipschitz_bound(block.double().eval(), (8, 4, 4)) <= 1 + 1e-9


def test_channels_for_four_groups():
    with pytest.raises(ValueError, match="lipnext moves 4 groups of 3 channels, got 8 channels"):
        lipnext(8, 4, moved=3)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_keeps_the_shape(name):
    block = BLOCKS[name](8, (6, 5), kernel_size=3, padding_mode="zeros")
    assert block(torch.randn(2, 8, 6, 5)).shape == (2, 8, 6, 5)
