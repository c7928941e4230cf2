"""Orthogonality after hundreds of optimizer steps, at twice the largest learning rate that any shipped recipe has."""

import pytest
import torch
from torch import nn

from lipnet.certify import singular_values
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.options.folder import config_dir

STEPS, SHAPE = 300, (2, 8, 8)
OPTIMIZERS = {
    "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD,
}  # fmt: skip


def largest_rate() -> float:
    experiments = (config_dir() / "experiment").rglob("*.yaml")
    lines = [line.split() for path in experiments for line in path.read_text().splitlines()]
    return max(float(line[1]) for line in lines if line[:1] == ["lr:"])


def layers():
    """Square, wide and tall; strided; with more and with fewer rows in a batch than the weight has."""
    return [
        BCOPConv2d(2, 8, 3), MaxMin(), BCOPConv2d(8, 8, 4, stride=2), MaxMin(), nn.Flatten(),
        OrthogonalLinear(128, 32), MaxMin(), OrthogonalLinear(32, 32), MaxMin(), OrthogonalLinear(32, 16), MaxMin(),
        OrthogonalLinear(16, 24), MaxMin(), OrthogonalLinear(24, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_stays_orthogonal(optimizer):
    rate = largest_rate()
    assert rate >= 3e-3
    network = nn.Sequential(*layers())
    steps = optimizer(network.parameters(), lr=2 * rate)
    images, labels = torch.rand(20, *SHAPE), torch.randint(4, (20,))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for _ in range(STEPS):
        steps.zero_grad()
        nn.functional.multi_margin_loss(network(images), labels, margin=2.0).backward()
        steps.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    assert all(moved)
    shape = SHAPE
    for layer in network:
        if isinstance(layer, (BCOPConv2d, OrthogonalLinear)):
            assert float((singular_values(layer, shape) - 1).abs().max()) < 1e-5, layer
        shape = layer(torch.zeros(1, *shape)).shape[1:]
