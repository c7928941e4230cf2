"""The rescaling against its definition on the dense matrix of a convolution: row sums of a power of the Gram matrix."""

import pytest
import torch

from lipnet.layers import AOLConv2d, AOLLinear
from lipnet.layers.almost_orthogonal import rescaled
from lipnet.layers.convolutions.padded import same_conv2d, same_padding


def dense(kernel, size):
    """The matrix of a circular convolution on images that no tap wraps around."""
    channels = kernel.shape[1]
    basis = torch.eye(channels * size**2, dtype=kernel.dtype).view(-1, channels, size, size)
    return same_conv2d(basis, kernel, None, same_padding(kernel.shape[-1]), "circular", 1, 1, 1).flatten(1).T


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize(("inputs", "outputs", "kernel_size"), [(2, 3, 2), (3, 2, 2), (2, 2, 3), (4, 3, 1)])
def test_each_channel_is_divided_by_its_row_sum(inputs, outputs, kernel_size, steps):
    torch.manual_seed(0)
    kernel = torch.randn(outputs, inputs, kernel_size, kernel_size, dtype=torch.float64)
    size = 1 + 2**steps * (kernel_size - 1)
    matrix, power = dense(kernel, size), 2 ** (steps - 1)
    sums = torch.linalg.matrix_power(matrix.T @ matrix, power).abs().sum(1).view(inputs, -1)
    torch.testing.assert_close(sums, sums[:, :1].expand_as(sums))
    expected = kernel / sums[:, 0].pow(1 / (2 * power))[:, None, None]
    found = rescaled(kernel[None], steps)[0]
    torch.testing.assert_close(found, expected)
    assert float(torch.linalg.matrix_norm(dense(found, size), ord=2)) <= 1 + 1e-12


def test_more_steps_rescale_less():
    torch.manual_seed(0)
    kernel = torch.randn(1, 6, 6, 3, 3, dtype=torch.float64)
    norms = [float(torch.linalg.matrix_norm(dense(rescaled(kernel, steps)[0], 8), ord=2)) for steps in (1, 2, 4)]
    assert norms[0] < norms[1] < norms[2] <= 1


def test_orthonormal_columns_stay_as_they_are():
    layer, dense_layer = AOLConv2d(4, 4, 3, bias=False), AOLLinear(4, 7)
    inputs = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(layer(inputs), inputs)
    torch.testing.assert_close(dense_layer.weight, dense_layer.raw_weight)


def test_a_channel_of_zeros_stays_one_and_can_be_learned():
    layer = AOLConv2d(3, 3, 3, steps=2)
    with torch.no_grad():
        layer.raw_weight[:, 1] = 0
    assert not layer.weight[:, 1].any()
    layer.weight.sum().backward()
    assert 0 < float(layer.raw_weight.grad[:, 1].abs().max()) < 1e3


@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_are_those_of_the_rescaling(steps):
    torch.manual_seed(0)
    kernel = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda raw: rescaled(raw, steps), kernel)
