"""Free matrices are replaced by well-conditioned ones that stand for the same weights."""

import pytest
import torch
from torch import nn

from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear, PixelUnshuffle, RKOConv2d, bjorck, recondition


def spoil(parameter: nn.Parameter, condition: float) -> None:
    """Singular values from 3 down to ``3 / condition``."""
    with torch.no_grad():
        left, values, right = torch.linalg.svd(parameter.double(), full_matrices=False)
        spread = torch.logspace(0, -1, values.shape[-1], base=condition, dtype=torch.float64)
        parameter.copy_(3 * (left * spread) @ right)


def network(**options) -> nn.Sequential:
    return nn.Sequential(
        BCOPConv2d(2, 6, 3, **options), MaxMin(), PixelUnshuffle(2), BCOPConv2d(24, 8, 3, groups=2, **options),
        RKOConv2d(8, 8, 3, **options), nn.Flatten(), OrthogonalLinear(32, 32, **options),
        OrthogonalLinear(32, 40, **options), OrthogonalLinear(40, 5, **options), nn.Linear(5, 3),
    )  # fmt: skip


def free(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if "raw_" in name}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_same_network_better_condition(dtype):
    model, images = network().to(dtype), torch.rand(3, 2, 4, 4, dtype=dtype)
    for parameter in free(model).values():
        spoil(parameter, 200)
    norms = {name: torch.linalg.matrix_norm(parameter) for name, parameter in free(model).items()}
    with torch.no_grad():
        before = model(images)
        # one row cannot be ill-conditioned
        assert recondition(model) == len([p for p in free(model).values() if min(p.shape[-2:]) > 1])
        after = model(images)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4 if dtype is torch.float32 else 1e-12)
    for name, parameter in free(model).items():
        assert float(torch.linalg.cond(parameter.detach()).max()) == pytest.approx(1, abs=1e-4)
        torch.testing.assert_close(torch.linalg.matrix_norm(parameter), norms[name])
    assert recondition(model) == 0


def test_what_is_well_conditioned_stays_as_it_is():
    model = network()
    for parameter in free(model).values():
        spoil(parameter, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert recondition(model) == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_published_parametrisation_stays_as_it_is():
    """Björck's polar factor depends on more than the row space: it is left to itself."""
    model = network(orthogonalize=bjorck)
    for parameter in free(model).values():
        spoil(parameter, 200)
    assert recondition(model) == 0


def test_training_goes_on():
    """Gradients flow to the new matrices, and a step moves the weight."""
    layer = OrthogonalLinear(16, 16)
    spoil(layer.raw_weight, 1000)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    recondition(layer)
    before = layer.weight.detach().clone()
    layer(torch.randn(4, 16)).pow(3).sum().backward()
    optimizer.step()
    assert float((layer.weight - before).detach().abs().max()) > 1e-4
    assert float((torch.linalg.svdvals(layer.weight.detach()) - 1).abs().max()) < 1e-5
