import pytest
import torch
from torch import nn

from lipnet import to_plain
from lipnet.certify import lipschitz_bound, rounding_bound
from lipnet.layers import Gaussian, Mean, OrthogonalLinear, Scale


def member():
    return nn.Sequential(nn.Flatten(), OrthogonalLinear(3, 6), Gaussian(), nn.Linear(6, 2), Scale(2.0))


@pytest.fixture
def mean():
    made = Mean(*(member() for _ in range(4))).eval().requires_grad_(False)
    made.weights.copy_(torch.tensor([0.5, 0.0, 0.3, 0.2]))
    return made


def test_a_mean_weighs_its_members(mean):
    inputs = torch.randn(5, 3)
    wanted = sum(weight * each(inputs) for weight, each in zip(mean.weights, mean.members, strict=True))
    torch.testing.assert_close(mean(inputs), wanted)
    torch.testing.assert_close(to_plain(mean)(inputs), wanted)
    with pytest.raises(ValueError, match="at least one member"):
        Mean()


def test_its_bound_is_the_mean_of_the_bounds(mean):
    bounds = [lipschitz_bound(each, (3,)) for each in mean.members]
    wanted = 0.5 * bounds[0] + 0.3 * bounds[2] + 0.2 * bounds[3]
    assert wanted <= lipschitz_bound(mean, (3,)) <= wanted * (1 + 1e-6)


def test_a_concatenation_and_a_matrix_are_the_same(mean):
    inputs, together = torch.randn(5, 3), mean.concatenated(2)
    torch.testing.assert_close(together(inputs), mean(inputs))
    assert len(together[0].branches) == 3
    equal = Mean(*(nn.Sequential(nn.Flatten(), OrthogonalLinear(3, 2)) for _ in range(9))).eval()
    assert lipschitz_bound(equal.concatenated(2), (3,)) == pytest.approx(1, abs=1e-5)


def test_its_rounding_is_below_the_bound(mean):
    plain, inputs = to_plain(mean), torch.randn(200, 3)
    bound = rounding_bound(plain, (3,), torch.float32)
    allowed = bound.error.at(bound.norms(inputs))
    with torch.no_grad():
        off = (plain(inputs).double() - to_plain(mean).double()(inputs.double())).norm(dim=1)
    assert bool((off <= allowed).all())
    assert float(allowed.max()) < 1e-3


def test_outputs_of_other_shapes_are_refused():
    """Which would be repeated, past what the bound counts."""
    mean = Mean(nn.Linear(4, 1), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"Mean needs outputs of one shape, got \(2, 1\), \(2, 3\)"):
        mean(torch.rand(2, 4))
