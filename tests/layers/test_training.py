"""Layers that say something of their training: a term of the loss, another form when they are deployed."""

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import hardened, to_plain
from lipnet.layers import MaxMin, OrthogonalLinear
from lipnet.layers.training import diagnostics, has_soft_layers, is_soft, regularized, stepped


class Shrinking(nn.Linear):
    def regularizer(self):
        return 0.1 * self.weight.square().sum()


class Optional(Shrinking):
    """Whose regularizer may weigh nothing."""

    weighs = False

    def is_regularized(self):
        return self.weighs


class Gate(nn.Module):
    """Half of its input while it trains; all of it when it is deployed."""

    def __init__(self, hard=None):
        super().__init__()
        self.hard = hard or nn.Identity

    def forward(self, inputs):
        return inputs / 2

    def hardened(self):
        return self.hard()


def test_layers_are_found_at_any_depth_each_once():
    shrinking, gate = Shrinking(2, 2), Gate()
    network = nn.Sequential(nn.Sequential(shrinking, gate), shrinking, nn.ReLU())
    assert regularized(network) == [shrinking]
    assert [is_soft(layer) for layer in network[0]] == [False, True]
    assert has_soft_layers(network)
    assert not has_soft_layers(nn.Sequential(shrinking))


def test_a_regularizer_that_weighs_nothing_is_left_out():
    without, with_weight = Optional(2, 2), Optional(2, 2)
    with_weight.weighs = True
    assert regularized(nn.Sequential(without, with_weight)) == [with_weight]


class Counter(nn.Module):
    """Knows how far the training is."""

    share = 0.0

    def end_step(self, share):
        self.share = share

    def diagnostics(self):
        return {"share": self.share}


def test_layers_are_told_of_steps_and_report():
    counter = Counter()
    network = nn.Sequential(nn.Sequential(counter), nn.ReLU())
    assert stepped(network) == [counter]
    counter.end_step(0.5)
    assert diagnostics(network) == {"layers/0.0_share": 0.5}


def test_a_child_s_name_says_nothing():
    child = nn.Module()
    child.regularizer, child.hardened = nn.ReLU(), nn.ReLU()
    assert regularized(child) == []
    assert not has_soft_layers(child)


def test_a_soft_network_is_deployed_hard():
    network = nn.Sequential(OrthogonalLinear(4, 4), nn.Sequential(Gate()), MaxMin()).eval()
    inputs = torch.rand(3, 4)
    hard = nn.Sequential(network[0], network[2])
    for deployed in (to_plain(network), hardened(network)):
        torch.testing.assert_close(deployed(inputs), hard(inputs))
        assert not has_soft_layers(deployed)
        assert not deployed.training
    assert lipschitz_bound(hardened(network), (4,)) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(network(inputs), hard(inputs))


def test_a_network_without_soft_layers_is_deployed_as_it_is():
    network = nn.Sequential(OrthogonalLinear(4, 4), MaxMin())
    assert hardened(network) is network


def test_what_a_layer_hardens_to_is_converted_too():
    network = nn.Sequential(Gate(lambda: nn.Sequential(OrthogonalLinear(4, 4), nn.ReLU(inplace=True)))).eval()
    plain = to_plain(network)
    assert [type(layer) for layer in plain[0]] == [nn.Linear, nn.ReLU]
    assert not plain[0][1].inplace


@pytest.mark.parametrize(
    ("hard", "message"),
    [
        (Gate, "what it hardens to is soft itself"),
        (lambda: _hooked(nn.ReLU()), "cannot convert ReLU"),
    ],
    ids=["soft", "hooked"],
)
def test_what_is_not_hard_is_refused(hard, message):
    with pytest.raises(TypeError, match=message):
        to_plain(nn.Sequential(Gate(hard)))


def _hooked(layer):
    layer.register_forward_hook(lambda *_: None)
    return layer
