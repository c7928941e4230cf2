"""A learned map that is added, and never makes its input larger."""

import pytest
import torch

from lipnet.layers import Translation


def test_the_map_is_repeated_over_channels():
    layer, inputs = Translation((1, 2, 3)), torch.randn(4, 5, 2, 3)
    torch.nn.init.normal_(layer.offset)
    assert torch.equal(layer(inputs), inputs + layer.offset)


@pytest.mark.parametrize("shape", [(5, 1, 3), (5, 2, 1), (2, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(RuntimeError, match="expand"):
        Translation((1, 2, 3))(torch.randn(4, *shape))
