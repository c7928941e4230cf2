import pytest
import torch
from torch import nn

from lipnet.certify import jacobian_lower_bound, lipschitz_bound
from lipnet.layers import BCOPConv2d, GroupSort, MaxMin, OrthogonalLinear, PaddedConv2d


def doubles(*shape):
    return torch.rand(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 5), (5, 12), (6, 1)])
def test_linear_model_has_its_spectral_norm(inputs, outputs):
    model = nn.Linear(inputs, outputs).double()
    expected = float(torch.linalg.matrix_norm(model.weight.detach(), ord=2))
    assert jacobian_lower_bound(model, doubles(3, inputs)) == pytest.approx(expected, rel=1e-12)


def test_affine_convolutional_model_has_the_norm_of_its_matrix(dense_matrix):
    model = nn.Sequential(PaddedConv2d(2, 4, 4, stride=2), nn.Flatten(), nn.Linear(16, 3)).double()
    expected = float(torch.linalg.matrix_norm(dense_matrix(model, (2, 4, 4)), ord=2))
    assert jacobian_lower_bound(model, doubles(3, 2, 4, 4)) == pytest.approx(expected, rel=1e-12)


def gate():
    """Slope 1 along the first coordinate and 3 along the second, each only where that coordinate is positive."""
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2)).double()
    model[1].weight.data = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    return model


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize(
    ("points", "expected"), [([[1, -1]], 1), ([[-1, 1]], 3), ([[1, -1], [-1, 1], [-1, -1]], 3), ([[-1, -1]], 0)]
)
def test_largest_norm_over_all_inputs(points, expected, batch_size):
    inputs = torch.tensor(points, dtype=torch.float64)
    assert jacobian_lower_bound(gate(), inputs, batch_size) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("conv", [BCOPConv2d, PaddedConv2d])
@pytest.mark.parametrize("linear", [OrthogonalLinear, nn.Linear])
def test_never_above_the_upper_bound(conv, linear, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(
        conv(1, 4, 3),
        MaxMin(),
        conv(4, 8, 4, stride=2),
        GroupSort(4),
        nn.Flatten(),
        linear(72, 8),
        MaxMin(),
        linear(8, 3),
    ).double()
    assert 0 < jacobian_lower_bound(model, doubles(10, 1, 6, 6)) <= lipschitz_bound(model, (1, 6, 6))


def test_leaves_model_and_inputs_as_they_were():
    model, inputs = nn.Linear(4, 3), torch.rand(2, 4)
    with torch.no_grad():
        assert jacobian_lower_bound(model, inputs) > 0
    assert model.weight.grad is None
    assert not inputs.requires_grad
